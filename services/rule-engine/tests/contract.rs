//! What the rule base does to decisions, through the real client, in process, on SQLite
//! and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use attune_api::{
    json,
    profile::v1::Snapshot,
    rules::v1::{
        Bury, Diversity, Exclude, Exploration, Include, Placement, PlacementRequest, Rule,
        Schedule, SourceKind, Strategy, action,
    },
    time,
};
use attune_testkit::{PATIENCE, wait_until};
use serde_json::json;
use support::*;

/// Five items `a` to `e`, ever less popular, and the placement `home`.
async fn small_shop(engine: &Running) {
    let ids = ["a", "b", "c", "d", "e"];
    let items = ids.iter().zip(["x", "x", "x", "y", "y"]);
    let items = items.map(|(id, leaf)| item(id, leaf, "Halden"));
    engine.publish_items(items.collect()).await;
    let now_ms = time::now_ms();
    let mut events = Vec::new();
    for (rank, id) in ids.iter().enumerate() {
        for who in 0..(20 - 4 * rank) {
            events.push(event(&format!("p{rank}-{who}"), "view", &[id], now_ms));
        }
    }
    engine.publish_events(events).await;
    engine
        .put_strategy(strategy("popular", &[(SourceKind::Popular, json!({}))]))
        .await
        .unwrap();
    engine
        .put_placement(placement("home", "popular"))
        .await
        .unwrap();
}

#[tokio::test]
async fn rules_do_what_they_say() {
    on_both("rules", async |engine| {
        small_shop(&engine).await;
        assert_eq!(engine.home(&stranger()).await, ["a", "b", "c", "d", "e"]);

        engine
            .put_rule(rule("up", "item.id == \"e\"", boost(10.0)))
            .await
            .unwrap();
        assert_eq!(engine.home(&stranger()).await, ["e", "a", "b", "c", "d"]);

        let down = action::Kind::Bury(Bury { factor: 100.0 });
        engine
            .put_rule(rule("down", "item.id == \"a\"", down))
            .await
            .unwrap();
        assert_eq!(engine.home(&stranger()).await, ["e", "b", "c", "d", "a"]);

        // Two rules want the first slot: the higher priority has it, the other the next.
        let first = Rule {
            priority: 1,
            ..rule("first", "", pin(1, &["d"]))
        };
        engine.put_rule(first).await.unwrap();
        engine
            .put_rule(rule("second", "", pin(1, &["c"])))
            .await
            .unwrap();
        assert_eq!(engine.home(&stranger()).await, ["d", "c", "e", "b", "a"]);

        // What is kept out today is not shown, whoever pins it.
        let out = rule(
            "out",
            "item.stock < 3 || item.categories.exists(c, c == \"y\")",
            action::Kind::Exclude(Exclude {}),
        );
        engine.put_rule(out).await.unwrap();
        assert_eq!(engine.home(&stranger()).await, ["c", "b", "a"]);
    })
    .await;
}

#[tokio::test]
async fn a_rule_applies_where_when_and_for_whom_it_says() {
    on_both("conditions", async |engine| {
        small_shop(&engine).await;
        engine
            .put_placement(placement("basket", "popular"))
            .await
            .unwrap();
        let now_ms = time::now_ms();
        let tomorrow = Schedule {
            start_time: Some(time::from_ms(now_ms + DAY_MS)),
            ..Default::default()
        };
        for rule in [
            Rule {
                when: "profile.tier == \"gold\" && \"vip\" in segments".into(),
                placements: vec!["home".into()],
                channels: vec!["web".into()],
                display_name: "For our best".into(),
                ..rule("gold", "", pin(1, &["e"]))
            },
            Rule {
                schedule: Some(tomorrow),
                priority: 1,
                ..rule("later", "", pin(1, &["d"]))
            },
            Rule {
                disabled: true,
                ..rule("off", "", pin(1, &["d"]))
            },
        ] {
            engine.put_rule(rule).await.unwrap();
        }
        let gold = Snapshot {
            traits: json::to_struct(json!({"tier": "gold"})),
            segments: vec!["vip".into()],
            ..person(&[])
        };
        let home = engine.decide_one(ask("home", &gold)).await;
        assert_eq!(home.slots[0].item_id, "e");
        assert_eq!(home.slots[0].reasons[0].text, "For our best");
        assert_eq!(home.slots[0].reasons[0].rule_id, "gold");
        // Another person, placement or channel.
        assert_eq!(engine.home(&stranger()).await[0], "a");
        assert_eq!(
            shown(&engine.decide_one(ask("basket", &gold)).await)[0],
            "a"
        );
        let mut app = ask("home", &gold);
        app.channel = "app".into();
        assert_eq!(shown(&engine.decide_one(app).await)[0], "a");
    })
    .await;
}

