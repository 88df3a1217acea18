//! How a decision came about, told at once and afterwards, and past decisions in order;
//! through the real client, on SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;

use attune_api::{
    catalog::v1::ItemState,
    rules::v1::{
        Decision, Exclude, Explanation, FilterCause, GetDecisionRequest, ListDecisionsRequest,
        ListDecisionsResponse, PlacementRequest, Rule, RuleOutcome, SourceKind, action,
    },
    time,
    r#type::v1::{Context, Location, Page},
};
use serde_json::json;
use support::*;
use tonic::Status;

/// Six items, ever less viewed, on `home`, which takes popular and new ones.
async fn shop(engine: &Running) {
    let ids = ["a", "b", "c", "d", "e", "f"];
    let mut items: Vec<_> = ids.iter().map(|id| item(id, "x", "Halden")).collect();
    items[5].stock = Some(0);
    let mut draft = item("draft", "x", "Halden");
    draft.set_state(ItemState::Draft);
    items.push(draft);
    engine.publish_items(items).await;
    let now_ms = time::now_ms();
    let views = ids.iter().enumerate().flat_map(|(rank, id)| {
        (0..12 - 2 * rank).map(move |who| event(&format!("p{rank}-{who}"), "view", &[id], now_ms))
    });
    engine.publish_events(views.collect()).await;
    let editorial = json!({"itemIds": ["f", "c", "draft"]});
    let sources = [
        (SourceKind::Popular, json!({})),
        (SourceKind::Editorial, editorial),
    ];
    engine
        .put_strategy(strategy("mixed", &sources))
        .await
        .unwrap();
    engine
        .put_placement(placement("home", "mixed"))
        .await
        .unwrap();
    engine
        .put_placement(placement("side", "mixed"))
        .await
        .unwrap();
}

async fn rules(engine: &Running) {
    let exclude = rule(
        "no-b",
        "item.id == \"b\"",
        action::Kind::Exclude(Exclude {}),
    );
    let app = Rule {
        channels: vec!["app".into()],
        ..rule("app-only", "", boost(2.0))
    };
    let gold = Rule {
        when: "profile.tier == \"gold\"".into(),
        ..rule("gold", "", boost(2.0))
    };
    let push = rule("push", "item.id == \"d\"", boost(50.0));
    for rule in [exclude, app, gold, push] {
        engine.put_rule(rule).await.unwrap();
    }
}

fn filtered(explanation: &Explanation) -> BTreeMap<(FilterCause, &str), i32> {
    let filtered = explanation.filtered.iter();
    filtered
        .map(|of| ((of.cause(), of.rule_id.as_str()), of.item_count))
        .collect()
}

#[tokio::test]
async fn an_explanation_tells_sources_filters_rules_and_scores() {
    on_both("explain", async |engine| {
        shop(&engine).await;
        rules(&engine).await;
        let mut request = ask("home", &stranger());
        request.explain = true;
        request.exclude_item_ids = vec!["e".into()];
        request.placements[0].count = 2;
        request.placements.push(PlacementRequest {
            placement: "side".into(),
            count: 2,
            ..Default::default()
        });
        let answer = engine.decide(request).await.unwrap();
        let home = &answer.placements[0];
        assert_eq!(shown(home), ["d", "c"]);
        let told = home.explanation.as_ref().unwrap();
        let sources = told.sources.iter();
        let sources: Vec<_> = sources
            .map(|s| (s.kind.as_str(), s.proposed_count, s.shown_count))
            .collect();
        assert_eq!(sources, [("popular", 3, 2), ("editorial", 1, 1)]);
        use FilterCause as Why;
        let expected = BTreeMap::from([
            ((Why::NotPublished, ""), 1),
            ((Why::OutOfStock, ""), 1),
            ((Why::ExcludedByRequest, ""), 1),
            ((Why::RuleExcluded, "no-b"), 1),
        ]);
        assert_eq!(filtered(told), expected);
        let b = told.filtered.iter().find(|f| f.rule_id == "no-b").unwrap();
        assert_eq!(b.item_ids, ["b"]);
        let rules = told.rules.iter();
        let mut rules: Vec<_> = rules
            .map(|r| (r.rule_id.as_str(), r.outcome(), r.item_count))
            .collect();
        rules.sort_unstable_by_key(|rule| rule.0);
        let expected = [
            ("app-only", RuleOutcome::RuleOtherChannel, 0),
            ("gold", RuleOutcome::RuleConditionFalse, 0),
            ("no-b", RuleOutcome::RuleApplied, 1),
            ("push", RuleOutcome::RuleApplied, 1),
        ];
        assert_eq!(rules, expected);
        assert_eq!(told.candidate_count, 3);
        let scores: Vec<_> = told.candidates.iter().map(|c| c.score).collect();
        assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
        for candidate in &told.candidates {
            let sum: f64 = candidate.parts.iter().map(|p| p.contribution).sum();
            assert!((sum - candidate.score).abs() < 1e-6, "{candidate:?}");
        }
        let best = &told.candidates[0];
        assert_eq!((best.item_id.as_str(), best.position), ("d", 1));
        let features = best.parts.iter().map(|part| part.feature.as_str());
        assert!(features.eq(["source/popular", "rule/push"]));
        // What the first placement shows is there already for the second.
        let side = &answer.placements[1];
        assert_eq!(shown(side), ["a"]);
        let told = side.explanation.as_ref().unwrap();
        assert_eq!(filtered(told)[&(Why::AlreadyThere, "")], 2);
    })
    .await;
}

