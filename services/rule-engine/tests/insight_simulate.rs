//! What drafts would change, told before they are published; through the real client,
//! on SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::{Duration, Instant};

use attune_api::{
    json,
    profile::v1::{Basis, Snapshot},
    rules::v1::{
        Budget, CreateRuleRequest, GetReportRequest, ListDecisionsRequest, PlacementRequest, Rule,
        RuleReach, SimulateRequest, SimulateResponse, SimulatedDecisions, SimulatedProfiles,
        SourceKind, simulate_request::Population,
    },
    time,
};
use attune_errors::{Reason, violations_of};
use attune_rpc::Caller;
use serde_json::json;
use support::*;
use tonic::Status;

/// Four items, ever less viewed; two people who are gold and one who is not.
async fn shop(engine: &Running) {
    let ids = ["a", "b", "c", "d"];
    let items = ids.iter().map(|id| item(id, "x", "Halden"));
    engine.publish_items(items.collect()).await;
    let now_ms = time::now_ms();
    let views = ids.iter().enumerate().flat_map(|(rank, id)| {
        (0..12 - 3 * rank).map(move |who| event(&format!("p{rank}-{who}"), "view", &[id], now_ms))
    });
    engine.publish_events(views.collect()).await;
    engine
        .put_strategy(strategy("popular", &[(SourceKind::Popular, json!({}))]))
        .await
        .unwrap();
    engine
        .put_placement(placement("home", "popular"))
        .await
        .unwrap();
    for (id, tier) in [("ann", "gold"), ("bob", "gold"), ("cleo", "none")] {
        engine.logs.people.put(known(id, tier));
    }
}

fn known(id: &str, tier: &str) -> Snapshot {
    Snapshot {
        profile_id: id.into(),
        basis: Basis::Full.into(),
        traits: json::to_struct(json!({ "tier": tier })),
        ..Snapshot::default()
    }
}

/// Puts `d` first for gold people.
fn gold() -> Rule {
    Rule {
        when: "profile.tier == \"gold\"".into(),
        ..rule("gold", "", pin(1, &["d"]))
    }
}

async fn simulate(engine: &Running, request: SimulateRequest) -> Result<SimulateResponse, Status> {
    let mut client = engine.analysis.clone();
    Ok(client.simulate(engine.request(request)).await?.into_inner())
}

fn people(ids: &[&str]) -> Option<Population> {
    Some(Population::Profiles(SimulatedProfiles {
        profile_ids: ids.iter().map(ToString::to_string).collect(),
        channel: "web".into(),
        placements: vec![PlacementRequest {
            placement: "home".into(),
            count: 2,
            ..PlacementRequest::default()
        }],
        context: None,
    }))
}

fn last(count: i32) -> Option<Population> {
    let placement = String::new();
    Some(Population::Decisions(SimulatedDecisions {
        count,
        placement,
    }))
}

fn reach(response: &SimulateResponse) -> Vec<(&str, i32, i32)> {
    let rules = response.rules.iter();
    rules
        .map(
            |RuleReach {
                 rule_id,
                 before_count,
                 after_count,
             }| { (rule_id.as_str(), *before_count, *after_count) },
        )
        .collect()
}

fn items(response: &SimulateResponse) -> Vec<(&str, i32, i32)> {
    let items = response.items.iter();
    items
        .map(|item| (item.item_id.as_str(), item.before_count, item.after_count))
        .collect()
}

