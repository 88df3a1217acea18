//! The rule base through its real client, in process, on SQLite and PostgreSQL:
//! resources, their faults, and what they do to decisions.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::Duration;

use attune_api::{
    catalog::v1::{CharacteristicDefinition, CharacteristicType, ItemType},
    json,
    profile::v1::Snapshot,
    rules::v1::{
        Action, Boost, Bury, DeletePlacementRequest, DeleteStrategyRequest, Diversity, Exclude,
        Exploration, GetRuleRequest, Include, ListRulesRequest, Pin, Placement, PlacementRequest,
        Rule, Schedule, Source, SourceKind, Strategy, UpdateRuleRequest, action,
    },
    time,
};
use attune_errors::Reason;
use attune_testkit::wait_until;
use prost_types::FieldMask;
use serde_json::json;
use support::*;

fn rule(id: &str, r#where: &str, kind: action::Kind) -> Rule {
    Rule {
        rule_id: id.into(),
        r#where: r#where.into(),
        action: Some(Action { kind: Some(kind) }),
        ..Default::default()
    }
}

fn boost(factor: f64) -> action::Kind {
    action::Kind::Boost(Boost { factor })
}

fn pin(position: i32, items: &[&str]) -> action::Kind {
    let item_ids = items.iter().map(ToString::to_string).collect();
    action::Kind::Pin(Pin { position, item_ids })
}

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
async fn a_resource_goes_through_its_whole_life() {
    on_both("life", async |engine| {
        engine.put_placement(placement("home", "")).await.unwrap();
        let sent = rule("spring", "item.brand == \"Halden\"", boost(2.0));
        let created = engine.put_rule(sent.clone()).await.unwrap();
        assert!(!created.etag.is_empty() && created.create_time.is_some());
        assert_eq!(
            reason(engine.put_rule(sent.clone()).await),
            Reason::ResourceExists
        );

        let mut client = engine.rules.clone();
        let stale = UpdateRuleRequest {
            rule: Some(Rule {
                etag: "stale".into(),
                ..sent.clone()
            }),
            ..Default::default()
        };
        let refused = client.update_rule(engine.request(stale)).await;
        assert_eq!(reason(refused), Reason::EtagMismatch);

        let update = UpdateRuleRequest {
            rule: Some(Rule {
                priority: 7,
                placements: vec!["home".into()],
                ..sent.clone()
            }),
            update_mask: Some(FieldMask {
                paths: vec!["priority".into()],
            }),
            ..Default::default()
        };
        let updated = client.update_rule(engine.request(update)).await.unwrap();
        let updated = updated.into_inner();
        assert_eq!((updated.priority, updated.placements.len()), (7, 0));

        let upsert = UpdateRuleRequest {
            rule: Some(rule("winter", "", boost(3.0))),
            allow_missing: true,
            ..Default::default()
        };
        client.update_rule(engine.request(upsert)).await.unwrap();
        let list = ListRulesRequest {
            page_size: 1,
            ..Default::default()
        };
        let page = client
            .list_rules(engine.request(list))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(page.rules[0].rule_id, "spring");
        let list = ListRulesRequest {
            page_token: page.next_page_token,
            ..Default::default()
        };
        let page = client
            .list_rules(engine.request(list))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(page.rules[0].rule_id, "winter");

        let elsewhere = engine.in_workspace("other");
        let get = GetRuleRequest {
            rule_id: "spring".into(),
        };
        let missing = client.get_rule(elsewhere.request(get)).await;
        assert_eq!(reason(missing), Reason::ResourceNotFound);
        let gone = DeletePlacementRequest {
            placement_id: "nope".into(),
            ..Default::default()
        };
        let missing = client.delete_placement(engine.request(gone)).await;
        assert_eq!(reason(missing), Reason::ResourceNotFound);
    })
    .await;
}

