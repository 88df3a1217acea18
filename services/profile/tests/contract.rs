//! The profile service through its real client, in process, on SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;

use attune_api::{
    events::v1::{LogEntry, log_entry::Change},
    profile::v1::{Basis, IngestStatus, SetConsentRequest},
    time::from_ms,
    r#type::v1::subject::Id,
};
use attune_profile::{Config, Consent};
use attune_testkit::{PATIENCE, wait_until};
use prost::Message as _;
use serde_json::json;
use support::*;

use IngestStatus::{Accepted, Duplicate};

#[tokio::test]
async fn an_event_is_in_the_next_snapshot() {
    on_both("next_snapshot", async |shop| {
        assert!(shop.snapshot(anonymous("x")).await.is_none());
        shop.one(view("m1", &["a:x"], 10, "tent")).await;
        for (i, item) in ["mat", "lamp"].iter().enumerate() {
            let id = format!("n{i}");
            shop.one(view(&id, &["a:x"], 20 + i as i64, item)).await;
            let seen = shop.snapshot(anonymous("x")).await.unwrap();
            assert_eq!(items_of(&seen)[0], *item, "{}", shop.system);
        }
        // A late one takes its place in time.
        shop.one(view("late", &["a:x"], 15, "cup")).await;
        let seen = shop.snapshot(anonymous("x")).await.unwrap();
        assert_eq!(items_of(&seen), ["lamp", "mat", "cup", "tent"]);
        assert_eq!(seen.recent_events[0].r#type, "view");
        assert_eq!(seen.recent_events[0].time_ms, T0 + 21);
    })
    .await;
}

#[tokio::test]
async fn a_message_is_known_again_whatever_it_is_sent_as() {
    on_both("known_again", async |shop| {
        let sent = vec![
            view("e", &["u:ann"], 1, "tent"),
            identify("i", &["u:ann"], 2, json!({"plan": "pro"})),
        ];
        let ann = shop.send(sent.clone()).await[0].profile_id.clone();
        let again = [
            &sent[0],
            &sent[1],
            &view("i", &["u:bob"], 3, "mat"),
            &identify("e", &["u:bob"], 4, json!({"plan": "free"})),
        ];
        for (number, message) in again.into_iter().enumerate() {
            // Messages are presumed to be new again after so many that were.
            for new in 0..66 {
                let id = format!("new-{number}-{new}");
                shop.one(view(&id, &["u:cleo"], 5, "lamp")).await;
            }
            for time in ["presumed", "looked up"] {
                let new = format!("{time}-{number}");
                let new = view(&new, &["u:dora"], 6, "cup");
                let results = shop.send(vec![new, message.clone()]).await;
                assert_eq!(statuses(&results), [Accepted, Duplicate], "{message:?}");
                assert_eq!(results[1].profile_id, ann, "{message:?} {time}");
            }
        }
        assert_eq!(shop.profile(&ann).await.unwrap().event_count, 1);
        assert!(shop.snapshot(user("bob")).await.is_none());
        let dora = shop.snapshot(user("dora")).await.unwrap();
        assert_eq!(items_of(&dora).len(), 8, "{}", shop.system);
    })
    .await;
}

#[tokio::test]
async fn a_replay_changes_nothing() {
    on_both("replay", async |shop| {
        let messages = vec![
            identify("m1", &["u:ann"], 0, json!({"plan": "pro"})),
            view("m2", &["u:ann"], 1, "tent"),
            group("m3", &["u:ann"], "acme", json!({"size": 5})),
            view("m2", &["u:bob"], 2, "mat"),
            alias("m4", &["u:ann"], "a:old"),
        ];
        let first = shop.send(messages.clone()).await;
        let expected = [Accepted, Accepted, Accepted, Duplicate, Accepted];
        assert_eq!(statuses(&first), expected);
        let before = shop.profile(&first[0].profile_id).await.unwrap();
        let head = shop.database.log_head().await.unwrap();
        let again = shop.send(messages).await;
        assert_eq!(statuses(&again), [Duplicate; 5]);
        let ids: BTreeSet<_> = again.iter().map(|r| r.profile_id.clone()).collect();
        assert_eq!(ids.len(), 1);
        assert_eq!(shop.profile(&first[0].profile_id).await.unwrap(), before);
        assert_eq!(shop.database.log_head().await.unwrap(), head);
        assert!(shop.snapshot(user("bob")).await.is_none());
        // Message ids are unique in their workspace only.
        let other = shop.in_workspace("other");
        assert_eq!(
            statuses(&other.send(vec![view("m2", &["u:ann"], 1, "x")]).await),
            [Accepted]
        );
        assert_eq!(
            shop.snapshot(user("ann"))
                .await
                .unwrap()
                .recent_events
                .len(),
            1
        );
    })
    .await;
}

#[tokio::test]
async fn concurrent_identifies_of_a_new_user_make_one_profile() {
    on_both("concurrent", async |shop| {
        let sent = (0..20).map(|i| {
            let message = identify(&format!("m{i}"), &["u:ann"], i, json!({"n": i}));
            shop.one(message)
        });
        let ids: BTreeSet<_> = futures::future::join_all(sent).await.into_iter().collect();
        assert_eq!(ids.len(), 1, "{}", shop.system);
        let seen = shop.snapshot(user("ann")).await.unwrap();
        assert_eq!(traits_of(&seen), json!({"n": 19}));
    })
    .await;
}

#[tokio::test]
async fn an_anonymous_visitor_becomes_known_and_keeps_the_history() {
    on_both("known", async |shop| {
        let visitor = shop.one(view("m1", &["a:x"], 1, "tent")).await;
        let known = shop
            .one(identify(
                "m2",
                &["u:ann", "a:x"],
                2,
                json!({"name": "Ann", "age": 30}),
            ))
            .await;
        assert_eq!(known, visitor);
        shop.one(identify(
            "m3",
            &["u:ann"],
            3,
            json!({"age": null, "email": "a@b.c"}),
        ))
        .await;
        for id in [user("ann"), anonymous("x"), Id::ProfileId(known.clone())] {
            let seen = shop.snapshot(id).await.unwrap();
            assert_eq!(items_of(&seen), ["tent"]);
            assert_eq!(traits_of(&seen), json!({"name": "Ann", "email": "a@b.c"}));
        }
        // Someone else on the same device is someone else.
        let other = shop.one(view("m4", &["u:bob", "a:x"], 4, "mat")).await;
        assert_ne!(other, known);
        assert_eq!(shop.one(view("m5", &["a:x"], 5, "cup")).await, known);
    })
    .await;
}

#[tokio::test]
async fn two_profiles_of_one_person_become_the_older() {
    on_both("merge", async |shop| {
        let older = shop.one(view("m1", &["a:phone"], 1, "tent")).await;
        let younger = shop
            .one(identify(
                "m2",
                &["u:ann"],
                2,
                json!({"name": "Ann", "city": "Graz"}),
            ))
            .await;
        shop.one(view("m3", &["u:ann"], 3, "mat")).await;
        shop.one(identify("m4", &["a:phone"], 4, json!({"city": "Wien"})))
            .await;
        set_consent(&shop, &older, "analytics", false).await;
        assert!(shop.snapshot(user("ann")).await.is_some());
        let merged = shop.one(view("m5", &["a:phone", "u:ann"], 5, "lamp")).await;
        assert_eq!(merged, older);
        for id in [
            user("ann"),
            anonymous("phone"),
            Id::ProfileId(younger.clone()),
        ] {
            let seen = shop.snapshot(id).await.unwrap();
            assert_eq!(seen.profile_id, older);
            assert_eq!(items_of(&seen), ["lamp", "mat", "tent"]);
            assert_eq!(traits_of(&seen), json!({"name": "Ann", "city": "Wien"}));
        }
        assert_eq!(shop.timeline(&younger).await, ["m5", "m3", "m1"]);
        let profile = shop.profile(&younger).await.unwrap();
        assert_eq!(profile.profile_id, older);
        assert_eq!((profile.identities.len(), profile.event_count), (2, 3));
        assert_eq!(profile.last_event_time, Some(from_ms(T0 + 5)));
        assert!(!profile.consents[0].granted);
        // And once more, so that an id leads over two merges.
        shop.one(alias("m6", &["u:bob"], "u:ann")).await;
        assert_eq!(shop.one(view("m7", &["u:bob"], 6, "cup")).await, older);
        assert_eq!(shop.timeline(&younger).await.len(), 4);
    })
    .await;
}

#[tokio::test]
async fn a_merge_within_one_request_is_one_person() {
    on_both("merge_at_once", async |shop| {
        let results = shop
            .send(vec![
                view("m1", &["a:x"], 1, "tent"),
                view("m2", &["u:ann"], 2, "mat"),
                alias("m3", &["u:ann"], "a:x"),
                view("m4", &["a:x"], 3, "cup"),
            ])
            .await;
        let ids: BTreeSet<_> = results.iter().map(|r| &r.profile_id).collect();
        assert_eq!(ids.len(), 1);
        assert_eq!(
            shop.timeline(&results[0].profile_id).await,
            ["m4", "m2", "m1"]
        );
        let seen = shop.snapshot(user("ann")).await.unwrap();
        assert_eq!(items_of(&seen), ["cup", "mat", "tent"]);
    })
    .await;
}

#[tokio::test]
async fn merges_from_all_sides_at_once_end_in_one_profile() {
    on_both("merge_race", async |shop| {
        for i in 0..8 {
            shop.one(view(&format!("v{i}"), &[&format!("a:d{i}")], i, "tent"))
                .await;
        }
        let sent = (0..8).map(|i| {
            let (one, other) = (format!("a:d{i}"), format!("a:d{}", (i + 1) % 8));
            let shop = &shop;
            async move { shop.one(alias(&format!("m{i}"), &[&one], &other)).await }
        });
        futures::future::join_all(sent).await;
        let mut ids = BTreeSet::new();
        for i in 0..8 {
            ids.insert(
                shop.snapshot(anonymous(&format!("d{i}")))
                    .await
                    .unwrap()
                    .profile_id,
            );
        }
        assert_eq!(ids.len(), 1);
        assert_eq!(shop.timeline(ids.first().unwrap()).await.len(), 8);
    })
    .await;
}

#[tokio::test]
async fn the_log_tells_in_order() {
    on_both("log", async |shop| {
        let a = shop.one(view("m1", &["a:x"], 1, "tent")).await;
        let b = shop
            .one(identify("m2", &["u:ann"], 2, json!({"n": 1})))
            .await;
        shop.one(view("m3", &["u:ann", "a:x"], 3, "mat")).await;
        set_consent(&shop, &a, "personalization", false).await;
        shop.one(view("m4", &["a:x"], 4, "cup")).await;
        let entries = shop.database.log_read(0, 100).await.unwrap().entries;
        let told: Vec<_> = entries
            .iter()
            .map(|stored| {
                assert_eq!(
                    (stored.workspace.as_str(), stored.key.len()),
                    ("default", 36)
                );
                match LogEntry::decode(stored.entry.clone())
                    .unwrap()
                    .change
                    .unwrap()
                {
                    Change::EventRecorded(e) => {
                        let event = e.event.unwrap();
                        let items = event.items.iter().map(|i| i.item_id.clone());
                        let items: String = items.collect();
                        format!("{} {} {}", event.r#type, items, e.personalization_allowed)
                    }
                    Change::ProfileUpdated(p) if p.profile_id == a => "a changed".into(),
                    Change::ProfileUpdated(p) if p.profile_id == b => "b changed".into(),
                    Change::ProfilesMerged(m) => {
                        assert_eq!((m.profile_id, m.merged_profile_id), (a.clone(), b.clone()));
                        "b became a".into()
                    }
                    other => format!("{other:?}"),
                }
            })
            .collect();
        let expected = [
            "a changed",
            "view tent true",
            "b changed",
            "b became a",
            "view mat true",
            "a changed",
            "view cup false",
        ];
        assert_eq!(told, expected, "{}", shop.system);
    })
    .await;
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    for database in databases("restart").await {
        let shop = Running::open(database.url(), database.system, Config::default()).await;
        let id = shop.one(view("m1", &["a:x"], 1, "tent")).await;
        shop.one(identify("m2", &["u:ann", "a:x"], 2, json!({"n": 1})))
            .await;
        let before = shop.snapshot(user("ann")).await.unwrap();
        shop.stop().await;
        let shop = Running::open(database.url(), database.system, Config::default()).await;
        assert_eq!(shop.snapshot(user("ann")).await.unwrap(), before);
        let again = shop.send(vec![view("m1", &["a:x"], 1, "tent")]).await;
        assert_eq!(statuses(&again), [Duplicate]);
        // Written to before it was read: what lies in the database counts too.
        shop.stop().await;
        let shop = Running::open(database.url(), database.system, Config::default()).await;
        assert_eq!(shop.one(view("m3", &["u:ann"], 3, "mat")).await, id);
        let seen = shop.snapshot(user("ann")).await.unwrap();
        assert_eq!(items_of(&seen), ["mat", "tent"]);
        shop.stop().await;
    }
}

#[tokio::test]
async fn replicas_see_what_the_others_wrote() {
    let postgres = databases("replicas")
        .await
        .into_iter()
        .find(|d| d.system == "postgres");
    let postgres = postgres.unwrap();
    let one = Running::open(postgres.url(), "postgres", Config::default()).await;
    let two = Running::open(postgres.url(), "postgres", Config::default()).await;
    let id = one.one(view("m1", &["u:ann"], 1, "tent")).await;
    assert_eq!(two.one(view("m2", &["u:ann"], 2, "mat")).await, id);
    assert!(two.snapshot(user("ann")).await.is_some());
    one.one(view("m3", &["u:ann"], 3, "cup")).await;
    for shop in [&one, &two] {
        wait_until("all three events", PATIENCE, async || {
            items_of(&shop.snapshot(user("ann")).await.unwrap()) == ["cup", "mat", "tent"]
        })
        .await;
    }
    // A merge that the other replica has not heard of is found by its writer.
    two.one(view("m4", &["a:x"], 4, "lamp")).await;
    one.one(view("m5", &["u:ann", "a:x"], 5, "map")).await;
    assert_eq!(two.one(view("m6", &["a:x"], 6, "rope")).await, id);
    assert_eq!(one.timeline(&id).await.len(), 6);
}

async fn set_consent(shop: &Running, profile_id: &str, purpose: &str, granted: bool) {
    let request = shop.request(SetConsentRequest {
        profile_id: profile_id.into(),
        purpose: purpose.into(),
        granted,
        source: "banner".into(),
        ..SetConsentRequest::default()
    });
    let held = shop.client.clone().set_consent(request).await.unwrap();
    assert_eq!(held.into_inner().granted, granted);
}

#[tokio::test]
async fn what_consent_withholds_is_not_in_the_snapshot() {
    on_both("consent", async |shop| {
        let id = shop.one(view("m1", &["u:ann"], 1, "tent")).await;
        shop.one(identify("m2", &["u:ann"], 2, json!({"n": 1})))
            .await;
        set_consent(&shop, &id, "personalization", false).await;
        shop.one(view("m3", &["u:ann"], 3, "mat")).await;
        let seen = shop.snapshot(user("ann")).await.unwrap();
        assert_eq!(seen.basis(), Basis::ContextOnly);
        assert_eq!(
            (traits_of(&seen), seen.recent_events.len()),
            (json!(null), 0)
        );
        assert!(!seen.consents["personalization"]);
        set_consent(&shop, &id, "personalization", true).await;
        let seen = shop.snapshot(user("ann")).await.unwrap();
        assert_eq!(seen.basis(), Basis::Full);
        assert_eq!(items_of(&seen), ["mat", "tent"]);
        // The same again is no news.
        let head = shop.database.log_head().await.unwrap();
        set_consent(&shop, &id, "personalization", true).await;
        assert_eq!(shop.database.log_head().await.unwrap(), head);
    })
    .await;
}

#[tokio::test]
async fn where_consent_must_be_asked_for_strangers_get_context_only() {
    let config = Config {
        default_consent: Consent::Denied,
        ..Config::default()
    };
    on_both_with("opt_in", config, async |shop| {
        let stranger = shop.raw_snapshot(user("ann")).await.unwrap();
        assert!(!stranger.found);
        assert_eq!(stranger.basis(), Basis::ContextOnly);
        let id = shop.one(view("m1", &["u:ann"], 1, "tent")).await;
        assert!(
            shop.snapshot(user("ann"))
                .await
                .unwrap()
                .recent_events
                .is_empty()
        );
        set_consent(&shop, &id, "personalization", true).await;
        assert_eq!(
            items_of(&shop.snapshot(user("ann")).await.unwrap()),
            ["tent"]
        );
    })
    .await;
}