#[tokio::test]
async fn a_draft_is_tried_on_chosen_people_and_changes_nothing() {
    on_both("simulate", async |engine| {
        shop(&engine).await;
        let draft = || SimulateRequest {
            rules: vec![gold()],
            population: people(&["ann", "bob", "cleo", "nobody"]),
            ..SimulateRequest::default()
        };
        let told = simulate(&engine, draft()).await.unwrap();
        assert_eq!((told.decision_count, told.changed_count), (3, 2));
        // Nothing stays for two, everything for the third.
        assert!((told.overlap - 1.0 / 3.0).abs() < 1e-9, "{}", told.overlap);
        assert_eq!(items(&told), [("b", 3, 1), ("d", 0, 2)]);
        assert_eq!(reach(&told), [("gold", 0, 2)]);
        assert_eq!(told.missing_profile_ids, ["nobody"]);
        let mut samples = told.samples.iter();
        let ann = samples.find(|sample| sample.profile_id == "ann").unwrap();
        let shown = |slots: &[attune_api::rules::v1::DecidedSlot]| -> Vec<String> {
            slots.iter().map(|slot| slot.item_id.clone()).collect()
        };
        assert_eq!(shown(&ann.before), ["a", "b"]);
        assert_eq!(shown(&ann.after), ["d", "a"]);
        assert_eq!(ann.after[0].reasons[0].rule_id, "gold");
        assert_eq!(told.samples.last().unwrap().profile_id, "cleo");

        // Nothing of it is in force, recorded or counted.
        assert_eq!(engine.home(&known("ann", "gold")).await[0], "a");
        let mut client = engine.analysis.clone();
        let listed = client
            .list_decisions(engine.request(ListDecisionsRequest::default()))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(listed.decisions.len(), 1);
        let report = GetReportRequest {
            dimension: "placement".into(),
            ..GetReportRequest::default()
        };
        let report = client.get_report(engine.request(report)).await.unwrap();
        assert_eq!(report.into_inner().total.unwrap().decision_count, 1);

        // Published, it is what was foretold; and its end can be tried too.
        engine.put_rule(gold()).await.unwrap();
        assert_eq!(engine.home(&known("ann", "gold")).await[0], "d");
        let told = simulate(&engine, draft()).await.unwrap();
        assert_eq!(
            (told.changed_count, reach(&told)),
            (0, vec![("gold", 2, 2)])
        );
        let deleted = SimulateRequest {
            deleted_rule_ids: vec!["gold".into()],
            population: people(&["ann", "bob", "cleo"]),
            ..SimulateRequest::default()
        };
        let told = simulate(&engine, deleted).await.unwrap();
        assert_eq!(
            (told.changed_count, reach(&told)),
            (2, vec![("gold", 2, 0)])
        );
    })
    .await;
}

#[tokio::test]
async fn past_decisions_are_asked_again_with_saved_drafts_and_strategies() {
    on_both("simulate_past", async |engine| {
        shop(&engine).await;
        let mut client = engine.rules.clone();
        let saved = CreateRuleRequest {
            rule: Some(gold()),
            draft: true,
            ..CreateRuleRequest::default()
        };
        client.create_rule(engine.request(saved)).await.unwrap();
        for _ in 0..3 {
            engine.home(&known("ann", "gold")).await;
            engine.home(&known("cleo", "none")).await;
            engine.home(&stranger()).await;
        }
        engine.home(&known("gone", "gold")).await;
        let without = SimulateRequest {
            population: last(100),
            ..SimulateRequest::default()
        };
        let told = simulate(&engine, without).await.unwrap();
        assert_eq!((told.decision_count, told.changed_count), (9, 0));
        assert_eq!(
            (told.overlap, told.missing_profile_ids),
            (1.0, vec!["gone".into()])
        );
        let saved = SimulateRequest {
            saved_drafts: true,
            population: last(100),
            sample_max: 1,
            ..SimulateRequest::default()
        };
        let told = simulate(&engine, saved).await.unwrap();
        assert_eq!((told.decision_count, told.changed_count), (9, 3));
        assert_eq!(reach(&told), [("gold", 0, 3)]);
        assert_eq!(told.samples.len(), 1);
        assert!(!told.samples[0].decision_id.is_empty());

        let reversed = strategy(
            "popular",
            &[(
                SourceKind::Editorial,
                json!({"itemIds": ["d", "c", "b", "a"]}),
            )],
        );
        let other = SimulateRequest {
            strategies: vec![reversed],
            population: last(3),
            ..SimulateRequest::default()
        };
        let told = simulate(&engine, other).await.unwrap();
        assert_eq!(told.changed_count, told.decision_count);
        assert_eq!(engine.home(&stranger()).await[0], "a");
    })
    .await;
}

