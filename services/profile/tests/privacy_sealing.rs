//! What a version without keys wrote in clear is sealed at the start, and is what it was.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/search.rs"]
mod search;
mod support;

use attune_api::events::v1::{LogEntry, log_entry::Change};
use attune_api::profile::v1::IngestStatus;
use attune_profile::Config;
use attune_storage::{Database, Migrations, Tx, args};
use attune_testkit::files_with;
use bytes::Bytes;
use prost::Message as _;
use search::{PERSONAL, folder_of, found_in_tables};
use serde_json::json;
use support::*;

static BEFORE: Migrations = Migrations::new(&[(
    "0001_profiles.sql",
    include_str!("../migrations/0001_profiles.sql"),
)]);

/// What a version without keys wrote.
async fn write_clear(database: &Database, count: usize) {
    use attune_api::profile::v1::{Event, RecentEvent};
    let event = |n: usize| Event {
        event_id: format!("message-of-ann-{n}"),
        r#type: "search".into(),
        name: "Products Searched".into(),
        time: Some(attune_api::time::from_ms(T0 + n as i64)),
        properties: attune_api::json::to_struct(json!({"query": "left-handed scissors"})),
        ..Event::default()
    };
    let recent = RecentEvent {
        r#type: "search".into(),
        time_ms: T0,
        properties: attune_api::json::to_struct(json!({"query": "left-handed scissors"})),
        ..RecentEvent::default()
    };
    let record = traits_record("name", "Annabel");
    let told = LogEntry {
        change: Some(Change::EventRecorded(
            attune_api::events::v1::EventRecorded {
                profile_id: CLEAR_ID.into(),
                event: Some(event(0)),
                ..Default::default()
            },
        )),
        ..LogEntry::default()
    };
    let events: Vec<_> = (0..count)
        .map(|n| (n as i64, event(n).encode_to_vec()))
        .collect();
    database
        .write(move |tx: &mut Tx| {
            let (events, recent) = (events.clone(), Bytes::from(recent.encode_to_vec()));
            let (record, told) = (record.clone(), told.encode_to_vec());
            Box::pin(async move {
                const PROFILE: &str = "insert into profiles (workspace, profile_id, known, \
                     create_ms, update_ms, record) values ('default', $1, true, 1, 1, $2)";
                const MERGE: &str = "update profiles set merged_into = $1 \
                     where profile_id = $2";
                const IDENTITY: &str = "insert into identities (workspace, key, profile_id, \
                     create_ms) values ('default', $2, $1, 1)";
                const EVENT: &str = "insert into events (workspace, profile_id, time_ms, \
                     sequence, event_id, type, receive_ms, event, recent) \
                     values ('default', $1, $2, $3, $4, 'search', 1, $5, $6)";
                const MESSAGE: &str = "insert into messages (workspace, message_id, \
                     profile_id, receive_ms) values ('default', $2, $1, 1)";
                tx.execute(PROFILE, args![CLEAR_ID, record.clone()]).await?;
                // Part of the first: both keep what they say of themselves.
                tx.execute(PROFILE, args![MERGED_ID, record]).await?;
                tx.execute(MERGE, args![CLEAR_ID, MERGED_ID]).await?;
                for key in ["user_id:ann-the-user", "email:ann@example.org"] {
                    tx.execute(IDENTITY, args![CLEAR_ID, key]).await?;
                }
                for (n, event) in events {
                    let id = format!("message-of-ann-{n}");
                    let event = Bytes::from(event);
                    let args = args![CLEAR_ID, T0 + n, n + 1, id, event, recent.clone()];
                    tx.execute(EVENT, args).await?;
                }
                tx.execute(MESSAGE, args![CLEAR_ID, "message-of-ann-x"])
                    .await?;
                tx.publish(attune_storage::LogRecord {
                    workspace: "default".into(),
                    key: CLEAR_ID.into(),
                    entry: told.into(),
                })
                .await
            })
        })
        .await
        .unwrap();
}

const CLEAR_ID: &str = "01900000-0000-7000-8000-000000000001";

const MERGED_ID: &str = "01900000-0000-7000-8000-000000000002";

/// A record of one trait as it was stored: field 1, a map of values with their times.
fn traits_record(id: &str, value: &str) -> Bytes {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Record {
        #[prost(btree_map = "string, message", tag = "1")]
        traits: std::collections::BTreeMap<String, Timed>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    struct Timed {
        #[prost(message, optional, tag = "1")]
        value: Option<prost_types::Value>,
        #[prost(int64, tag = "2")]
        time_ms: i64,
    }
    let value = Some(attune_api::json::to_value(value.into()));
    let timed = Timed { value, time_ms: 1 };
    let traits = [(id.to_owned(), timed)].into();
    Record { traits }.encode_to_vec().into()
}

#[tokio::test]
async fn what_lay_in_clear_is_sealed_at_the_start() {
    const COUNT: usize = 1_200;
    for place in databases("sealing").await {
        let database = Database::open(place.url(), &BEFORE).await.unwrap();
        write_clear(&database, COUNT).await;
        assert!(
            !found_in_tables(&database, place.system, "Annabel")
                .await
                .is_empty()
        );
        database.close().await;
        for _ in 0..2 {
            let shop = Running::open(place.url(), place.system, Config::default()).await;
            for value in PERSONAL {
                let found = found_in_tables(&shop.database, place.system, value).await;
                assert!(found.is_empty(), "{value} on {}: {found:?}", place.system);
                if place.system == "sqlite" {
                    let found = files_with(&folder_of(&place), value.as_bytes());
                    assert!(found.is_empty(), "{value}: {found:?}");
                }
            }
            let profile = shop.profile(CLEAR_ID).await.unwrap();
            let traits = attune_api::json::from_struct(&profile.traits.unwrap());
            assert_eq!(traits, json!({"name": "Annabel"}));
            assert_eq!(
                (profile.identities.len(), profile.event_count),
                (2, COUNT as i64)
            );
            let seen = shop.snapshot(user("ann-the-user")).await.unwrap();
            assert_eq!(seen.profile_id, CLEAR_ID);
            // Messages from before are known again.
            let again = ["message-of-ann-7", "message-of-ann-x"];
            let again = again.map(|id| view(id, &["u:ann-the-user"], 1, "x"));
            let again = shop.send(again.into()).await;
            assert_eq!(statuses(&again), [IngestStatus::Duplicate; 2]);
            shop.stop().await;
        }
    }
}
