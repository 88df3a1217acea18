//! Windows over whole histories, through the service's real client: they reach further
//! back than what decisions see, late events land in them, merges move them, time empties
//! them at its second, and it makes no difference who wrote last or what was forgotten.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use attune_profile::{Clock, Config};
use attune_storage::args;
use futures::FutureExt as _;
use serde_json::json;
use support::{segments::*, *};

const DAY: i64 = 86_400_000;

/// Some time ago, so that what happens later is no future.
const START: i64 = -300 * DAY;

/// Snapshots hold fewer events than windows ask about.
fn config() -> Config {
    Config {
        recent_events_max: 5,
        ..Config::default()
    }
}

fn bought(
    id: String,
    who: &str,
    at: i64,
    category: &str,
) -> attune_api::profile::v1::IngestMessage {
    let properties = json!({"revenue": 10.0, "category": category, "product_id": "tent"});
    event(&id, &[who], at, "purchase", properties)
}

#[tokio::test]
async fn windows_reach_further_back_than_snapshots() {
    for database in databases("windows_reach").await {
        let clock = Clock::standing_at(T0 + START + 400 * DAY);
        let open = || Running::open_with(database.url(), database.system, config(), clock.clone());
        let shop = open().await;
        for (id, expression) in [
            ("ten", r#"events("purchase").within("365d").count() >= 10"#),
            ("hundred", r#"events("purchase").sum("revenue") >= 100.0"#),
            (
                "mostly_tents",
                r#"events("purchase").within("365d").mostFrequent("category") == "tents""#,
            ),
            (
                "favourite",
                r#"events("purchase").where(e, e.category == profile.favourite).count() >= 8"#,
            ),
            (
                "after_long",
                r#"events("search").then("purchase").exists()"#,
            ),
        ] {
            shop.declare(id, expression).await;
        }
        let traits = json!({"favourite": "tents"});
        let ann = shop.one(identify("i", &["u:ann"], 0, traits)).await;
        shop.one(event(
            "s",
            &["u:ann"],
            START + 50 * DAY,
            "search",
            json!({}),
        ))
        .await;
        for n in 0..9 {
            let category = if n < 7 { "tents" } else { "stoves" };
            let at = START + (100 + n) * DAY;
            shop.one(bought(format!("m{n}"), "u:ann", at, category))
                .await;
        }
        let system = shop.system;
        let before = ["after_long", "mostly_tents"];
        assert_eq!(shop.segments_of(&ann).await, before, "{system}");
        // Long ago, and told only now.
        shop.one(bought("late".into(), "u:ann", START + 60 * DAY, "tents"))
            .await;
        let all = ["after_long", "favourite", "hundred", "mostly_tents", "ten"];
        assert_eq!(shop.segments_of(&ann).await, all, "{system}");
        // Out of the window when it comes.
        shop.one(bought("older".into(), "u:ann", START + 20 * DAY, "tents"))
            .await;
        assert_eq!(shop.segments_of(&ann).await, all, "{system}");
        // The late one leaves, to the millisecond; the sum stays.
        clock.set(T0 + START + (60 + 365) * DAY);
        shop.one(view("v1", &["u:ann"], 0, "lamp")).await;
        shop.one(event("s2", &["u:ann"], 1, "search", json!({})))
            .await;
        assert_eq!(shop.segments_of(&ann).await, all, "{system}");
        clock.set(T0 + START + (60 + 365) * DAY + 1);
        let left = ["after_long", "favourite", "hundred", "mostly_tents"];
        shop.until_segments(&ann, &left).await;
        // Whoever opens the database next knows as much.
        shop.stop().await;
        let shop = open().await;
        shop.one(bought("m10".into(), "u:ann", START + 425 * DAY, "tents"))
            .await;
        assert_eq!(shop.segments_of(&ann).await, all, "{system}");
        shop.stop().await;
    }
}

#[tokio::test]
async fn a_merge_brings_both_histories_into_one_window() {
    on_both_at("windows_merge", T0 + DAY, async |shop| {
        shop.declare("ten", r#"events("purchase").within("30d").count() == 10"#)
            .await;
        for n in 0..5 {
            for who in ["a:x", "u:ann"] {
                shop.one(bought(format!("{who}{n}"), who, n, "tents")).await;
            }
        }
        let ann = shop.one(alias("alias", &["u:ann"], "a:x")).await;
        assert_eq!(shop.segments_of(&ann).await, ["ten"], "{}", shop.system);
        shop.one(bought("more".into(), "a:x", 9, "tents")).await;
        assert!(shop.segments_of(&ann).await.is_empty(), "{}", shop.system);
        shop.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_another_process_wrote_is_in_the_window() {
    let postgres = databases("windows_replicas").await;
    let postgres = postgres
        .into_iter()
        .find(|d| d.system == "postgres")
        .unwrap();
    let clock = Clock::standing_at(T0 + DAY);
    let open = || Running::open_with(postgres.url(), "postgres", config(), clock.clone());
    let (one, other) = (open().await, open().await);
    for count in [6, 7, 12] {
        let expression = format!(r#"events("purchase").within("30d").count() == {count}"#);
        one.declare(&format!("c{count}"), &expression).await;
    }
    let mut ann = String::new();
    for n in 0..12 {
        // Two of one, then one of the other.
        let shop = if n % 3 == 2 { &other } else { &one };
        ann = shop.one(bought(format!("m{n}"), "u:ann", n, "tents")).await;
        let expected: &[&str] = match n + 1 {
            6 => &["c6"],
            7 => &["c7"],
            12 => &["c12"],
            _ => &[],
        };
        assert_eq!(shop.segments_of(&ann).await, expected, "after {}", n + 1);
    }
    assert_eq!(one.segments_of(&ann).await, ["c12"]);
    one.stop().await;
    other.stop().await;
}

/// Held columns answer, not the table: an event that is deleted behind the service's
/// back still counts until the service is opened anew.
#[tokio::test]
async fn histories_in_use_are_not_read_again() {
    let databases = databases("windows_held").await;
    let sqlite = databases
        .into_iter()
        .find(|d| d.system == "sqlite")
        .unwrap();
    let clock = Clock::standing_at(T0 + DAY);
    let open = || Running::open_with(sqlite.url(), "sqlite", config(), clock.clone());
    let shop = open().await;
    shop.declare("three", r#"events("purchase").within("30d").count() == 3"#)
        .await;
    let mut ann = String::new();
    for n in 0..2 {
        ann = shop.one(bought(format!("m{n}"), "u:ann", n, "tents")).await;
    }
    let deleted = shop.database.write(|tx| {
        tx.execute("delete from events where time_ms = $1", args![T0])
            .boxed()
    });
    let deleted: Result<_, attune_storage::Error> = deleted.await;
    assert_eq!(deleted.unwrap(), 1);
    shop.one(bought("m2".into(), "u:ann", 2, "tents")).await;
    assert_eq!(shop.segments_of(&ann).await, ["three"]);
    shop.stop().await;
    let shop = open().await;
    shop.one(bought("m3".into(), "u:ann", 3, "tents")).await;
    assert_eq!(shop.segments_of(&ann).await, ["three"], "three are left");
    shop.stop().await;
}