#[tokio::test]
async fn an_included_item_competes_without_any_source() {
    on_both("include", async |engine| {
        small_shop(&engine).await;
        engine
            .publish_items(vec![item("quiet", "z", "Halden")])
            .await;
        let mut one = ask("home", &stranger());
        one.placements[0].count = 4;
        assert_eq!(
            shown(&engine.decide_one(one.clone()).await),
            ["a", "b", "c", "d"]
        );
        let include = action::Kind::Include(Include {
            item_ids: vec!["quiet".into()],
        });
        engine.put_rule(rule("in", "", include)).await.unwrap();
        let ids = shown(&engine.decide_one(one).await);
        assert!(ids.contains(&"quiet".to_owned()), "{ids:?}");
    })
    .await;
}

#[tokio::test]
async fn filters_diversity_and_fallback_shape_the_answer() {
    on_both("shape", async |engine| {
        small_shop(&engine).await;
        let sources = [(SourceKind::Popular, json!({}))];
        engine
            .put_strategy(Strategy {
                diversity: Some(Diversity {
                    category_max: 1,
                    ..Default::default()
                }),
                ..strategy("mixed", &sources)
            })
            .await
            .unwrap();
        engine
            .put_strategy(Strategy {
                filter: "item.id == profile.favourite".into(),
                ..strategy("own", &sources)
            })
            .await
            .unwrap();
        let bought = [(SourceKind::AlsoBought, json!({}))];
        engine
            .put_strategy(strategy("bought", &bought))
            .await
            .unwrap();
        engine
            .put_placement(placement("mixed", "mixed"))
            .await
            .unwrap();
        engine.put_placement(placement("own", "own")).await.unwrap();
        let with_fallback = Placement {
            fallback_item_ids: vec!["e".into(), "gone".into(), "d".into()],
            ..placement("bought", "bought")
        };
        engine
            .publish_items(vec![item("gone", "z", "Halden")])
            .await;
        engine.put_placement(with_fallback).await.unwrap();
        engine.delete_item("gone").await;

        let decided = engine.decide_one(ask("mixed", &stranger())).await;
        assert_eq!(shown(&decided), ["a", "d"]);
        let fan = Snapshot {
            traits: json::to_struct(json!({"favourite": "c"})),
            ..person(&[])
        };
        assert_eq!(shown(&engine.decide_one(ask("own", &fan)).await), ["c"]);
        assert!(
            engine
                .decide_one(ask("own", &stranger()))
                .await
                .slots
                .is_empty()
        );

        // Nothing was bought yet: the editors' list, then what is popular.
        let mut two = ask("bought", &stranger());
        two.placements[0].count = 2;
        let decided = engine.decide_one(two).await;
        assert_eq!(
            (shown(&decided), decided.fallback),
            (vec!["e".into(), "d".into()], true)
        );
        let decided = engine.decide_one(ask("bought", &stranger())).await;
        assert_eq!(shown(&decided), ["e", "d", "a", "b", "c"]);
        assert!(!decided.fallback);

        let mut narrow = ask("home", &stranger());
        narrow.placements[0].filter = "item.categories.exists(c, c == \"y\")".into();
        assert_eq!(shown(&engine.decide_one(narrow).await), ["d", "e"]);
    })
    .await;
}

#[tokio::test]
async fn no_item_comes_twice_on_a_page() {
    on_both("page", async |engine| {
        small_shop(&engine).await;
        engine
            .put_placement(placement("second", "popular"))
            .await
            .unwrap();
        let mut page = ask("home", &stranger());
        page.placements[0].count = 2;
        page.placements.push(PlacementRequest {
            placement: "second".into(),
            ..Default::default()
        });
        page.exclude_item_ids = vec!["b".into()];
        let answer = engine.decide(page).await.unwrap();
        assert_eq!(shown(&answer.placements[0]), ["a", "c"]);
        assert_eq!(shown(&answer.placements[1]), ["d", "e"]);
    })
    .await;
}

