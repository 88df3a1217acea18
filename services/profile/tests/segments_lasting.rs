//! Segments where something else happens meanwhile: lists that are made again, people who
//! are merged before their time comes, decisions that change what may be read, events
//! from far ahead. On SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use attune_api::profile::v1::{
    ListMergesRequest, MergeProfilesRequest, Segment, UnmergeProfilesRequest, UpdateSegmentRequest,
};
use attune_profile::{Clock, Config};
use attune_storage::args;
use attune_testkit::wait_until;
use futures::FutureExt as _;
use prost_types::FieldMask;
use serde_json::json;
use support::{segments::*, *};

const DAY: i64 = 86_400_000;

async fn merge(shop: &Running, profile_id: &str, other_profile_id: &str) -> String {
    let request = shop.request(MergeProfilesRequest {
        profile_id: profile_id.into(),
        other_profile_id: other_profile_id.into(),
        reason: String::new(),
    });
    let mut client = shop.privacy.clone();
    client.merge_profiles(request).await.unwrap();
    let request = shop.request(ListMergesRequest {
        profile_id: profile_id.into(),
        ..ListMergesRequest::default()
    });
    let merges = client
        .list_merges(request)
        .await
        .unwrap()
        .into_inner()
        .merges;
    merges
        .into_iter()
        .find(|merge| !merge.undone)
        .unwrap()
        .merge_id
}

async fn count(shop: &Running, sql: &'static str, id: &str) -> i64 {
    let arguments = args![shop.caller.workspace.as_str(), id];
    let rows = shop.database.fetch_all(sql, arguments).await.unwrap();
    rows[0].get(0).unwrap()
}

#[tokio::test]
async fn a_list_that_is_made_again_begins_empty() {
    on_both("segment_list_again", async |shop| {
        shop.declare("vip", "").await;
        let ann = shop
            .one(identify("m1", &["u:ann"], 0, json!({"n": 1})))
            .await;
        let anna = shop
            .one(identify("m2", &["u:anna"], 0, json!({"n": 2})))
            .await;
        shop.change("vip", &[user("anna")], &[]).await.unwrap();
        let merge_id = merge(&shop, &ann, &anna).await;
        assert_eq!(shop.segments_of(&ann).await, ["vip"], "{}", shop.system);
        // Made again at once, before anybody was taken off it.
        shop.delete("vip").await.unwrap();
        shop.declare("vip", "").await;
        assert!(shop.members("vip").await.is_empty(), "{}", shop.system);
        // What she says of herself is put together anew.
        shop.one(identify("m3", &["u:anna"], 5, json!({"n": 3})))
            .await;
        shop.consent(&ann, "personalization", true).await;
        assert!(shop.segments_of(&ann).await.is_empty());
        let request = shop.request(UnmergeProfilesRequest {
            merge_id,
            reason: String::new(),
            ..UnmergeProfilesRequest::default()
        });
        shop.privacy
            .clone()
            .unmerge_profiles(request)
            .await
            .unwrap();
        assert!(shop.segments_of(&anna).await.is_empty(), "{}", shop.system);
        assert!(shop.members("vip").await.is_empty());
        // Put on it again she is.
        shop.change("vip", &[user("anna")], &[]).await.unwrap();
        assert_eq!(shop.members("vip").await, [anna]);
        shop.stop().await;
    })
    .await;
}