#[tokio::test]
async fn every_fault_of_a_resource_is_told_at_once() {
    on_both("faults", async |engine| {
        let status = engine
            .put_placement(Placement {
                placement_id: "Home!".into(),
                strategy: "nope".into(),
                channels: vec!["web".into(), "web".into()],
                fallback_item_ids: vec!["a b".into()],
                ..Default::default()
            })
            .await
            .unwrap_err();
        let expected = [
            "placement.placement_id",
            "placement.channels[1]",
            "placement.fallback_item_ids[0]",
            "placement.strategy",
        ];
        assert_eq!(fields(&status), expected);

        let source = |kind: i32, weight: f64, params| Source {
            kind,
            weight,
            params: json::to_struct(params),
        };
        let status = engine
            .put_strategy(Strategy {
                strategy_id: "s".into(),
                sources: vec![
                    source(0, 1.0, json!({})),
                    source(SourceKind::Popular.into(), -1.0, json!({"event": "sneeze"})),
                    source(SourceKind::New.into(), f64::NAN, json!({"days": 0})),
                    source(SourceKind::Editorial.into(), 1.0, json!({})),
                    source(SourceKind::Similar.into(), 1.0, json!({"days": 1})),
                    source(SourceKind::AlsoBought.into(), 1.0, json!({})),
                    source(SourceKind::AlsoBought.into(), 2.0, json!({})),
                ],
                filter: "item.price <".into(),
                diversity: Some(Diversity { category_max: -1 }),
                exploration: Some(Exploration { share: 0.6 }),
                ..Default::default()
            })
            .await
            .unwrap_err();
        let expected = [
            "strategy.sources[0].kind",
            "strategy.sources[1].weight",
            "strategy.sources[1].params.event",
            "strategy.sources[2].weight",
            "strategy.sources[2].params.days",
            "strategy.sources[3].params.itemIds",
            "strategy.sources[4].params.days",
            "strategy.sources[6].kind",
            "strategy.filter",
            "strategy.diversity.category_max",
            "strategy.exploration.share",
        ];
        assert_eq!(fields(&status), expected);

        let status = engine
            .put_rule(Rule {
                when: "profil.age > 3".into(),
                schedule: Some(Schedule {
                    start_time: Some(time::from_ms(2000)),
                    end_time: Some(time::from_ms(1000)),
                }),
                placements: vec!["nowhere".into()],
                ..rule("r", "item.title + 1", boost(1.0))
            })
            .await
            .unwrap_err();
        let told = fields(&status);
        for expected in [
            "rule.when",
            "rule.where",
            "rule.action.boost.factor",
            "rule.schedule.end_time",
            "rule.placements[0]",
        ] {
            assert!(told.iter().any(|f| f == expected), "{expected}: {told:?}");
        }

        let pins = rule("p", "", pin(0, &["a", "a"]));
        let status = engine.put_rule(pins).await.unwrap_err();
        let expected = ["rule.action.pin.position", "rule.action.pin.item_ids[1]"];
        assert_eq!(fields(&status), expected);
        let status = engine.put_rule(Rule::default()).await.unwrap_err();
        assert_eq!(fields(&status), ["rule.rule_id", "rule.action"]);
    })
    .await;
}

#[tokio::test]
async fn a_characteristic_must_be_declared_once_types_are_known() {
    on_both("declared", async |engine| {
        let defined = CharacteristicDefinition {
            name: "brand".into(),
            r#type: CharacteristicType::Text.into(),
            ..Default::default()
        };
        engine
            .publish_type(ItemType {
                item_type_id: "product".into(),
                characteristics: vec![defined],
                ..Default::default()
            })
            .await;
        let misspelt = rule("r", "item.brnad == \"Halden\"", boost(2.0));
        let status = engine.put_rule(misspelt).await.unwrap_err();
        assert_eq!(fields(&status), ["rule.where"]);
        assert!(status.message().contains("brand"), "{status:?}");
        let right = rule("r", "item.brand == \"Halden\"", boost(2.0));
        engine.put_rule(right).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_strategy_in_use_stays() {
    on_both("in_use", async |engine| {
        let popular = strategy("popular", &[(SourceKind::Popular, json!({}))]);
        engine.put_strategy(popular).await.unwrap();
        engine
            .put_placement(placement("home", "popular"))
            .await
            .unwrap();
        let mut client = engine.rules.clone();
        let delete = DeleteStrategyRequest {
            strategy_id: "popular".into(),
            ..Default::default()
        };
        let refused = client.delete_strategy(engine.request(delete.clone())).await;
        assert_eq!(reason(refused), Reason::ResourceInUse);
        let placement = DeletePlacementRequest {
            placement_id: "home".into(),
            ..Default::default()
        };
        client
            .delete_placement(engine.request(placement))
            .await
            .unwrap();
        client
            .delete_strategy(engine.request(delete))
            .await
            .unwrap();
    })
    .await;
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

        let out = rule(
            "out",
            "item.categories.exists(c, c == \"y\")",
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
        let past = Schedule {
            start_time: None,
            end_time: Some(time::from_ms(now_ms - 1000)),
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
                schedule: Some(past),
                ..rule("over", "", pin(1, &["d"]))
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
                diversity: Some(Diversity { category_max: 1 }),
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
        engine.put_placement(with_fallback).await.unwrap();

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
        wait_until(
            "the rule is in force",
            Duration::from_secs(10),
            async || replica.home(&stranger()).await[0] == "e",
        )
        .await;
    })
    .await;
}
