//! How often is often enough: caps of placements and rules, budgets and fatigue, over
//! restarts, replicas and merges; through the real client, on SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use attune_api::{
    profile::v1::{Basis, Snapshot},
    rules::v1::{
        Budget, CapScope, DecideRequest, FilterCause, FrequencyCap, Outcome, OutcomeType,
        PersonCap, Placement, PlacementDecision, RecordOutcomesRequest, Rule, SourceKind,
        UpdatePlacementRequest,
    },
};
use attune_testkit::{PATIENCE, wait_until};
use serde_json::json;
use support::*;

const ANN: &str = "0190c0de-0000-7000-8000-00000000000a";
const BEN: &str = "0190c0de-0000-7000-8000-00000000000b";
const CAT: &str = "0190c0de-0000-7000-8000-00000000000c";

/// Items `a` to `e` that an editor chose for `home`.
async fn chosen(engine: &Running) {
    let ids = ["a", "b", "c", "d", "e"];
    engine
        .publish_items(ids.map(|id| item(id, "x", "Halden")).into())
        .await;
    let params = json!({ "itemIds": ids });
    engine
        .put_strategy(strategy("chosen", &[(SourceKind::Editorial, params)]))
        .await
        .unwrap();
    engine
        .put_placement(placement("home", "chosen"))
        .await
        .unwrap();
}

fn someone(profile_id: &str) -> Snapshot {
    Snapshot {
        profile_id: profile_id.into(),
        basis: Basis::Full.into(),
        ..Snapshot::default()
    }
}

async fn decide(engine: &Running, profile_id: &str) -> PlacementDecision {
    let asked = ask("home", &someone(profile_id));
    engine.decide_one(asked).await
}

async fn first(engine: &Running, profile_id: &str) -> String {
    decide(engine, profile_id).await.slots[0].item_id.clone()
}

/// Tells what became of the slots with these indexes.
async fn report(
    engine: &Running,
    decision: &PlacementDecision,
    slots: &[usize],
    kind: OutcomeType,
    id: &str,
) {
    let outcomes = slots.iter().map(|slot| Outcome {
        token: decision.slots[*slot].token.clone(),
        r#type: kind.into(),
        outcome_id: match id {
            "" => String::new(),
            id => format!("{id}-{slot}"),
        },
        ..Outcome::default()
    });
    let request = engine.request(RecordOutcomesRequest {
        outcomes: outcomes.collect(),
    });
    let mut client = engine.decisions.clone();
    client.record_outcomes(request).await.unwrap();
}

/// Sees the first slot so many times, in as many decisions.
async fn see_first(engine: &Running, profile_id: &str, times: usize) {
    for _ in 0..times {
        let decision = decide(engine, profile_id).await;
        report(engine, &decision, &[0], OutcomeType::Exposure, "").await;
    }
}

#[tokio::test]
async fn a_rule_leaves_a_person_alone_who_saw_enough_of_it() {
    on_both("person_cap", async |engine| {
        chosen(&engine).await;
        let rule = Rule {
            person_cap: Some(PersonCap {
                exposure_max: 2,
                days: 7,
            }),
            ..rule("first-e", "", pin(1, &["e"]))
        };
        engine.put_rule(rule).await.unwrap();
        // Deciding alone shows nothing to anyone.
        for _ in 0..3 {
            assert_eq!(first(&engine, ANN).await, "e");
        }
        let decision = decide(&engine, ANN).await;
        // The second slot was not touched by the rule, and a slot counts once.
        report(&engine, &decision, &[0, 1], OutcomeType::Exposure, "").await;
        report(&engine, &decision, &[0], OutcomeType::Exposure, "again").await;
        assert_eq!(first(&engine, ANN).await, "e");
        see_first(&engine, ANN, 1).await;
        assert_eq!(first(&engine, ANN).await, "a");
        assert_eq!(first(&engine, BEN).await, "e");
        assert_eq!(first(&engine, "").await, "e");
        engine.stop().await;
        let again = engine.replica().await;
        assert_eq!(first(&again, ANN).await, "a");
        assert_eq!(first(&again, BEN).await, "e");
    })
    .await;
}

#[tokio::test]
async fn a_rule_rests_when_its_budget_is_spent() {
    on_both("budget", async |engine| {
        chosen(&engine).await;
        let rule = Rule {
            budget: Some(Budget {
                exposure_max: 3,
                days: 0,
            }),
            ..rule("first-e", "", pin(1, &["e"]))
        };
        engine.put_rule(rule.clone()).await.unwrap();
        let decision = decide(&engine, "").await;
        for id in ["", "again", "and-again"] {
            report(&engine, &decision, &[0, 1], OutcomeType::Exposure, id).await;
        }
        see_first(&engine, ANN, 1).await;
        assert_eq!(first(&engine, BEN).await, "e");
        see_first(&engine, BEN, 1).await;
        for profile_id in ["", ANN, BEN] {
            assert_eq!(first(&engine, profile_id).await, "a");
        }
        engine.stop().await;
        let again = engine.replica().await;
        assert_eq!(first(&again, "").await, "a");
    })
    .await;
}