#[tokio::test]
async fn exploration_tells_how_likely_it_was() {
    on_both("explore", async |engine| {
        small_shop(&engine).await;
        let quiet = (0..10).map(|i| item(&format!("quiet-{i}"), "z", "Halden"));
        engine.publish_items(quiet.collect()).await;
        engine
            .put_strategy(Strategy {
                exploration: Some(Exploration { share: 0.5 }),
                ..strategy("curious", &[(SourceKind::Popular, json!({}))])
            })
            .await
            .unwrap();
        engine
            .put_placement(placement("curious", "curious"))
            .await
            .unwrap();
        let mut explored = 0;
        for _ in 0..20 {
            let mut two = ask("curious", &stranger());
            two.placements[0].count = 4;
            let decided = engine.decide_one(two).await;
            let get = attune_api::rules::v1::GetDecisionRequest {
                decision_id: decided.decision_id.clone(),
            };
            let mut client = engine.decisions.clone();
            let stored = client.get_decision(engine.request(get)).await.unwrap();
            for slot in &stored.get_ref().slots {
                if slot.item_id.starts_with("quiet") {
                    explored += 1;
                    assert!((slot.propensity - 0.05).abs() < 0.02, "{}", slot.propensity);
                } else if slot.item_id != "e" {
                    // Of `e` too little is known for it to be one or the other.
                    assert!((slot.propensity - 0.5).abs() < 1e-9);
                }
            }
        }
        assert!((10..70).contains(&explored), "{explored} of 80");
    })
    .await;
}

#[tokio::test]
async fn a_bad_request_gets_all_its_faults() {
    on_both("bad_request", async |engine| {
        let on_app = Placement {
            channels: vec!["app".into()],
            ..placement("app-only", "")
        };
        engine.put_placement(on_app).await.unwrap();
        let mut bad = ask("nowhere", &stranger());
        bad.placements[0].filter = "item.price <".into();
        for (placement, count) in [("app-only", 101), ("app-only", 1)] {
            bad.placements.push(PlacementRequest {
                placement: placement.into(),
                count,
                ..Default::default()
            });
        }
        let mut told = fields(&engine.decide(bad).await.unwrap_err());
        told.sort();
        let expected = [
            "placements[0].filter",
            "placements[0].placement",
            "placements[1].count",
            "placements[1].placement",
            "placements[2].placement",
            "placements[2].placement",
        ];
        assert_eq!(told, expected);
        let price = |n: usize| format!("item.price == {n}.0");
        let conditions: Vec<String> = (0..65).map(price).collect();
        let ids: Vec<String> = (0..257).map(|n| format!("\"{n}\"")).collect();
        for filter in [
            conditions.join(" || "),
            format!("item.id in [{}]", ids.join(",")),
            format!("item.type == \"{}\"", "x".repeat(4096)),
        ] {
            let mut large = ask("app-only", &stranger());
            large.channel = "app".into();
            large.placements[0].filter = filter;
            let status = engine.decide(large).await.unwrap_err();
            assert_eq!(fields(&status), ["placements[0].filter"]);
        }
        let mut unreadable = ask("app-only", &stranger());
        unreadable.channel = "app".into();
        unreadable.snapshot = vec![0xff; 9].into();
        let status = engine.decide(unreadable).await.unwrap_err();
        assert_eq!(fields(&status), ["snapshot"]);
        let status = engine.decide(Default::default()).await.unwrap_err();
        assert_eq!(fields(&status), ["placements"]);
        let elsewhere = engine.in_workspace("empty");
        let status = elsewhere
            .decide(ask("home", &stranger()))
            .await
            .unwrap_err();
        assert_eq!(fields(&status), ["placements[0].placement"]);
    })
    .await;
}

#[tokio::test]
async fn an_edit_of_another_replica_takes_effect_here() {
    on_both("replicas", async |engine| {
        // An embedded database has no other replica.
        if engine.system == "sqlite" {
            return;
        }
        small_shop(&engine).await;
        let replica = engine.replica().await;
        engine
            .put_rule(rule("up", "item.id == \"e\"", boost(50.0)))
            .await
            .unwrap();
        wait_until("the rule is in force", PATIENCE, async || {
            replica.home(&stranger()).await[0] == "e"
        })
        .await;
    })
    .await;
}