async fn read(engine: &Running, id: &str) -> Decision {
    let get = GetDecisionRequest {
        decision_id: id.into(),
    };
    let mut client = engine.decisions.clone();
    client
        .get_decision(engine.request(get))
        .await
        .unwrap()
        .into_inner()
}

#[tokio::test]
async fn a_past_decision_tells_the_same_without_candidates_and_whereabouts() {
    on_both("explain_past", async |engine| {
        shop(&engine).await;
        rules(&engine).await;
        let mut request = ask("home", &person(&[("view", "a")]));
        request.placements[0].count = 3;
        request.placements[0].item_id = "a".into();
        request.context = Some(Context {
            locale: "de-AT".into(),
            location: Some(Location {
                lat: Some(48.2),
                lng: Some(16.4),
                country: "AT".into(),
                ..Default::default()
            }),
            page: Some(Page {
                url: "https://shop.example/?me".into(),
                item_id: "a".into(),
                ..Default::default()
            }),
            ..Default::default()
        });
        let decided = engine.decide_one(request).await;
        assert!(decided.explanation.is_none());
        let past = read(&engine, &decided.decision_id).await;
        assert_eq!((past.count, past.placement_item_id.as_str()), (3, "a"));
        let context = past.context.unwrap();
        let location = context.location.unwrap();
        assert_eq!(
            (location.country.as_str(), location.lat, location.lng),
            ("AT", None, None)
        );
        let page = context.page.unwrap();
        assert_eq!((page.item_id.as_str(), page.url.as_str()), ("a", ""));
        assert_eq!(past.rule_ids, ["no-b", "push"]);
        let told = past.explanation.unwrap();
        assert_eq!(told.sources[0].kind, "popular");
        assert!(told.sources[0].proposed_count > 0);
        let counts = filtered(&told);
        assert_eq!(counts[&(FilterCause::OutOfStock, "")], 1);
        assert_eq!(counts[&(FilterCause::RuleExcluded, "no-b")], 1);
        assert!(told.candidates.is_empty() && told.candidate_count > 0);
        let applied: Vec<_> = told.rules.iter().map(|r| r.rule_id.as_str()).collect();
        assert_eq!(applied, ["no-b", "push"]);
    })
    .await;
}

async fn list(
    engine: &Running,
    request: ListDecisionsRequest,
) -> Result<ListDecisionsResponse, Status> {
    let mut client = engine.analysis.clone();
    Ok(client
        .list_decisions(engine.request(request))
        .await?
        .into_inner())
}

/// All pages of a list.
async fn list_all(engine: &Running, mut request: ListDecisionsRequest) -> Vec<Decision> {
    let mut all = Vec::new();
    loop {
        let page = list(engine, request.clone()).await.unwrap();
        assert!(page.decisions.len() as i32 <= request.page_size);
        all.extend(page.decisions);
        if page.next_page_token.is_empty() {
            return all;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn decisions_are_listed_the_newest_first_by_person_and_placement() {
    on_both("list", async |engine| {
        shop(&engine).await;
        // Chunks of several writers overlap.
        let replica = (engine.system == "postgres").then_some(engine.replica().await);
        let known = person(&[]);
        let mut made = Vec::new();
        for number in 0..60 {
            let who = if number % 3 == 0 { &known } else { &stranger() };
            let place = if number % 2 == 0 { "home" } else { "side" };
            let decider = match &replica {
                Some(replica) if number % 5 < 2 => replica,
                _ => &engine,
            };
            let decided = decider.decide_one(ask(place, who)).await;
            if number % 10 == 9 {
                read(decider, &decided.decision_id).await;
            }
            made.push((decided.decision_id, place, number % 3 == 0));
        }
        if let Some(replica) = &replica {
            replica.stop().await;
        }
        // Of one millisecond the order is that of the ids.
        made.sort();
        made.reverse();
        for page_size in [7, 1000] {
            for (profile_id, placement) in [
                ("", ""),
                (known.profile_id.as_str(), ""),
                ("", "side"),
                (known.profile_id.as_str(), "home"),
                ("nobody", ""),
            ] {
                let request = ListDecisionsRequest {
                    page_size,
                    profile_id: profile_id.into(),
                    placement: placement.into(),
                    ..Default::default()
                };
                let found = list_all(&engine, request).await;
                let found: Vec<_> = found.iter().map(|d| &d.decision_id).collect();
                let expected = made.iter().filter(|(_, place, is_known)| {
                    (placement.is_empty() || placement == *place)
                        && (profile_id.is_empty() || *is_known && profile_id == known.profile_id)
                });
                let expected: Vec<_> = expected.map(|(id, ..)| id).collect();
                assert_eq!(found, expected, "{profile_id} {placement} {page_size}");
            }
        }
        let elsewhere = engine.in_workspace("other");
        let none = list(&elsewhere, ListDecisionsRequest::default())
            .await
            .unwrap();
        assert_eq!(none, ListDecisionsResponse::default());
        let bad = ListDecisionsRequest {
            page_size: -1,
            page_token: "nope".into(),
            profile_id: "p".repeat(300),
            placement: "No".into(),
        };
        let mut found = fields(&list(&engine, bad).await.unwrap_err());
        found.sort();
        assert_eq!(
            found,
            ["page_size", "page_token", "placement", "profile_id"]
        );
    })
    .await;
}
