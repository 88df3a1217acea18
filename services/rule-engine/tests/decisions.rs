//! Decisions that follow behaviour and the catalog, and what becomes of them; through
//! the real client, on SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use attune_api::{
    catalog::v1::ItemState,
    profile::v1::{Basis, Snapshot},
    rules::v1::{
        Decision, GetDecisionRequest, Outcome, OutcomeType, ReasonKind, RecordOutcomesRequest,
        RecordOutcomesResponse, SourceKind,
    },
    time,
    r#type::v1::Context,
};
use attune_errors::Reason;
use serde_json::json;
use support::*;
use tonic::Status;

/// Tents and stoves of two brands, the built-in strategy on `home`.
async fn shop(engine: &Running) {
    let mut items = Vec::new();
    for (leaf, brand) in [
        ("tents", "Halden"),
        ("tents", "Brenna"),
        ("stoves", "Halden"),
    ] {
        for i in 1..4 {
            items.push(item(&format!("{leaf}-{brand}-{i}"), leaf, brand));
        }
    }
    engine.publish_items(items).await;
    engine.put_placement(placement("home", "")).await.unwrap();
}

async fn only(engine: &Running, kind: SourceKind) {
    let id = format!(
        "only-{}",
        kind.as_str_name().to_lowercase().replace('_', "-")
    );
    engine
        .put_strategy(strategy(&id, &[(kind, json!({}))]))
        .await
        .unwrap();
    engine.put_placement(placement("only", &id)).await.unwrap();
}

#[tokio::test]
async fn a_view_changes_the_next_answer_and_is_given_as_the_reason() {
    on_both("view", async |engine| {
        shop(&engine).await;
        let viewer = person(&[("view", "tents-Halden-1")]);
        let decided = engine.decide_one(ask("home", &viewer)).await;
        let like = decided.slots.iter().find(|s| s.item_id == "tents-Halden-2");
        let like = like.unwrap();
        assert_eq!(
            like.reasons[0].text,
            "Because you viewed Item tents-Halden-1"
        );
        assert_eq!(like.reasons[0].related_item_id, "tents-Halden-1");
        assert_eq!(like.reasons[0].source.as_ref().unwrap().kind, "similar");
        let viewed = decided.slots.iter().find(|s| s.item_id == "tents-Halden-1");
        assert_eq!(viewed.unwrap().reasons[0].text, "You viewed this recently");
        // The same brand and category is more alike than only one of them.
        let ids = shown(&decided);
        let place = |id: &str| ids.iter().position(|i| i == id).unwrap();
        assert!(place("tents-Halden-3") < place("tents-Brenna-1"));
        // For everyone else it is popular from the next decision on.
        let now_ms = time::now_ms();
        engine
            .publish_events(vec![event("p", "view", &["stoves-Halden-2"], now_ms)])
            .await;
        let decided = engine.decide_one(ask("home", &stranger())).await;
        assert_eq!(decided.slots[0].item_id, "stoves-Halden-2");
        assert!(
            decided.slots[0]
                .reasons
                .iter()
                .any(|r| r.text == "Popular right now")
        );
    })
    .await;
}

#[tokio::test]
async fn likeness_follows_the_catalog() {
    on_both("likeness", async |engine| {
        shop(&engine).await;
        only(&engine, SourceKind::Similar).await;
        let viewer = person(&[("view", "tents-Halden-1")]);
        let because = async || {
            let decided = engine.decide_one(ask("only", &viewer)).await;
            let slots = decided.slots.into_iter();
            let like = slots.filter(|s| s.reasons[0].text.starts_with("Because"));
            like.take(2).map(|s| s.item_id).collect::<Vec<_>>()
        };
        assert_eq!(because().await, ["tents-Halden-2", "tents-Halden-3"]);
        engine
            .publish_items(vec![item("tents-Halden-0", "tents", "Halden")])
            .await;
        engine.delete_item("tents-Halden-2").await;
        assert_eq!(because().await, ["tents-Halden-3", "tents-Halden-0"]);
        // It is no tent any more.
        engine
            .publish_items(vec![item("tents-Halden-3", "maps", "Brenna")])
            .await;
        assert_eq!(because().await[0], "tents-Halden-0");
    })
    .await;
}

