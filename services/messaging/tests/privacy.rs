//! What is said to people, and where, is stored under their key, and is gone when they
//! are erased.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::PathBuf;

use attune_api::{
    events::v1::{LogEntry, ProfileErased, log_entry::Change},
    messaging::v1::{Content, GetMessageRequest, Message, SendMessageRequest},
};
use attune_events::LogSource;
use attune_storage::{Database, LogRecord, Migrations, Tx, args};
use attune_testkit::{TestDatabase, files_with, test_database_urls, wait_until};
use prost::Message as _;
use support::*;

const ANN: &str = "01900000-0000-7000-8000-0000000000aa";
const BOB: &str = "01900000-0000-7000-8000-0000000000bb";

/// What [`write_to`] says.
const PERSONAL: [&str; 5] = [
    "ann@example.org",
    "Dear Annabel",
    "your left-handed scissors",
    "<b>Annabel</b>",
    "order-of-ann",
];

async fn write_to(app: &App, profile_id: &str) -> Message {
    let request = SendMessageRequest {
        channel: "email".into(),
        to: "ann@example.org".into(),
        profile_id: profile_id.into(),
        request_id: format!("order-of-ann-{profile_id}"),
        content: Some(Content {
            subject: "Dear Annabel".into(),
            text: "your left-handed scissors".into(),
            html: "<b>Annabel</b>".into(),
            ..Content::default()
        }),
        ..SendMessageRequest::default()
    };
    app.send(request).await.unwrap()
}

/// Nothing of [`PERSONAL`] is in the table or, on SQLite, in the files.
async fn assert_sealed(database: &Database, place: &TestDatabase) {
    const ALL: &str = "select coalesce(request_id, '') || recipient || subject || body_text \
         || body_html || last_error from messages limit 1000";
    let rows = database.fetch_all(ALL, args![]).await.unwrap();
    let text: String = rows
        .iter()
        .map(|row| row.get::<String>(0).unwrap())
        .collect();
    for value in PERSONAL {
        assert!(!text.contains(value), "{value} on {}", place.system);
        if let Some(path) = place.url().strip_prefix("sqlite://") {
            let folder = PathBuf::from(path).parent().unwrap().to_owned();
            let found = files_with(&folder, value.as_bytes());
            assert!(found.is_empty(), "{value}: {found:?}");
        }
    }
}

/// A log that stands for the profile's.
async fn profile_log(place: &TestDatabase) -> Database {
    static NOTHING: Migrations = Migrations::new(&[]);
    Database::open(&place.url_of("profile"), &NOTHING)
        .await
        .unwrap()
}

async fn tell_erased(log: &Database, profile_ids: &[&str]) {
    let ids = profile_ids.iter().map(ToString::to_string).collect();
    let erased = ProfileErased {
        profile_ids: ids,
        ..ProfileErased::default()
    };
    let entry = LogEntry {
        change: Some(Change::ProfileErased(erased)),
        ..LogEntry::default()
    };
    let record = LogRecord {
        workspace: "default".into(),
        key: profile_ids[0].to_owned(),
        entry: entry.encode_to_vec().into(),
    };
    log.write(move |tx: &mut Tx| {
        let record = record.clone();
        Box::pin(async move { tx.publish(record).await })
    })
    .await
    .unwrap();
}

async fn exists(app: &App, message_id: &str) -> bool {
    let request = GetMessageRequest {
        message_id: message_id.to_owned(),
    };
    app.client
        .clone()
        .get_message(default(request))
        .await
        .is_ok()
}

#[tokio::test]
async fn an_erased_person_has_no_messages_and_the_others_keep_theirs() {
    for place in test_database_urls("erased").await {
        let log = profile_log(&place).await;
        let logs = vec![LogSource::new("profile", log.clone())];
        let app = App::open_beside(&place.url_of("messaging"), config(1), logs).await;
        let to_ann = write_to(&app, ANN).await;
        let to_bob = write_to(&app, BOB).await;
        let to_nobody = write_to(&app, "").await;
        assert_eq!(app.message(&to_ann.message_id).await.to, "ann@example.org");
        assert_sealed(&app.database, &place).await;
        app.deliver();
        tell_erased(&log, &[ANN, "01900000-0000-7000-8000-0000000000cc"]).await;
        wait_until("the message to go", PATIENCE, || async {
            !exists(&app, &to_ann.message_id).await
        })
        .await;
        for kept in [to_bob, to_nobody] {
            assert!(exists(&app, &kept.message_id).await, "{}", place.system);
        }
        const KEYS: &str = "select count(*) from data_keys where owner = $1";
        let keys = app.database.fetch_all(KEYS, args![ANN]).await.unwrap();
        assert_eq!(keys[0].get::<i64>(0).unwrap(), 0, "{}", place.system);
        assert_sealed(&app.database, &place).await;
        app.stop().await;
        log.close().await;
    }
}

#[tokio::test]
async fn what_a_mail_server_answered_is_sealed_too() {
    for place in test_database_urls("errors").await {
        let app = App::start(place.url(), config(1)).await;
        let sent = write_to(&app, ANN).await;
        let tried = app
            .wait_for(&sent.message_id, "an attempt", |m| !m.last_error.is_empty())
            .await;
        const CLEAR: &str = "select count(*) from messages where last_error <> ''";
        let clear = app.database.fetch_all(CLEAR, args![]).await.unwrap();
        assert_eq!(clear[0].get::<i64>(0).unwrap(), 0, "{}", tried.last_error);
        app.stop().await;
    }
}

#[tokio::test]
async fn what_lay_in_clear_is_sealed_at_the_start() {
    static BEFORE: Migrations = Migrations::new(&[(
        "0001_messages.sql",
        include_str!("../migrations/0001_messages.sql"),
    )]);
    const INSERT: &str = "insert into messages (workspace, message_id, request_id, channel, \
         recipient, profile_id, template_id, locale, subject, body_text, body_html, state, \
         attempt_count, last_error, create_ms, due_ms) \
         values ('default', $1, $2, 'email', 'ann@example.org', $3, '', '', 'Dear Annabel', \
         'your left-handed scissors', '<b>Annabel</b>', 2, 1, 'no ann@example.org here', 1, 1)";
    for place in test_database_urls("sealing").await {
        let database = Database::open(place.url(), &BEFORE).await.unwrap();
        database
            .write(|tx: &mut Tx| {
                Box::pin(async move {
                    for n in 0..450 {
                        let id = uuid::Uuid::now_v7().to_string();
                        let request = format!("order-of-ann-{n}");
                        tx.execute(INSERT, args![id, request, ANN]).await?;
                    }
                    Ok::<_, attune_storage::Error>(())
                })
            })
            .await
            .unwrap();
        database.close().await;
        let app = App::open(place.url(), config(1)).await;
        assert_sealed(&app.database, &place).await;
        let request = SendMessageRequest {
            channel: "email".into(),
            to: "else@example.org".into(),
            request_id: "order-of-ann-7".into(),
            content: Some(Content {
                subject: "other".into(),
                text: "words".into(),
                ..Content::default()
            }),
            ..SendMessageRequest::default()
        };
        let before = app.send(request).await.unwrap();
        assert_eq!(before.to, "ann@example.org", "{}", place.system);
        assert_eq!(before.content.unwrap().html, "<b>Annabel</b>");
        assert_eq!(before.last_error, "no ann@example.org here");
        app.stop().await;
    }
}
