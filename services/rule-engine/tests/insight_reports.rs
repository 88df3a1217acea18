//! What is reported with tokens, and what reports make of it; through the real client,
//! on SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use attune_api::{
    rules::v1::{
        Decision, GetDecisionRequest, GetReportRequest, Outcome, OutcomeType, PlacementDecision,
        RecordOutcomesRequest, RecordOutcomesResponse, Report, ReportRow, Slot, SourceKind,
    },
    time,
};
use attune_errors::Reason;
use attune_rule_engine::{
    Config,
    domain::token::{self, TokenKey},
};
use attune_testkit::{PATIENCE, wait_until};
use serde_json::json;
use support::*;
use tonic::Status;

const HOUR_MS: i64 = 3_600_000;

/// Three items on `home`, `a` boosted by the rule `push`.
async fn shop(engine: &Running) {
    let items = ["a", "b", "c"].map(|id| item(id, "x", "Halden"));
    engine.publish_items(items.into()).await;
    engine
        .put_strategy(strategy(
            "fresh",
            &[(SourceKind::New, json!({"days": 2000}))],
        ))
        .await
        .unwrap();
    engine
        .put_placement(placement("home", "fresh"))
        .await
        .unwrap();
    engine
        .put_rule(rule("push", "item.id == \"a\"", boost(2.0)))
        .await
        .unwrap();
}

async fn report(engine: &Running, request: GetReportRequest) -> Result<Report, Status> {
    let mut client = engine.analysis.clone();
    Ok(client
        .get_report(engine.request(request))
        .await?
        .into_inner())
}

fn by(dimension: &str) -> GetReportRequest {
    GetReportRequest {
        dimension: dimension.into(),
        ..GetReportRequest::default()
    }
}

async fn total(engine: &Running) -> ReportRow {
    report(engine, by("placement"))
        .await
        .unwrap()
        .total
        .unwrap()
}

async fn record(
    engine: &Running,
    outcomes: Vec<Outcome>,
) -> Result<RecordOutcomesResponse, Status> {
    let mut client = engine.decisions.clone();
    let request = engine.request(RecordOutcomesRequest { outcomes });
    Ok(client.record_outcomes(request).await?.into_inner())
}

fn outcome(slot: &Slot, kind: OutcomeType) -> Outcome {
    Outcome {
        token: slot.token.clone(),
        r#type: kind.into(),
        ..Outcome::default()
    }
}

fn sale(slot: &Slot, value: f64, id: &str) -> Outcome {
    Outcome {
        value,
        outcome_id: id.into(),
        ..outcome(slot, OutcomeType::Conversion)
    }
}

async fn counted(engine: &Running, exposures: i64, conversions: i64) {
    wait_until("outcomes are counted", PATIENCE, async || {
        let total = total(engine).await;
        (total.exposure_count, total.conversion_count) == (exposures, conversions)
    })
    .await;
}

fn counts(row: &ReportRow) -> [i64; 5] {
    [
        row.decision_count,
        row.exposure_count,
        row.click_count,
        row.dismiss_count,
        row.conversion_count,
    ]
}

fn keys(report: &Report) -> Vec<(&str, [i64; 5])> {
    let rows = report.rows.iter();
    rows.map(|row| (row.key.as_str(), counts(row))).collect()
}

fn slot<'a>(decided: &'a PlacementDecision, item: &str) -> &'a Slot {
    let mut slots = decided.slots.iter();
    slots.find(|slot| slot.item_id == item).unwrap()
}