#[tokio::test]
async fn what_one_replica_records_the_others_hear_of() {
    on_both("heard", async |engine| {
        // An embedded database has no other replica.
        if engine.system == "sqlite" {
            return;
        }
        chosen(&engine).await;
        let capped = Rule {
            person_cap: Some(PersonCap {
                exposure_max: 1,
                days: 7,
            }),
            ..rule("for-one", "", pin(1, &["e"]))
        };
        engine.put_rule(capped).await.unwrap();
        let spent = Rule {
            budget: Some(Budget {
                exposure_max: 2,
                days: 1,
            }),
            priority: -1,
            ..rule("for-all", "", pin(2, &["d"]))
        };
        engine.put_rule(spent).await.unwrap();
        let replica = engine.replica().await;
        assert_eq!(first(&replica, ANN).await, "e");
        for _ in 0..2 {
            let decision = decide(&engine, ANN).await;
            report(&engine, &decision, &[0, 1], OutcomeType::Exposure, "").await;
        }
        wait_until("the exposures are heard of", PATIENCE, async || {
            let ids = shown(&decide(&replica, ANN).await);
            ids[0] == "a" && ids[1] == "b"
        })
        .await;
        assert_eq!(first(&replica, BEN).await, "e");
    })
    .await;
}

#[tokio::test]
async fn a_merged_person_has_seen_what_both_have() {
    on_both("merged", async |engine| {
        chosen(&engine).await;
        let rule = Rule {
            person_cap: Some(PersonCap {
                exposure_max: 3,
                days: 7,
            }),
            ..rule("first-e", "", pin(1, &["e"]))
        };
        engine.put_rule(rule).await.unwrap();
        let late = decide(&engine, BEN).await;
        see_first(&engine, ANN, 1).await;
        see_first(&engine, BEN, 1).await;
        engine.publish_merge(ANN, BEN).await;
        assert_eq!(first(&engine, ANN).await, "e");
        // Reported after the merge, of what was shown before.
        report(&engine, &late, &[0], OutcomeType::Exposure, "").await;
        assert_eq!(first(&engine, ANN).await, "a");
        engine.stop().await;
        let again = engine.replica().await;
        assert_eq!(first(&again, ANN).await, "a");
        let workspace = &again.caller.workspace;
        again.engine.forget(workspace, ANN).await.unwrap();
        assert_eq!(first(&again, ANN).await, "e");
    })
    .await;
}

#[tokio::test]
async fn people_who_are_two_after_all_have_each_seen_what_is_recorded_of_them() {
    on_both("parted", async |engine| {
        chosen(&engine).await;
        let rule = Rule {
            person_cap: Some(PersonCap {
                exposure_max: 3,
                days: 7,
            }),
            ..rule("first-e", "", pin(1, &["e"]))
        };
        engine.put_rule(rule).await.unwrap();
        // Cat joined Ben, who joined Ann; each has seen something of their own.
        for (who, times) in [(ANN, 1), (BEN, 1), (CAT, 1)] {
            see_first(&engine, who, times).await;
        }
        let seen = decide(&engine, CAT).await;
        report(&engine, &seen, &[4], OutcomeType::Dismiss, "").await;
        let late = decide(&engine, CAT).await;
        engine.publish_merge(BEN, CAT).await;
        engine.publish_merge(ANN, BEN).await;
        let dismissed = seen.slots[4].item_id.clone();
        let is_shown = async |engine: &Running, who: &str| {
            shown(&decide(engine, who).await).contains(&dismissed)
        };
        assert!(!is_shown(&engine, ANN).await);
        assert_eq!(first(&engine, ANN).await, "a");
        // While they are one it is Ann's.
        let both = decide(&engine, ANN).await;
        report(&engine, &both, &[1], OutcomeType::Click, "").await;
        // It was by Ann's that Cat had come: Ben goes alone.
        engine.publish_unmerge((ANN, &[CAT]), (BEN, &[])).await;
        let check = async |engine: &Running, ann: &str, ben: &str| {
            assert_eq!(first(engine, ANN).await, ann, "{}", engine.system);
            assert_eq!(first(engine, BEN).await, ben, "{}", engine.system);
            assert!(!is_shown(engine, ANN).await);
            assert!(is_shown(engine, BEN).await);
        };
        check(&engine, "e", "e").await;
        // Ann has seen it twice, Cat's time included, and Ben once.
        see_first(&engine, BEN, 1).await;
        check(&engine, "e", "e").await;
        report(&engine, &late, &[0], OutcomeType::Exposure, "").await;
        check(&engine, "a", "e").await;
        see_first(&engine, BEN, 1).await;
        check(&engine, "a", "a").await;
        // Told twice it is the same, and so it is after a restart.
        engine.publish_unmerge((ANN, &[CAT]), (BEN, &[])).await;
        check(&engine, "a", "a").await;
        engine.stop().await;
        let again = engine.replica().await;
        check(&again, "a", "a").await;
        // Cat parts from Ann, and takes what was Cat's.
        again.publish_unmerge((ANN, &[]), (CAT, &[])).await;
        assert_eq!(first(&again, ANN).await, "e");
        assert_eq!(first(&again, CAT).await, "e");
        assert!(is_shown(&again, ANN).await);
        assert!(!is_shown(&again, CAT).await);
    })
    .await;
}