#[tokio::test]
async fn what_was_bought_together_is_found_from_the_basket() {
    on_both("bought", async |engine| {
        shop(&engine).await;
        only(&engine, SourceKind::AlsoBought).await;
        // A year ago, as an import has it.
        let then_ms = time::now_ms() - 365 * DAY_MS;
        let mut events = Vec::new();
        for i in 0..5 {
            let basket = ["tents-Brenna-1", "stoves-Halden-3"];
            events.push(event(&format!("p{i}"), "purchase", &basket, then_ms + i));
        }
        engine.publish_events(events).await;
        let mut request = ask("only", &stranger());
        request.context = Some(Context {
            cart_item_ids: vec!["tents-Brenna-1".into()],
            ..Default::default()
        });
        let decided = engine.decide_one(request).await;
        let first = &decided.slots[0];
        assert_eq!(first.item_id, "stoves-Halden-3");
        assert_eq!(
            first.reasons[0].text,
            "Often bought with Item tents-Brenna-1"
        );
        // What is in the basket is not offered again.
        assert!(!shown(&decided).contains(&"tents-Brenna-1".to_owned()));
        // And a year-old purchase still makes an item popular.
        assert_eq!(engine.home(&stranger()).await[..2].len(), 2);
        let home = engine.home(&stranger()).await;
        assert!(home[..2].contains(&"tents-Brenna-1".to_owned()), "{home:?}");
    })
    .await;
}

#[tokio::test]
async fn without_consent_only_the_situation_counts() {
    on_both("consent", async |engine| {
        shop(&engine).await;
        let withheld = Snapshot {
            basis: Basis::ContextOnly.into(),
            ..person(&[("view", "tents-Halden-1")])
        };
        let decided = engine.decide_one(ask("home", &withheld)).await;
        let personal = ["similar", "recently_viewed", "also_bought"];
        for reason in decided.slots.iter().flat_map(|slot| &slot.reasons) {
            let kind = reason.source.as_ref().map(|s| s.kind.as_str());
            assert!(!personal.contains(&kind.unwrap_or_default()), "{reason:?}");
        }
        assert_eq!(
            read(&engine, &decided.decision_id).await.unwrap().basis(),
            Basis::ContextOnly
        );
        // And what they do teaches nothing.
        only(&engine, SourceKind::Popular).await;
        let mut hidden = event("p", "view", &["stoves-Halden-2"], time::now_ms());
        hidden.personalization_allowed = false;
        engine.publish_events(vec![hidden]).await;
        let decided = engine.decide_one(ask("only", &stranger())).await;
        assert!(decided.slots.iter().all(|s| s.reasons[0].text == "New in"));
    })
    .await;
}

#[tokio::test]
async fn only_what_can_be_had_is_shown() {
    on_both("offerable", async |engine| {
        shop(&engine).await;
        let now_ms = time::now_ms();
        let mut draft = item("tents-Halden-1", "tents", "Halden");
        draft.set_state(ItemState::Draft);
        let mut sold_out = item("tents-Halden-2", "tents", "Halden");
        sold_out.stock = Some(0);
        let mut not_yet = item("tents-Halden-3", "tents", "Halden");
        not_yet.available_from = Some(time::from_ms(now_ms + DAY_MS));
        let mut over = item("tents-Brenna-1", "tents", "Brenna");
        over.available_to = Some(time::from_ms(now_ms - DAY_MS));
        engine
            .publish_items(vec![draft, sold_out, not_yet, over])
            .await;
        engine.delete_item("tents-Brenna-2").await;
        let mut ids = engine.home(&stranger()).await;
        ids.sort();
        let left = [
            "stoves-Halden-1",
            "stoves-Halden-2",
            "stoves-Halden-3",
            "tents-Brenna-3",
        ];
        assert_eq!(ids, left);
        // Tomorrow, as far as the person is concerned.
        let mut tomorrow = ask("home", &stranger());
        tomorrow.context = Some(Context {
            time: Some(time::from_ms(now_ms + 2 * DAY_MS)),
            ..Default::default()
        });
        let ids = shown(&engine.decide_one(tomorrow).await);
        assert!(ids.contains(&"tents-Halden-3".to_owned()));
        // Back in stock.
        engine
            .publish_items(vec![item("tents-Halden-2", "tents", "Halden")])
            .await;
        assert!(
            engine
                .home(&stranger())
                .await
                .contains(&"tents-Halden-2".to_owned())
        );
    })
    .await;
}

