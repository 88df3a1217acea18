//! Segments through their real client: declared, filled in, kept up to date by events,
//! traits, merges and time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use attune_api::{
    events::v1::{LogEntry, log_entry::Change},
    profile::v1::{
        EstimateSegmentRequest, ListSegmentSizesRequest, Segment, SegmentState,
        StreamSegmentMembersRequest, UpdateSegmentRequest,
    },
    r#type::v1::subject::Id,
};
use attune_errors::{Reason, reason_of};
use futures::TryStreamExt as _;
use prost::Message as _;
use serde_json::json;
use support::{segments::*, *};

const DAY: i64 = 86_400_000;

#[tokio::test]
async fn events_traits_and_consents_move_people_between_segments() {
    on_both("segment_moves", async |shop| {
        shop.declare("buyers", r#"events("purchase").exists()"#)
            .await;
        shop.declare("pro", r#"profile.plan == "pro""#).await;
        shop.declare("pro_buyers", r#""pro" in segments && "buyers" in segments"#)
            .await;
        shop.declare("agreed", r#"consent("marketing_email")"#)
            .await;
        let ann = shop.one(view("m1", &["u:ann"], 0, "tent")).await;
        shop.consent(&ann, "marketing_email", false).await;
        assert!(shop.segments_of(&ann).await.is_empty(), "{}", shop.system);
        let before = shop.segment_changes().await.len();
        shop.one(event("m2", &["u:ann"], 1, "purchase", json!({})))
            .await;
        assert_eq!(shop.segments_of(&ann).await, ["buyers"]);
        shop.one(identify("m3", &["u:ann"], 2, json!({"plan": "pro"})))
            .await;
        assert_eq!(
            shop.segments_of(&ann).await,
            ["buyers", "pro", "pro_buyers"]
        );
        shop.consent(&ann, "marketing_email", true).await;
        let all = ["agreed", "buyers", "pro", "pro_buyers"];
        assert_eq!(shop.segments_of(&ann).await, all);
        shop.one(identify("m4", &["u:ann"], 3, json!({"plan": null})))
            .await;
        assert_eq!(shop.segments_of(&ann).await, ["agreed", "buyers"]);
        let told = shop.segment_changes().await.split_off(before);
        let told: Vec<_> = told.iter().map(|(id, is)| (id.as_str(), *is)).collect();
        let expected = [
            ("buyers", true),
            ("pro", true),
            ("pro_buyers", true),
            ("agreed", true),
            ("pro", false),
            ("pro_buyers", false),
        ];
        assert_eq!(told, expected);
        shop.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_new_or_changed_segment_is_filled_in() {
    on_both("segment_fill", async |shop| {
        for n in 0..5 {
            let who = format!("u:p{n}");
            let traits = json!({ "age": n * 10 });
            shop.one(identify(&format!("m{n}"), &[&who], 0, traits))
                .await;
        }
        shop.declare("grown", "profile.age >= 20").await;
        assert_eq!(shop.members("grown").await.len(), 3);
        shop.declare("old", r#""grown" in segments && profile.age >= 40"#)
            .await;
        assert_eq!(shop.members("old").await.len(), 1);
        let segment = Segment {
            segment_id: "grown".into(),
            expression: "profile.age < 20".into(),
            ..Segment::default()
        };
        let request = shop.request(UpdateSegmentRequest {
            segment: Some(segment),
            ..UpdateSegmentRequest::default()
        });
        shop.segment_client().update_segment(request).await.unwrap();
        shop.filled("grown").await;
        assert_eq!(shop.members("grown").await.len(), 2);
        assert_eq!(shop.members("old").await.len(), 0);
        let live = shop.segment("grown").await.unwrap();
        assert_eq!((live.state(), live.progress), (SegmentState::Live, 1.0));
        assert_eq!(live.member_count, 2);
        shop.stop().await;
    })
    .await;
}

#[tokio::test]
async fn membership_ends_when_its_window_does() {
    on_both_at("segment_due", T0, async |shop| {
        shop.declare("recent", r#"events("view").within("30d").exists()"#)
            .await;
        shop.declare(
            "lapsed",
            r#"events("view").exists() && !("recent" in segments)"#,
        )
        .await;
        let ann = shop.one(view("m1", &["u:ann"], -DAY, "tent")).await;
        assert_eq!(shop.segments_of(&ann).await, ["recent"]);
        // Not a moment too early.
        shop.clock.set(T0 + 29 * DAY);
        assert_eq!(shop.segments_of(&ann).await, ["recent"], "{}", shop.system);
        shop.clock.set(T0 + 29 * DAY + 1);
        shop.until_segments(&ann, &["lapsed"]).await;
        // A late event lands in its own time and opens the window again.
        shop.one(view("m2", &["u:ann"], 10 * DAY, "mat")).await;
        assert_eq!(shop.segments_of(&ann).await, ["recent"]);
        shop.clock.set(T0 + 40 * DAY + 1);
        shop.until_segments(&ann, &["lapsed"]).await;
        shop.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_merged_profile_leaves_and_the_survivor_is_judged_anew() {
    on_both("segment_merge", async |shop| {
        shop.declare("two", r#"events("view").count() >= 2"#).await;
        shop.declare("any", r#"events("view").exists()"#).await;
        let one = shop.one(view("m1", &["a:x"], 0, "tent")).await;
        shop.one(view("m2", &["u:ann"], 1, "mat")).await;
        assert_eq!(shop.members("any").await.len(), 2);
        shop.one(view("m3", &["u:ann", "a:x"], 2, "cup")).await;
        assert_eq!(shop.segments_of(&one).await, ["any", "two"]);
        assert_eq!(shop.members("any").await, std::slice::from_ref(&one));
        assert_eq!(shop.segment("any").await.unwrap().member_count, 1);
        let told = shop.segment_changes().await;
        assert!(!told.contains(&("any".to_owned(), false)), "{told:?}");
        shop.stop().await;
    })
    .await;
}

#[tokio::test]
async fn lists_hold_whom_they_are_told_to() {
    on_both("segment_list", async |shop| {
        shop.declare("vip", "").await;
        shop.declare("vip_pro", r#""vip" in segments && profile.plan == "pro""#)
            .await;
        let ann = shop
            .one(identify("m1", &["u:ann"], 0, json!({"plan": "pro"})))
            .await;
        let counts = shop
            .change("vip", &[user("ann"), user("new"), user("ann")], &[])
            .await;
        assert_eq!(counts.unwrap(), (2, 0), "{}", shop.system);
        assert_eq!(shop.segments_of(&ann).await, ["vip", "vip_pro"]);
        let new = shop.profile_of(user("new")).await.unwrap();
        assert_eq!(shop.segments_of(&new).await, ["vip"]);
        let counts = shop
            .change("vip", &[], &[user("ann"), user("nobody")])
            .await;
        assert_eq!(counts.unwrap(), (0, 1));
        assert!(shop.profile_of(user("nobody")).await.is_none());
        assert!(shop.segments_of(&ann).await.is_empty());
        let stranger = Id::ProfileId("01890000-0000-7000-8000-000000000000".into());
        for (segment, add) in [("vip", stranger), ("vip_pro", user("ann"))] {
            let refused = shop.change(segment, &[add], &[]).await.unwrap_err();
            assert_eq!(
                reason_of(&refused),
                Some(Reason::InvalidFields),
                "{segment}"
            );
        }
        let missing = shop.change("none", &[user("ann")], &[]).await.unwrap_err();
        assert_eq!(reason_of(&missing), Some(Reason::ResourceNotFound));
        shop.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_kept_up_to_date_is_refused() {
    on_both("segment_refusals", async |shop| {
        shop.declare("a", r#"events("view").exists()"#).await;
        shop.declare("b", r#""a" in segments"#).await;
        shop.declare("c", r#""b" in segments"#).await;
        let rows = [
            (
                "a",
                r#""c" in segments"#,
                "must not lead back to itself: a → c → b → a",
            ),
            (
                "x",
                r#""x" in segments"#,
                "must not lead back to itself: x → x",
            ),
            ("x", r#""bb" in segments"#, "there is no segment `bb`"),
            ("x", "1 + 1", "truth value"),
            ("x", "size(segments) > 2", "must name the segments it reads"),
            ("x", "string(now) == \"\"", "1:"),
            ("x", "item.price > 2.0", "item"),
            ("X", "true", "must be 1 to 64"),
            ("x", r#"subscribed("news")"#, "no subscription groups"),
            ("x", "subscribed(profile.topic)", "no subscription groups"),
            (
                "x",
                r#"consent("marketing_mail")"#,
                "there is no purpose `marketing_mail`",
            ),
            (
                "x",
                r#"context.location.country == "AT""#,
                "must not read `context.location.country`",
            ),
        ];
        for (id, expression, rule) in rows {
            let refused = shop.upsert(id, expression).await.unwrap_err();
            assert_eq!(
                reason_of(&refused),
                Some(Reason::InvalidFields),
                "{expression}"
            );
            let fields = attune_errors::violations_of(&refused).into_iter();
            let mut fields = fields.map(|(field, _)| field);
            assert!(fields.all(|f| f.starts_with("segment.")), "{expression}");
            let rules = violations(&refused);
            assert!(
                rules.iter().any(|r| r.contains(rule)),
                "{expression}: {rules:?}"
            );
        }
        let refused = shop.delete("a").await.unwrap_err();
        assert_eq!(reason_of(&refused), Some(Reason::ResourceInUse));
        shop.delete("c").await.unwrap();
        shop.delete("b").await.unwrap();
        shop.delete("a").await.unwrap();
        let gone = shop.segment("a").await.unwrap_err();
        assert_eq!(reason_of(&gone), Some(Reason::ResourceNotFound));
        shop.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_deleted_segment_is_cleared_away_and_may_come_back() {
    on_both("segment_deleted", async |shop| {
        shop.declare("all", "true").await;
        shop.declare("picked", "").await;
        let ann = shop.one(view("m1", &["u:ann"], 0, "tent")).await;
        shop.change("picked", &[user("ann")], &[]).await.unwrap();
        assert_eq!(shop.segments_of(&ann).await, ["all", "picked"]);
        shop.delete("all").await.unwrap();
        shop.delete("picked").await.unwrap();
        shop.until_segments(&ann, &[]).await;
        shop.declare("picked", "").await;
        assert!(shop.members("picked").await.is_empty());
        shop.declare("all", "true").await;
        assert_eq!(shop.members("all").await, [ann]);
        shop.stop().await;
    })
    .await;
}

#[tokio::test]
async fn members_are_paged_streamed_and_counted_by_the_hour() {
    on_both_at("segment_members", T0, async |shop| {
        shop.declare("age", "profile.age > 5").await;
        let mut expected = Vec::new();
        for n in 0..7 {
            let who = format!("u:p{n}");
            let message = identify(&format!("m{n}"), &[&who], 0, json!({"age": 9}));
            expected.push(shop.one(message).await);
        }
        expected.sort();
        assert_eq!(shop.members("age").await, expected, "{}", shop.system);
        let request = shop.request(StreamSegmentMembersRequest {
            segment_id: "age".into(),
        });
        let stream = shop
            .segment_client()
            .stream_segment_members(request)
            .await
            .unwrap();
        let streamed: Vec<_> = stream.into_inner().try_collect().await.unwrap();
        let ids: Vec<_> = streamed.into_iter().map(|m| m.profile_id).collect();
        assert_eq!(ids, expected);
        shop.clock.set(T0 + 3_600_000);
        shop.one(identify("x", &["u:p1"], 1, json!({"age": 3})))
            .await;
        let request = shop.request(ListSegmentSizesRequest {
            segment_id: "age".into(),
            ..ListSegmentSizesRequest::default()
        });
        let sizes = shop
            .segment_client()
            .list_segment_sizes(request)
            .await
            .unwrap();
        let sizes: Vec<_> = sizes
            .into_inner()
            .sizes
            .into_iter()
            .map(|s| (s.member_count, s.entered_count, s.left_count))
            .collect();
        assert_eq!(sizes, [(7, 7, 0), (6, 0, 1)]);
        shop.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_estimate_counts_those_an_expression_would_hold_for() {
    on_both("segment_estimate", async |shop| {
        shop.declare("most", "profile.n >= 2").await;
        for n in 0..10 {
            let who = format!("u:p{n}");
            shop.one(identify(&format!("m{n}"), &[&who], 0, json!({"n": n})))
                .await;
            if n < 5 {
                shop.one(view(&format!("v{n}"), &[&who], 0, "tent")).await;
            }
        }
        let estimate = async |expression: &str| {
            let request = shop.request(EstimateSegmentRequest {
                expression: expression.into(),
                segment_ids: vec!["most".into()],
            });
            let estimate = shop.segment_client().estimate_segment(request).await;
            estimate.unwrap().into_inner()
        };
        let viewed = estimate(r#"events("view").exists()"#).await;
        let numbers = (
            viewed.profile_count,
            viewed.size,
            viewed.size_low,
            viewed.size_high,
            viewed.sample_size,
        );
        assert_eq!(numbers, (10, 5, 5, 5, 10), "{}", shop.system);
        assert_eq!(viewed.overlaps[0].share, 0.6);
        // By columns, by single events, and by none: as the segment itself.
        shop.one(event("b1", &["u:p3"], 5, "purchase", json!({"n": 3})))
            .await;
        for (n, expression) in [
            r#"events("view").within("36500d").count() == 1"#,
            r#"events("view").within("1h").exists()"#,
            r#"events("view").then("purchase").exists()"#,
            r#"events("purchase").where(e, e.n == profile.n).count() > 0"#,
            r#"consent("marketing_email") || profile.n > 7"#,
        ]
        .into_iter()
        .enumerate()
        {
            let id = format!("s{n}");
            shop.declare(&id, expression).await;
            let size = estimate(expression).await.size;
            let members = shop.segment(&id).await.unwrap().member_count;
            assert_eq!(size, members, "{expression} on {}", shop.system);
        }
        shop.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_event_is_told_with_the_segments_its_person_was_in() {
    on_both("segment_told", async |shop| {
        shop.declare("seen", r#"events("view").exists()"#).await;
        shop.one(view("m1", &["u:ann"], 0, "tent")).await;
        shop.one(view("m2", &["u:ann"], 1, "mat")).await;
        let log = shop.database.log_read(0, 100).await.unwrap();
        let told: Vec<Vec<String>> = log
            .entries
            .iter()
            .filter_map(
                |e| match LogEntry::decode(e.entry.clone()).unwrap().change? {
                    Change::EventRecorded(recorded) => Some(recorded.segments),
                    _ => None,
                },
            )
            .collect();
        assert_eq!(told, [vec![], vec!["seen".to_owned()]]);
        shop.stop().await;
    })
    .await;
}

#[tokio::test]
async fn computed_traits_follow_what_they_read() {
    on_both_at("computed_traits", T0, async |shop| {
        let before = shop
            .one(event(
                "m0",
                &["u:eve"],
                -9 * DAY,
                "purchase",
                json!({"revenue": 7}),
            ))
            .await;
        shop.compute(
            "spent",
            r#"events("purchase").within("10d").sum("revenue")"#,
        )
        .await;
        shop.compute("level", r#"profile.spent > 50.0 ? "gold" : "plain""#)
            .await;
        shop.declare("gold", r#"profile.level == "gold""#).await;
        shop.until_trait(&before, "spent", json!(7)).await;
        shop.until_trait(&before, "level", json!("plain")).await;
        let buy = |id: &str, revenue: u32| {
            event(
                id,
                &["u:ann"],
                -2 * DAY,
                "purchase",
                json!({ "revenue": revenue }),
            )
        };
        let ann = shop.one(buy("m1", 30)).await;
        assert_eq!(
            shop.trait_of(&ann, "level").await,
            json!("plain"),
            "{}",
            shop.system
        );
        shop.one(buy("m2", 40)).await;
        assert_eq!(shop.trait_of(&ann, "spent").await, json!(70));
        assert_eq!(shop.segments_of(&ann).await, ["gold"]);
        shop.clock.set(T0 + 8 * DAY + 1);
        shop.until_segments(&ann, &[]).await;
        assert_eq!(shop.trait_of(&ann, "spent").await, json!(0));
        assert_eq!(shop.trait_of(&ann, "level").await, json!("plain"));
        let refused = shop.forget_trait("spent").await.unwrap_err();
        assert_eq!(reason_of(&refused), Some(Reason::ResourceInUse));
        shop.delete("gold").await.unwrap();
        shop.forget_trait("level").await.unwrap();
        shop.until_trait(&ann, "level", json!(null)).await;
        shop.stop().await;
    })
    .await;
}