#[tokio::test]
async fn drafts_are_checked_as_publications_are() {
    on_both("simulate_bad", async |engine| {
        shop(&engine).await;
        engine
            .put_rule(rule("first", "", pin(1, &["a"])))
            .await
            .unwrap();
        let bad = SimulateRequest {
            rules: vec![
                rule("fine", "", boost(2.0)),
                rule("broken", "item.price <", boost(2.0)),
                rule("nowhere", "", pin(1, &["zz"])),
            ],
            strategies: vec![strategy("empty", &[])],
            population: people(&["ann"]),
            ..SimulateRequest::default()
        };
        let strategies_only = SimulateRequest {
            rules: Vec::new(),
            ..bad.clone()
        };
        let status = simulate(&engine, strategies_only).await.unwrap_err();
        assert_eq!(fields(&status), ["strategies[0].sources"]);
        let rules_only = SimulateRequest {
            strategies: Vec::new(),
            ..bad
        };
        let status = simulate(&engine, rules_only).await.unwrap_err();
        let expected = ["rules[1].where", "rules[2].action.pin.item_ids[0]"];
        assert_eq!(fields(&status), expected);
        // What contradicts a rule in force does so in a draft, unless that rule goes.
        let overlapping = SimulateRequest {
            rules: vec![rule("second", "", pin(1, &["b"]))],
            population: people(&["ann"]),
            ..SimulateRequest::default()
        };
        let status = simulate(&engine, overlapping.clone()).await.unwrap_err();
        assert_eq!(fields(&status), ["rules[0].action.pin.position"]);
        assert!(violations_of(&status)[0].1.contains("first"));
        let instead = SimulateRequest {
            deleted_rule_ids: vec!["first".into()],
            ..overlapping
        };
        assert_eq!(simulate(&engine, instead).await.unwrap().changed_count, 1);

        let nothing = SimulateRequest {
            rules: vec![gold(), gold()],
            deleted_rule_ids: vec!["gold".into()],
            sample_max: 101,
            ..SimulateRequest::default()
        };
        let status = simulate(&engine, nothing).await.unwrap_err();
        let expected = [
            "rules[1]",
            "deleted_rule_ids[0]",
            "sample_max",
            "population",
        ];
        assert_eq!(fields(&status), expected);
        let mut elsewhere = people(&["ann", ""]);
        if let Some(Population::Profiles(profiles)) = &mut elsewhere {
            profiles.placements[0].placement = "nowhere".into();
        }
        let request = SimulateRequest {
            population: elsewhere.clone(),
            ..SimulateRequest::default()
        };
        let status = simulate(&engine, request).await.unwrap_err();
        assert_eq!(fields(&status), ["profiles.profile_ids[1]"]);
        if let Some(Population::Profiles(profiles)) = &mut elsewhere {
            profiles.profile_ids.pop();
        }
        let request = SimulateRequest {
            population: elsewhere,
            ..SimulateRequest::default()
        };
        let status = simulate(&engine, request).await.unwrap_err();
        assert_eq!(fields(&status), ["profiles.placements[0].placement"]);
    })
    .await;
}

#[tokio::test]
async fn a_simulation_ends_with_its_deadline_and_spends_no_budget() {
    on_both("simulate_bounds", async |engine| {
        shop(&engine).await;
        let limited = Rule {
            budget: Some(Budget {
                exposure_max: 1,
                days: 0,
            }),
            ..gold()
        };
        let request = SimulateRequest {
            rules: vec![limited],
            population: people(&["ann", "bob"]),
            ..SimulateRequest::default()
        };
        for _ in 0..3 {
            let told = simulate(&engine, request.clone()).await.unwrap();
            assert_eq!(reach(&told), [("gold", 0, 2)]);
        }
        let hasty = Caller {
            deadline: Some(Instant::now() + Duration::from_micros(1)),
            ..engine.caller.clone()
        };
        let mut client = engine.analysis.clone();
        let late = client.simulate(hasty.request(request)).await;
        assert_eq!(reason(late), Reason::DeadlineExceeded);
    })
    .await;
}