#[tokio::test]
async fn what_was_learnt_survives_a_restart_and_counts_once() {
    on_both("restart", async |engine| {
        shop(&engine).await;
        only(&engine, SourceKind::Popular).await;
        let now_ms = time::now_ms();
        let view = |who: &str, id| event(who, "view", &[id], now_ms);
        let first = vec![view("p1", "stoves-Halden-1"), view("p2", "stoves-Halden-1")];
        engine.publish_events(first).await;
        // Stopped in order: the models are stored.
        engine.stop().await;
        let second = engine.replica().await;
        let home = shown(&second.decide_one(ask("only", &stranger())).await);
        assert_eq!(home[0], "stoves-Halden-1");
        // Three views outweigh two, unless the two were counted twice.
        let more = (0..3).map(|i| view(&format!("q{i}"), "tents-Brenna-2"));
        second.publish_events(more.collect()).await;
        let home = shown(&second.decide_one(ask("only", &stranger())).await);
        assert_eq!(home[..2], ["tents-Brenna-2", "stoves-Halden-1"]);
        // Not stopped at all: what came since is read from the log again.
        let third = second.replica().await;
        assert_eq!(
            shown(&third.decide_one(ask("only", &stranger())).await),
            home
        );
    })
    .await;
}

async fn read(engine: &Running, id: &str) -> Result<Decision, Status> {
    let get = GetDecisionRequest {
        decision_id: id.into(),
    };
    let mut client = engine.decisions.clone();
    Ok(client.get_decision(engine.request(get)).await?.into_inner())
}

async fn record(
    engine: &Running,
    outcomes: Vec<Outcome>,
) -> Result<RecordOutcomesResponse, Status> {
    let mut client = engine.decisions.clone();
    let request = engine.request(RecordOutcomesRequest { outcomes });
    Ok(client.record_outcomes(request).await?.into_inner())
}

fn outcome(token: &str, kind: OutcomeType, value: f64, id: &str) -> Outcome {
    Outcome {
        token: token.into(),
        r#type: kind.into(),
        value,
        time: None,
        outcome_id: id.into(),
    }
}

#[tokio::test]
async fn a_decision_can_be_read_with_what_came_of_it() {
    on_both("outcomes", async |engine| {
        shop(&engine).await;
        let mut request = ask("home", &person(&[("view", "tents-Halden-1")]));
        request.explain = true;
        let decided = engine.decide_one(request).await;
        let stored = read(&engine, &decided.decision_id).await.unwrap();
        assert_eq!(stored.placement, "home");
        assert_eq!(
            (stored.strategy.as_str(), stored.channel.as_str()),
            ("default", "web")
        );
        assert_eq!(stored.profile_id, "0190c0de-0000-7000-8000-000000000001");
        let slots = |reasons: usize, ids: Vec<String>| (reasons, ids);
        assert_eq!(
            slots(
                stored.slots[0].reasons.len(),
                stored.slots.iter().map(|s| s.item_id.clone()).collect()
            ),
            slots(decided.slots[0].reasons.len(), shown(&decided))
        );
        assert!(stored.slots.iter().all(|slot| slot.propensity == 1.0));

        let token = &decided.slots[2].token;
        let report = vec![
            outcome(token, OutcomeType::Exposure, 0.0, ""),
            outcome(token, OutcomeType::Click, 0.0, ""),
            outcome(token, OutcomeType::Conversion, 49.9, "order-1"),
            outcome(token, OutcomeType::Click, 0.0, ""),
        ];
        let recorded = record(&engine, report.clone()).await.unwrap();
        assert_eq!((recorded.accepted_count, recorded.duplicate_count), (3, 1));
        let recorded = record(&engine, report).await.unwrap();
        assert_eq!((recorded.accepted_count, recorded.duplicate_count), (0, 4));
        let again = vec![outcome(token, OutcomeType::Conversion, 10.0, "order-2")];
        assert_eq!(record(&engine, again).await.unwrap().accepted_count, 1);

        let stored = read(&engine, &decided.decision_id).await.unwrap();
        assert_eq!(stored.outcomes.len(), 4);
        assert!(stored.outcomes.iter().all(|o| o.position == 3));
        let value: f64 = stored.outcomes.iter().map(|o| o.value).sum();
        assert!((value - 59.9).abs() < 1e-9);
        let elsewhere = engine.in_workspace("other");
        let missing = read(&elsewhere, &decided.decision_id).await;
        assert_eq!(reason(missing), Reason::ResourceNotFound);
        assert_eq!(
            fields(&read(&engine, "nope").await.unwrap_err()),
            ["decision_id"]
        );
    })
    .await;
}