#[tokio::test]
async fn who_was_merged_before_the_time_came_is_in_no_segment() {
    on_both_at("segment_merged_due", T0, async |shop| {
        shop.declare("later", r#"now > timestamp("2026-01-02T00:00:00Z")"#)
            .await;
        let ann = shop
            .one(identify("m1", &["u:ann"], 0, json!({"n": 1})))
            .await;
        let anna = shop
            .one(identify("m2", &["u:anna"], 0, json!({"n": 2})))
            .await;
        merge(&shop, &ann, &anna).await;
        // As if the timer had read that before they were merged.
        let (workspace, id) = (shop.caller.workspace.as_str().to_owned(), anna.clone());
        shop.database
            .write(move |tx| {
                let (workspace, id) = (workspace.clone(), id.clone());
                async move {
                    const DUE: &str =
                        "insert into due (workspace, profile_id, due_ms) values ($1, $2, $3)";
                    tx.execute(DUE, args![workspace, id, T0 + 5]).await
                }
                .boxed()
            })
            .await
            .unwrap();
        shop.clock.set(T0 + DAY + 1);
        shop.until_segments(&ann, &["later"]).await;
        const DUE: &str = "select count(*) from due where workspace = $1 and profile_id = $2";
        wait_until("it is over", Duration::from_secs(90), async || {
            count(&shop, DUE, &anna).await == 0
        })
        .await;
        assert_eq!(shop.members("later").await, [ann], "{}", shop.system);
        shop.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_decision_changes_those_segments_that_go_by_it() {
    on_both("segment_decisions", async |shop| {
        shop.declare("pro", r#"profile.plan == "pro""#).await;
        shop.declare("unknown", "!has(profile.plan)").await;
        shop.declare("mail", r#"consent("marketing_email")"#).await;
        shop.declare("reached", r#""pro" in segments && "mail" in segments"#)
            .await;
        let ann = shop
            .one(identify("m1", &["u:ann"], 0, json!({"plan": "pro"})))
            .await;
        let rows: [(&str, bool, &[&str]); 5] = [
            ("marketing_email", true, &["mail", "pro", "reached"]),
            ("personalization", false, &["mail", "unknown"]),
            ("analytics", false, &["mail", "unknown"]),
            ("personalization", true, &["mail", "pro", "reached"]),
            ("marketing_email", false, &["pro"]),
        ];
        for (purpose, granted, expected) in rows {
            shop.consent(&ann, purpose, granted).await;
            let found = shop.segments_of(&ann).await;
            assert_eq!(found, expected, "{purpose} {granted} on {}", shop.system);
        }
        shop.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_event_from_far_ahead_moves_no_window() {
    for database in databases("segment_ahead").await {
        let config = Config {
            future_hours_max: 8_760,
            ..Config::default()
        };
        let now_ms = attune_api::time::now_ms();
        let clock = Clock::standing_at(now_ms);
        let shop = Running::open_with(database.url(), database.system, config, clock).await;
        let at = |n: usize, days: i64| {
            let (id, at) = (format!("m{n}"), now_ms - T0 + days * DAY);
            event(&id, &["u:ann"], at, "purchase", json!({"revenue": 10}))
        };
        // Before anybody asks, so that a column is read, and as a column is held.
        for (n, days) in [-9, -8, -7, -6, 200].into_iter().enumerate() {
            shop.one(at(n, days)).await;
        }
        shop.declare("five", r#"events("purchase").within("10d").count() == 5"#)
            .await;
        shop.declare("six", r#"events("purchase").within("10d").count() == 6"#)
            .await;
        let ann = shop.profile_of(user("ann")).await.unwrap();
        assert_eq!(shop.segments_of(&ann).await, ["five"], "{}", shop.system);
        shop.one(at(9, 300)).await;
        assert_eq!(shop.segments_of(&ann).await, ["six"], "{}", shop.system);
        shop.stop().await;
    }
}

#[tokio::test]
async fn a_list_may_become_an_expression_and_back() {
    on_both("segment_list_turned", async |shop| {
        shop.declare("vip", "").await;
        let ann = shop
            .one(identify("m1", &["u:ann"], 0, json!({"n": 1})))
            .await;
        let bob = shop
            .one(identify("m2", &["u:bob"], 0, json!({"n": 2})))
            .await;
        shop.change("vip", &[user("ann")], &[]).await.unwrap();
        for (expression, expected) in [("profile.n == 2", bob), ("", ann)] {
            let segment = Segment {
                segment_id: "vip".into(),
                expression: expression.into(),
                ..Segment::default()
            };
            let request = shop.request(UpdateSegmentRequest {
                segment: Some(segment),
                update_mask: Some(FieldMask {
                    paths: vec!["expression".into()],
                }),
                allow_missing: false,
            });
            shop.segment_client().update_segment(request).await.unwrap();
            shop.filled("vip").await;
            assert_eq!(shop.members("vip").await, [expected], "{}", shop.system);
        }
        shop.stop().await;
    })
    .await;
}