fn cap(scope: CapScope, exposure_max: i32) -> FrequencyCap {
    FrequencyCap {
        scope: scope.into(),
        exposure_max,
        days: 7,
    }
}

async fn put_caps(engine: &Running, id: &str, caps: &[FrequencyCap]) {
    let placement = Placement {
        caps: caps.to_vec(),
        ..placement(id, "chosen")
    };
    let request = engine.request(UpdatePlacementRequest {
        placement: Some(placement),
        allow_missing: true,
        ..UpdatePlacementRequest::default()
    });
    let mut client = engine.rules.clone();
    client.update_placement(request).await.unwrap();
}

async fn ids_in(engine: &Running, placement: &str, channel: &str, profile_id: &str) -> Vec<String> {
    let asked = DecideRequest {
        channel: channel.into(),
        ..ask(placement, &someone(profile_id))
    };
    shown(&engine.decide_one(asked).await)
}

#[tokio::test]
async fn an_item_seen_often_enough_gives_way_in_placements_that_cap_it() {
    on_both("item_cap", async |engine| {
        chosen(&engine).await;
        put_caps(&engine, "capped", &[cap(CapScope::Item, 2)]).await;
        // Seen anywhere.
        see_first(&engine, ANN, 2).await;
        assert_eq!(first(&engine, ANN).await, "a");
        assert_eq!(
            ids_in(&engine, "capped", "web", ANN).await,
            ["b", "c", "d", "e"]
        );
        assert_eq!(ids_in(&engine, "capped", "web", BEN).await.len(), 5);
    })
    .await;
}

#[tokio::test]
async fn a_placement_or_channel_seen_often_enough_stays_empty() {
    on_both("placement_cap", async |engine| {
        chosen(&engine).await;
        put_caps(&engine, "home", &[cap(CapScope::Placement, 2)]).await;
        put_caps(&engine, "other", &[cap(CapScope::Channel, 3)]).await;
        let decision = decide(&engine, ANN).await;
        // Three slots, one decision.
        report(&engine, &decision, &[0, 1, 2], OutcomeType::Exposure, "").await;
        assert_eq!(decide(&engine, ANN).await.slots.len(), 5);
        see_first(&engine, ANN, 1).await;
        let asked = DecideRequest {
            explain: true,
            ..ask("home", &someone(ANN))
        };
        let capped = engine.decide_one(asked).await;
        assert!(capped.slots.is_empty() && !capped.fallback);
        let causes = capped.explanation.unwrap().filtered;
        assert_eq!(causes[0].cause(), FilterCause::Capped);
        assert_eq!(decide(&engine, BEN).await.slots.len(), 5);
        // Two decisions on the channel so far, and then three.
        assert_eq!(ids_in(&engine, "other", "web", ANN).await.len(), 5);
        let third = engine.decide_one(ask("other", &someone(ANN))).await;
        report(&engine, &third, &[4], OutcomeType::Exposure, "").await;
        assert_eq!(ids_in(&engine, "other", "web", ANN).await.len(), 0);
        assert_eq!(ids_in(&engine, "other", "app", ANN).await.len(), 5);
    })
    .await;
}

#[tokio::test]
async fn every_fault_of_a_cap_is_told() {
    on_both("cap_faults", async |engine| {
        let caps = vec![
            cap(CapScope::Unspecified, 1),
            cap(CapScope::Item, 0),
            FrequencyCap {
                days: 91,
                ..cap(CapScope::Item, 1001)
            },
            cap(CapScope::Item, 3),
        ];
        let status = engine
            .put_placement(Placement {
                caps,
                ..placement("home", "")
            })
            .await
            .unwrap_err();
        let expected = [
            "placement.caps[0].scope",
            "placement.caps[1].exposure_max",
            "placement.caps[2].exposure_max",
            "placement.caps[2].days",
            "placement.caps[3]",
        ];
        assert_eq!(fields(&status), expected);
        let status = engine
            .put_placement(Placement {
                caps: vec![cap(CapScope::Item, 1); 11],
                ..placement("home", "")
            })
            .await
            .unwrap_err();
        assert_eq!(fields(&status), ["placement.caps"]);
    })
    .await;
}
