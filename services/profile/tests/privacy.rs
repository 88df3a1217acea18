//! What is stored of a person can be read with their key only, and after an erasure by
//! nobody: not from the tables, the files, the log or a copy made before.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/search.rs"]
mod search;
mod support;

use std::collections::BTreeSet;

use attune_api::{
    events::v1::{LogEntry, log_entry::Change},
    profile::v1::{
        EraseProfileRequest, Erasure, IngestStatus, ListAuditEntriesRequest, VerifyAuditRequest,
    },
    r#type::v1::subject::Id,
};
use attune_errors::{Reason, reason_of};
use attune_profile::Config;
use attune_storage::{Database, args};
use attune_testkit::{PATIENCE, TestDatabase, files_with, wait_until};
use attune_vault::Masters;
use bytes::Bytes;
use prost::Message as _;
use search::{PERSONAL, columns, folder_of, found_in_tables};
use serde_json::json;
use support::*;
use tonic::Status;

/// A person with everything that is kept of people. Returns the living id and the one
/// that was merged into it.
async fn fill(shop: &Running) -> (String, String) {
    let search = json!({"query": "left-handed scissors", "ip": "203.0.113.77"});
    let living = shop
        .one(event(
            "message-of-ann-1",
            &["a:browser-of-ann"],
            1,
            "Products Searched",
            search,
        ))
        .await;
    let who = [
        "u:ann-the-user",
        "email:ann@example.org",
        "phone:+436641234567",
    ];
    let traits = json!({"name": "Annabel", "address": {"street": "Quellenhof"}});
    let merged = shop
        .one(identify("message-of-ann-2", &who, 2, traits))
        .await;
    let traits = json!({"name": "Annabel Lee", "likes": "favourite-colour-teal"});
    shop.one(identify("message-of-ann-3", &who, 3, traits))
        .await;
    shop.one(view("message-of-ann-4", &who, 4, "tent")).await;
    let group = group(
        "message-of-ann-5",
        &who[..1],
        "annual-club",
        json!({"since": 2020}),
    );
    shop.one(group).await;
    let both = ["u:ann-the-user", "a:browser-of-ann"];
    let page = json!({"agent": "Mozilla/5.0", "title": "Quellenhof"});
    let one = shop
        .one(event("message-of-ann-6", &both, 5, "page", page))
        .await;
    assert_eq!(one, living);
    (living, merged)
}

async fn try_erase(shop: &Running, profile_id: &str) -> Result<Erasure, Status> {
    let request = shop.request(EraseProfileRequest {
        profile_id: profile_id.to_owned(),
        reason: "asked for".to_owned(),
    });
    Ok(shop
        .privacy
        .clone()
        .erase_profile(request)
        .await?
        .into_inner())
}

async fn erase(shop: &Running, profile_id: &str) -> Erasure {
    try_erase(shop, profile_id).await.unwrap()
}

#[tokio::test]
async fn nothing_personal_is_clear_in_tables_files_or_copies_before_and_after_an_erasure() {
    for database in databases("clear").await {
        let shop = Running::open(database.url(), database.system, Config::default()).await;
        let (id, merged) = fill(&shop).await;
        let keys = wrapped_keys(&shop.database, &[&id, &merged]).await;
        assert_eq!(keys.len(), 2);
        let system = shop.system;
        for step in ["before", "after"] {
            if step == "after" {
                erase(&shop, &id).await;
            }
            for value in PERSONAL {
                let found = found_in_tables(&shop.database, system, value).await;
                assert!(found.is_empty(), "{value} {step} on {system}: {found:?}");
            }
            if system == "postgres" {
                continue;
            }
            let folder = folder_of(&database);
            if step == "before" {
                copy(&shop.database, &folder).await;
            }
            for value in PERSONAL {
                let found = files_with(&folder, value.as_bytes());
                assert!(found.is_empty(), "{value} {step}: {found:?}");
            }
            // The copy keeps the wrapped keys; nothing else does.
            for key in &keys {
                let copies = files_with(&folder, key);
                assert_eq!(
                    copies.len(),
                    if step == "before" { 2 } else { 1 },
                    "{copies:?}"
                );
            }
        }
        shop.stop().await;
    }
}

/// A copy as an operator would make it.
async fn copy(database: &Database, folder: &std::path::Path) {
    assert!(database.empty_log_file().await.unwrap());
    let copies = folder.join("copies");
    std::fs::create_dir(&copies).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, copies.join(path.file_name().unwrap())).unwrap();
        }
    }
}

async fn wrapped_keys(database: &Database, ids: &[&str]) -> Vec<Bytes> {
    let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
    let sql = "select wrapped from data_keys where owner in list($1)";
    let rows = database.fetch_all(sql, args![ids]).await.unwrap();
    rows.iter().map(|row| row.get(0).unwrap()).collect()
}