#[tokio::test]
async fn every_fault_of_a_report_is_told_and_nothing_is_recorded() {
    on_both("bad_report", async |engine| {
        shop(&engine).await;
        let decided = engine.decide_one(ask("home", &stranger())).await;
        let good = decided.slots[0].token.clone();
        let mut early = outcome(&good, OutcomeType::Exposure, 1.0, "");
        early.time = Some(time::from_ms(-1));
        let mut late = outcome(&good, OutcomeType::Conversion, f64::NAN, "");
        late.time = Some(time::from_ms(time::now_ms() + 2 * DAY_MS));
        let report = vec![
            outcome(&good, OutcomeType::Click, 0.0, "fine"),
            outcome(&good, OutcomeType::Unspecified, 0.0, &"x".repeat(300)),
            outcome("forged", OutcomeType::Click, 0.0, ""),
            early,
            late,
        ];
        let status = record(&engine, report).await.unwrap_err();
        let expected = [
            "outcomes[1].type",
            "outcomes[1].outcome_id",
            "outcomes[2].token",
            "outcomes[3].value",
            "outcomes[3].time",
            "outcomes[4].value",
            "outcomes[4].time",
        ];
        assert_eq!(fields(&status), expected);
        assert_eq!(reason::<()>(Err(status)), Reason::TokenInvalid);
        let stored = read(&engine, &decided.decision_id).await.unwrap();
        assert!(stored.outcomes.is_empty());
        // A token of another tenant is none here.
        let elsewhere = engine.in_workspace("other");
        let foreign = vec![outcome(&good, OutcomeType::Click, 0.0, "")];
        assert_eq!(
            reason(record(&elsewhere, foreign).await),
            Reason::TokenInvalid
        );
        assert_eq!(
            fields(&record(&engine, vec![]).await.unwrap_err()),
            ["outcomes"]
        );
    })
    .await;
}

#[tokio::test]
async fn a_preview_leaves_no_trace_and_explains_in_numbers() {
    on_both("preview", async |engine| {
        shop(&engine).await;
        let mut request = ask("home", &person(&[("view", "tents-Halden-1")]));
        request.preview = true;
        request.explain = true;
        let decided = engine.decide_one(request).await;
        assert!(decided.decision_id.is_empty());
        for slot in &decided.slots {
            assert!(slot.token.is_empty());
            let shares = slot
                .reasons
                .iter()
                .filter(|r| r.kind() == ReasonKind::Source);
            let total: f64 = shares.map(|r| r.weight).sum();
            assert!((total - 1.0).abs() < 1e-6, "{slot:?}");
            let weights: Vec<f64> = slot.reasons.iter().map(|r| r.weight).collect();
            assert!(weights.windows(2).all(|w| w[0] >= w[1]), "{weights:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn stored_decisions_survive_the_process() {
    on_both("stored", async |engine| {
        shop(&engine).await;
        let mut ids = Vec::new();
        for _ in 0..700 {
            ids.push(
                engine
                    .decide_one(ask("home", &stranger()))
                    .await
                    .decision_id,
            );
        }
        engine.stop().await;
        let again = engine.replica().await;
        for id in [&ids[0], &ids[350], &ids[699]] {
            assert_eq!(&read(&again, id).await.unwrap().decision_id, id);
        }
    })
    .await;
}