#[tokio::test]
async fn a_report_counts_each_slot_once_and_by_every_dimension() {
    on_both("reports", async |engine| {
        shop(&engine).await;
        let first = engine.decide_one(ask("home", &stranger())).await;
        let mut elsewhere = ask("home", &stranger());
        elsewhere.channel = "app".into();
        let second = engine.decide_one(elsewhere).await;
        let (a, b) = (slot(&first, "a"), slot(&first, "b"));
        let reported = vec![
            outcome(a, OutcomeType::Exposure),
            outcome(a, OutcomeType::Exposure),
            outcome(b, OutcomeType::Exposure),
            outcome(a, OutcomeType::Click),
            sale(a, 30.0, "order-1"),
            sale(a, 20.0, "order-2"),
            outcome(b, OutcomeType::Dismiss),
            // A click tells that it was seen.
            outcome(slot(&second, "a"), OutcomeType::Click),
        ];
        let answer = record(&engine, reported).await.unwrap();
        assert_eq!((answer.accepted_count, answer.duplicate_count), (7, 1));
        counted(&engine, 3, 1).await;
        let late = vec![outcome(slot(&second, "a"), OutcomeType::Exposure)];
        assert_eq!(record(&engine, late).await.unwrap().accepted_count, 1);
        let more = vec![outcome(slot(&second, "b"), OutcomeType::Exposure)];
        record(&engine, more).await.unwrap();
        counted(&engine, 4, 1).await;

        let row = total(&engine).await;
        assert_eq!(counts(&row), [2, 4, 2, 1, 1]);
        assert_eq!(row.revenue, 50.0);
        let click_through = row.click_through.unwrap();
        // Wilson's interval of 2 in 4.
        assert!((click_through.value - 0.5).abs() < 1e-12);
        assert!(
            (click_through.low - 0.1500).abs() < 1e-4,
            "{click_through:?}"
        );
        assert!(
            (click_through.high - 0.8500).abs() < 1e-4,
            "{click_through:?}"
        );
        let revenue = row.revenue_per_exposure.unwrap();
        // Of 50, 0, 0 and 0.
        assert!((revenue.value - 12.5).abs() < 1e-9);
        assert!(
            (revenue.high - (12.5 + 1.959_964 * 12.5)).abs() < 1e-3,
            "{revenue:?}"
        );

        for (dimension, expected) in [
            ("placement", vec![("home", [2, 4, 2, 1, 1])]),
            ("strategy", vec![("fresh", [2, 4, 2, 1, 1])]),
            (
                "channel",
                vec![("app", [1, 2, 1, 0, 0]), ("web", [1, 2, 1, 1, 1])],
            ),
            ("rule", vec![("push", [2, 2, 2, 0, 1])]),
            ("item", vec![("a", [0, 2, 2, 0, 1]), ("b", [0, 2, 0, 1, 0])]),
        ] {
            let found = report(&engine, by(dimension)).await.unwrap();
            assert_eq!(keys(&found), expected, "{dimension}");
        }
        // Two where midnight came between the decisions.
        let days = report(&engine, by("day")).await.unwrap().rows;
        assert!((1..=2).contains(&days.len()), "{days:?}");
        assert!(days.iter().all(|day| day.key.len() == "2026-11-22".len()));
        let narrowed = GetReportRequest {
            channel: "app".into(),
            ..by("item")
        };
        let found = report(&engine, narrowed).await.unwrap();
        assert_eq!(counts(found.total.as_ref().unwrap()), [1, 2, 1, 0, 0]);
        assert_eq!(
            keys(&found),
            [("a", [0, 1, 1, 0, 0]), ("b", [0, 1, 0, 0, 0])]
        );
        let past = GetReportRequest {
            end_time: Some(time::from_ms(time::now_ms() - 3 * DAY_MS)),
            ..by("item")
        };
        assert!(report(&engine, past).await.unwrap().rows.is_empty());
        let other = report(&engine.in_workspace("other"), by("item"))
            .await
            .unwrap();
        assert_eq!(counts(other.total.as_ref().unwrap()), [0; 5]);
        let bad = report(&engine, by("mood")).await.unwrap_err();
        assert_eq!(fields(&bad), ["dimension"]);
    })
    .await;
}