/// Columns that tell of a person after they were erased: what was done, to which id, and
/// how far a pass over all ids has come.
const OUTLIVING: [&str; 5] = [
    "audit_entries.profile_id",
    "erased_profiles.profile_id",
    "log.entry",
    "log.key",
    "retention.profile_id",
];

/// Columns of people that an erasure deletes with their rows, or knows to be gone with
/// others: what is not named here has not been thought of in `store/erasure.rs`.
const ERASED: [&str; 22] = [
    "clear_messages.profile_id",
    "consent_history.origin_id",
    "consent_history.profile_id",
    "data_keys.owner",
    "due.profile_id",
    "encounters.profile_id",
    "events.origin_id",
    "events.profile_id",
    "identities.origin_id",
    "identities.profile_id",
    "kept_apart.other_id",
    "kept_apart.profile_id",
    "merges.merged_id",
    "merges.one_id",
    "merges.other_id",
    "merges.profile_id",
    "messages.profile_id",
    "profiles.profile_id",
    "trait_history.origin_id",
    "trait_history.profile_id",
    "profiles.merged_into",
    "segment_members.profile_id",
];

#[tokio::test]
async fn no_table_names_people_that_erasing_does_not_know_of() {
    on_both("tables", async |shop| {
        let names = [
            "profile_id",
            "origin_id",
            "merged_id",
            "one_id",
            "other_id",
            "owner",
            "merged_into",
        ];
        for (table, column, _) in columns(&shop.database, shop.system).await {
            let place = format!("{table}.{column}");
            let is_known = ERASED.contains(&&*place) || OUTLIVING.contains(&&*place);
            let names_people = names.contains(&&*column) && table != "log";
            assert!(is_known || !names_people, "{place} is not erased");
        }
    })
    .await;
}

#[tokio::test]
async fn an_erased_person_is_in_no_table_and_found_by_nothing() {
    on_both("erased", async |shop| {
        let (id, merged) = fill(&shop).await;
        let other = shop.one(view("m-bob", &["u:bob"], 9, "lamp")).await;
        let erasure = erase(&shop, &merged).await;
        assert_eq!(erasure.profile_ids, [id.clone(), merged.clone()]);
        assert_eq!(erasure.event_count, 3, "{}", shop.system);
        for id in [&id, &merged] {
            let found = found_in_tables(&shop.database, shop.system, id).await;
            let left: Vec<_> = found
                .iter()
                .filter(|place| !OUTLIVING.contains(&place.as_str()))
                .collect();
            assert!(left.is_empty(), "{}: {left:?}", shop.system);
            let gone = shop.profile(id).await.unwrap_err();
            assert_eq!(reason_of(&gone), Some(Reason::ResourceNotFound));
            assert!(shop.snapshot(Id::ProfileId(id.clone())).await.is_none());
        }
        for by in [user("ann-the-user"), anonymous("browser-of-ann")] {
            assert!(shop.snapshot(by).await.is_none(), "{}", shop.system);
        }
        assert_eq!(shop.profile(&other).await.unwrap().event_count, 1);
        assert_eq!(wrapped_keys(&shop.database, &[&id, &merged]).await.len(), 0);
    })
    .await;
}

#[tokio::test]
async fn an_erasure_is_proven_and_told_once_whoever_asks_again() {
    on_both("erased_twice", async |shop| {
        let (id, merged) = fill(&shop).await;
        let erasure = erase(&shop, &id).await;
        for again in [&id, &merged, &id] {
            assert_eq!(erase(&shop, again).await, erasure, "{}", shop.system);
        }
        let entries = shop.database.log_read(0, 100).await.unwrap().entries;
        let told = entries.iter().filter_map(|stored| {
            match LogEntry::decode(stored.entry.clone()).unwrap().change? {
                Change::ProfileErased(erased) => Some(erased.profile_ids),
                _ => None,
            }
        });
        let told: Vec<_> = told.collect();
        assert_eq!(told, std::slice::from_ref(&erasure.profile_ids));
        let asked = shop.request(ListAuditEntriesRequest::default());
        let listed = shop.privacy.clone().list_audit_entries(asked).await;
        let listed = listed.unwrap().into_inner().entries;
        assert_eq!(listed.len(), 1);
        let entry = &listed[0];
        assert_eq!((&entry.hash, &entry.profile_id), (&erasure.audit_hash, &id));
        assert_eq!(
            (entry.action.as_str(), entry.time),
            ("EraseProfile", erasure.time)
        );
        let verified = shop.request(VerifyAuditRequest {});
        let verified = shop.privacy.clone().verify_audit(verified).await.unwrap();
        assert!(verified.into_inner().intact);
        let nobody = uuid::Uuid::now_v7().to_string();
        let refused = try_erase(&shop, &nobody).await.unwrap_err();
        assert_eq!(reason_of(&refused), Some(Reason::ResourceNotFound));
    })
    .await;
}