#[tokio::test]
async fn what_was_counted_stays_counted_once_across_replicas_and_restarts() {
    on_both("exactly_once", async |engine| {
        shop(&engine).await;
        let mut shown = Vec::new();
        for _ in 0..20 {
            shown.push(engine.decide_one(ask("home", &stranger())).await);
        }
        // Both count, where both may.
        let replica = (engine.system == "postgres").then_some(engine.replica().await);
        let slots = || shown.iter().flat_map(|decided| &decided.slots);
        for (number, slot) in slots().enumerate() {
            let recorder = match &replica {
                Some(replica) if number % 2 == 0 => replica,
                _ => &engine,
            };
            let reported = vec![outcome(slot, OutcomeType::Exposure)];
            record(recorder, reported).await.unwrap();
        }
        counted(&engine, 60, 0).await;
        if let Some(replica) = replica {
            replica.stop().await;
        }
        let sales = slots().take(3).zip(["x", "y", "z"]);
        let sales = sales.map(|(slot, id)| sale(slot, 10.0, id)).collect();
        record(&engine, sales).await.unwrap();
        engine.stop().await;
        let again = engine.replica().await;
        counted(&again, 60, 3).await;
        let row = total(&again).await;
        assert_eq!((row.decision_count, row.revenue), (20, 30.0));
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
async fn an_outcome_beyond_the_window_is_kept_and_not_counted() {
    on_both("window", async |engine| {
        shop(&engine).await;
        let decided = engine.decide_one(ask("home", &stranger())).await;
        let in_hours = |hours: i64, outcome: Outcome| Outcome {
            time: Some(time::from_ms(time::now_ms() + hours * HOUR_MS)),
            ..outcome
        };
        engine.stop().await;
        // Windows shorter than a sender's clock may be ahead.
        let config = Config {
            attribution_click_hours: 2,
            attribution_conversion_hours: 10,
            ..config()
        };
        let logs = engine.logs.clone();
        let engine = Running::open_with(&engine.url, engine.system, logs, config).await;
        let [a, b, c] = ["a", "b", "c"].map(|id| slot(&decided, id));
        let reported = vec![
            in_hours(1, outcome(a, OutcomeType::Exposure)),
            in_hours(3, outcome(b, OutcomeType::Exposure)),
            in_hours(3, outcome(a, OutcomeType::Click)),
            in_hours(9, sale(a, 5.0, "in")),
            in_hours(11, sale(c, 7.0, "out")),
        ];
        assert_eq!(record(&engine, reported).await.unwrap().accepted_count, 5);
        counted(&engine, 1, 1).await;
        let row = total(&engine).await;
        assert_eq!((counts(&row), row.revenue), ([1, 1, 0, 0, 1], 5.0));
        let stored = read(&engine, &decided.decision_id).await;
        let attributed: Vec<bool> = stored.outcomes.iter().map(|o| o.attributed).collect();
        assert_eq!(attributed, [true, false, false, true, false]);
    })
    .await;
}

#[tokio::test]
async fn tokens_that_are_forged_foreign_or_expired_say_which() {
    on_both("tokens", async |engine| {
        shop(&engine).await;
        engine.stop().await;
        let config = Config {
            token_key: "07".repeat(32).into(),
            ..config()
        };
        let logs = engine.logs.clone();
        let engine = Running::open_with(&engine.url, engine.system, logs, config).await;
        let token = |age_hours: i64, workspace: &str, key: u8| {
            let made_ms = (time::now_ms() - age_hours * HOUR_MS) as u64;
            let id = uuid::Builder::from_unix_timestamp_millis(made_ms, &[1; 10]);
            let key = TokenKey::new([key; 32]);
            let mut tokens = key.tokens(&token::Decision {
                workspace,
                id: id.into_uuid(),
                profile_id: "",
                placement: "home",
                strategy: "fresh",
                channel: "web",
            });
            let token = tokens.token(1, "a", [].into_iter());
            String::from_utf8(token.to_vec()).unwrap()
        };
        let click = |token: String| Outcome {
            token,
            r#type: OutcomeType::Click.into(),
            ..Outcome::default()
        };
        // Beyond both windows and within the grace.
        let late = vec![click(token(300, "default", 7))];
        assert_eq!(record(&engine, late).await.unwrap().accepted_count, 1);
        // 168 hours of window and 168 of grace.
        let expired = || click(token(337, "default", 7));
        let forged = || click(token(1, "default", 8));
        let foreign = || click(token(1, "other", 7));
        for (outcomes, expected, tokens) in [
            (
                vec![expired()],
                Reason::TokenExpired,
                vec!["outcomes[0].token"],
            ),
            (
                vec![forged()],
                Reason::TokenInvalid,
                vec!["outcomes[0].token"],
            ),
            (
                vec![foreign()],
                Reason::TokenInvalid,
                vec!["outcomes[0].token"],
            ),
            (
                vec![expired(), click(token(1, "default", 7)), forged()],
                Reason::TokenInvalid,
                vec!["outcomes[0].token", "outcomes[2].token"],
            ),
        ] {
            let status = record(&engine, outcomes).await.unwrap_err();
            assert_eq!(fields(&status), tokens);
            assert_eq!(reason::<()>(Err(status)), expected);
        }
        // The same again, whatever it is called; but one slot can sell twice.
        // A token tells the millisecond of its decision: made once, it is one decision's.
        let shown = token(1, "default", 7);
        let again = |kind: OutcomeType, id: &str| Outcome {
            outcome_id: id.into(),
            r#type: kind.into(),
            ..click(shown.clone())
        };
        let (click, sale) = (OutcomeType::Click, OutcomeType::Conversion);
        for (outcome, accepted) in [
            (again(click, "one"), 1),
            (again(click, "two"), 0),
            (again(click, ""), 0),
            (again(sale, "one"), 1),
            (again(sale, "two"), 1),
            (again(sale, "two"), 0),
            (again(sale, ""), 1),
        ] {
            let answer = record(&engine, vec![outcome.clone()]).await.unwrap();
            assert_eq!(answer.accepted_count, accepted, "{outcome:?}");
            assert_eq!(answer.duplicate_count, 1 - accepted, "{outcome:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_day_that_is_full_counts_new_channels_together() {
    on_both("full_day", async |engine| {
        shop(&engine).await;
        engine.stop().await;
        let config = Config {
            report_rows_per_day_max: 6,
            ..config()
        };
        let logs = engine.logs.clone();
        let engine = Running::open_with(&engine.url, engine.system, logs, config).await;
        for number in 0..20 {
            let mut request = ask("home", &stranger());
            request.channel = format!("channel-{number:02}");
            let decided = engine.decide_one(request).await;
            // Reading it waits until it is stored and counted.
            read(&engine, &decided.decision_id).await;
        }
        let found = report(&engine, by("channel")).await.unwrap();
        assert!(found.rows.len() <= 8, "{:?}", keys(&found));
        assert_eq!(found.rows[0].key, "(other)");
        assert_eq!(found.total.unwrap().decision_count, 20);
    })
    .await;
}