#[tokio::test]
async fn who_comes_back_after_an_erasure_is_somebody_new() {
    on_both("comes_back", async |shop| {
        let (id, _) = fill(&shop).await;
        erase(&shop, &id).await;
        // The importer that was at it goes on, and sends again what it is not sure of.
        let sent = vec![
            view("message-of-ann-4", &["u:ann-the-user"], 4, "tent"),
            view("late", &["a:browser-of-ann", "u:ann-the-user"], 9, "mat"),
        ];
        let results = shop.send(sent).await;
        assert_eq!(statuses(&results), [IngestStatus::Accepted; 2]);
        let new = &results[0].profile_id;
        assert_ne!(*new, id);
        assert_eq!(results[1].profile_id, *new);
        let seen = shop.snapshot(user("ann-the-user")).await.unwrap();
        assert_eq!(
            (&seen.profile_id, items_of(&seen)),
            (new, vec!["mat".into(), "tent".into()])
        );
        assert_eq!(traits_of(&seen), json!({}));
        // The id that was erased is nobody's for good.
        let by_id = attune_api::profile::v1::IngestMessage {
            profile_id: id.clone(),
            identities: vec![],
            ..view("by-id", &["u:x"], 1, "x")
        };
        let refused = shop.try_send(vec![by_id]).await.unwrap_err();
        assert_eq!(reason_of(&refused), Some(Reason::InvalidFields));
        let again = erase(&shop, new).await;
        assert_eq!((again.profile_ids.len(), again.event_count), (1, 2));
    })
    .await;
}

#[tokio::test]
async fn an_erasure_has_its_place_among_messages_that_arrive_meanwhile() {
    on_both("meanwhile", async |shop| {
        let id = shop.one(view("m0", &["u:ann"], 0, "tent")).await;
        let sends = (1..40).map(|i| {
            let shop = &shop;
            async move {
                shop.one(view(&format!("m{i}"), &["u:ann"], i, "tent"))
                    .await
            }
        });
        let (ids, erasure) = tokio::join!(futures::future::join_all(sends), erase(&shop, &id));
        let after = ids.iter().filter(|sent| **sent != id).count();
        let living: BTreeSet<_> = ids.iter().filter(|sent| **sent != id).collect();
        assert!(living.len() <= 1, "{}: {living:?}", shop.system);
        // Every event is either erased or the new person's; none is lost or kept.
        assert_eq!(erasure.event_count as usize + after, 40);
        if let Some(new) = living.first() {
            assert_eq!(shop.timeline(new).await.len(), after);
        }
        assert_eq!(erase(&shop, &id).await, erasure);
    })
    .await;
}

#[tokio::test]
async fn replicas_forget_whom_another_erased() {
    let place = TestDatabase::postgres("erase_replicas").await;
    let one = Running::open(place.url(), "postgres", Config::default()).await;
    let two = Running::open(place.url(), "postgres", Config::default()).await;
    let id = one.one(view("m1", &["u:ann"], 1, "tent")).await;
    assert!(two.snapshot(user("ann")).await.is_some());
    erase(&one, &id).await;
    // Even before it hears of it, what it writes goes to somebody new.
    let new = two.one(view("m2", &["u:ann"], 2, "mat")).await;
    assert_ne!(new, id);
    wait_until("the other forgets", PATIENCE, async || {
        two.snapshot(Id::ProfileId(id.clone())).await.is_none()
    })
    .await;
    for shop in [&one, &two] {
        let seen = shop.snapshot(user("ann")).await.unwrap();
        assert_eq!(
            (&seen.profile_id, items_of(&seen)),
            (&new, vec!["mat".into()])
        );
    }
    // Nor does who erased somebody give what comes by the same identifier to a third.
    assert_eq!(one.one(view("m3", &["u:ann"], 3, "rope")).await, new);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_wrong_master_key_is_refused_at_the_start() {
    for database in databases("wrong_master").await {
        let shop = Running::open(database.url(), database.system, Config::default()).await;
        shop.one(view("m1", &["u:ann"], 1, "tent")).await;
        shop.stop().await;
        let opened = Database::open(database.url(), &attune_profile::MIGRATIONS);
        let opened = opened.await.unwrap();
        let masters = Masters::parse(&Masters::generate()).unwrap();
        let refused =
            attune_profile::Profile::open(Config::default(), opened.clone(), masters).await;
        assert!(refused.is_err(), "{}", database.system);
        opened.close().await;
    }
}
