//! The standard methods: create, get, list, update and delete, with etags and masks.

use std::sync::Arc;

use attune_api::rules::v1::{Diversity, Strategy};
use attune_errors::{Reason, Violations};
use attune_storage::{
    Database, LogRecord, Tx,
    resources::{Change, Error, Missing, PageRequest, Table},
};
use attune_testkit::TestDatabase;
use futures::future::join_all;
use parking_lot::Mutex;
use prost_types::FieldMask;

use crate::{Opened, on_both};

fn strategy(id: &str, filter: &str) -> Strategy {
    Strategy {
        strategy_id: id.into(),
        filter: filter.into(),
        ..Strategy::default()
    }
}

fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask {
        paths: paths.iter().map(ToString::to_string).collect(),
    })
}

/// The reason and the fields at fault.
fn answer<T>(result: Result<T, Error>) -> (Reason, Vec<String>) {
    match result {
        Ok(_) => panic!("an error is expected"),
        Err(Error::Invalid(violations)) => {
            let fields = violations.iter().map(|v| v.field.clone()).collect();
            (Reason::InvalidFields, fields)
        }
        Err(error) => (error.into_fault("test", "id").reason(), vec![]),
    }
}

#[tokio::test]
async fn a_resource_lives_from_create_to_delete() {
    on_both("resource_life", async |opened: Opened| {
        let table = Table::new(&opened.database);
        let workspace: Arc<str> = "w".into();
        let created = table.create(&workspace, strategy("s", "a")).await.unwrap();
        assert!(!created.etag.is_empty() && created.create_time == created.update_time);
        assert_eq!(table.get("w", "s").await.unwrap(), created);
        assert_eq!(
            answer(table.create(&workspace, strategy("s", "b")).await).0,
            Reason::ResourceExists
        );
        assert_eq!(
            answer(table.get("other", "s").await).0,
            Reason::ResourceNotFound
        );

        let deleted = table.delete(&workspace, "s", &created.etag).await.unwrap();
        assert_eq!(deleted, created);
        assert_eq!(
            answer(table.delete(&workspace, "s", "").await).0,
            Reason::ResourceNotFound
        );
    })
    .await;
}

#[tokio::test]
async fn an_update_changes_what_its_mask_names() {
    on_both("resource_masks", async |opened: Opened| {
        let table = Table::new(&opened.database);
        let workspace: Arc<str> = "w".into();
        let full = Strategy {
            display_name: "Full".into(),
            diversity: Some(Diversity {
                category_max: 3,
                ..Default::default()
            }),
            ..strategy("s", "old")
        };
        let check = async |sent: Strategy, wanted, expected: (&str, &str, i32)| {
            table
                .update(&workspace, full.clone(), mask(&["*"]), Missing::Create)
                .await
                .unwrap();
            let updated = table
                .update(&workspace, sent, wanted, Missing::Reject)
                .await
                .unwrap();
            let category_max = updated.diversity.as_ref().map_or(0, |d| d.category_max);
            let found = (&*updated.display_name, &*updated.filter, category_max);
            assert_eq!(found, expected);
            assert_eq!(table.get("w", "s").await.unwrap(), updated);
        };
        check(strategy("s", "new"), mask(&["filter"]), ("Full", "new", 3)).await;
        check(strategy("s", "new"), None, ("Full", "new", 3)).await;
        check(strategy("s", "new"), mask(&[]), ("Full", "new", 3)).await;
        check(strategy("s", "new"), mask(&["*"]), ("", "new", 0)).await;
        check(
            strategy("s", ""),
            mask(&["diversity.category_max", "filter"]),
            ("Full", "", 0),
        )
        .await;
        // What only the store fills in cannot be edited.
        check(
            strategy("s", ""),
            mask(&["etag", "create_time"]),
            ("Full", "old", 3),
        )
        .await;

        let unknown = table
            .update(
                &workspace,
                full.clone(),
                mask(&["nope", "filter", "no"]),
                Missing::Reject,
            )
            .await;
        assert_eq!(
            answer(unknown),
            (Reason::InvalidFields, vec!["update_mask".into(); 2])
        );
        let missing = table
            .update(&workspace, strategy("none", ""), None, Missing::Reject)
            .await;
        assert_eq!(answer(missing).0, Reason::ResourceNotFound);
    })
    .await;
}

#[tokio::test]
async fn a_stale_etag_is_rejected() {
    on_both("resource_etags", async |opened: Opened| {
        let table = Table::new(&opened.database);
        let workspace: Arc<str> = "w".into();
        let first = table.create(&workspace, strategy("s", "a")).await.unwrap();
        let with_etag = |filter: &str, etag: &str| Strategy {
            etag: etag.into(),
            ..strategy("s", filter)
        };
        let update = async |sent| table.update(&workspace, sent, None, Missing::Create).await;
        let second = update(with_etag("b", &first.etag)).await.unwrap();
        assert_ne!(second.etag, first.etag);
        assert_eq!(
            answer(update(with_etag("c", &first.etag)).await).0,
            Reason::EtagMismatch
        );
        let deleted = table.delete(&workspace, "s", &first.etag).await;
        assert_eq!(answer(deleted).0, Reason::EtagMismatch);
        // Same content, same etag.
        assert_eq!(update(with_etag("b", "")).await.unwrap().etag, second.etag);
        table.delete(&workspace, "s", &second.etag).await.unwrap();
        // Seen before and gone since: not a reason to make it again.
        assert_eq!(
            answer(update(with_etag("c", &second.etag)).await).0,
            Reason::ResourceNotFound
        );

        // Of many who saw the same, one wins.
        let seen = table.create(&workspace, strategy("s", "a")).await.unwrap();
        let racers = (0..20).map(|n| update(with_etag(&n.to_string(), &seen.etag)));
        let won = join_all(racers).await.iter().filter(|r| r.is_ok()).count();
        assert_eq!(won, 1);
    })
    .await;
}

#[tokio::test]
async fn lists_come_in_pages_of_one_workspace() {
    on_both("resource_pages", async |opened: Opened| {
        let table = Table::new(&opened.database);
        let workspaces: [Arc<str>; 2] = ["w".into(), "x".into()];
        let ids: Vec<_> = (0..7).map(|n| format!("s{n}")).collect();
        for (id, workspace) in ids
            .iter()
            .flat_map(|id| workspaces.iter().map(move |w| (id, w)))
        {
            table
                .create(workspace, strategy(id, workspace))
                .await
                .unwrap();
        }
        for page_size in [1, 3, 7, 0] {
            let (mut found, mut request) = (
                vec![],
                PageRequest {
                    page_size,
                    ..Default::default()
                },
            );
            loop {
                let page = table.list("w", &request).await.unwrap();
                assert!(page_size == 0 || page.resources.len() <= 3.max(page_size as usize));
                found.extend(page.resources);
                if page.next_page_token.is_empty() {
                    break;
                }
                request.page_token = page.next_page_token;
            }
            assert!(found.iter().all(|s| s.filter == "w"));
            let found: Vec<_> = found.into_iter().map(|s| s.strategy_id).collect();
            assert_eq!(found, ids);
        }
        let bad = PageRequest {
            page_size: -1,
            page_token: "x".into(),
        };
        let fields = vec!["page_size".to_owned(), "page_token".into()];
        assert_eq!(
            answer(table.list("w", &bad).await),
            (Reason::InvalidFields, fields)
        );
        assert_eq!(table.load_all().await.unwrap().len(), 14);
    })
    .await;
}

#[tokio::test]
async fn a_check_can_refuse_and_publishes_with_the_change() {
    on_both("resource_checks", async |opened: Opened| {
        let told = Arc::new(Mutex::new(Vec::new()));
        let listener = Arc::clone(&told);
        let table = Table::builder(&opened.database)
            .check(|tx: &mut Tx, change: &Change<Strategy>| {
                Box::pin(async move {
                    let after = change.after.as_ref();
                    if after.is_some_and(|s| s.filter == "bad") {
                        return Err(Violations::of("strategy.filter", "must not be bad").into());
                    }
                    let record = LogRecord {
                        workspace: Arc::clone(&change.workspace),
                        key: after.map_or_else(String::new, |s| s.etag.clone()),
                        entry: Default::default(),
                    };
                    Ok(tx.publish(record).await?)
                })
            })
            .committed(move |change| {
                let filter = |s: &Option<Strategy>| s.as_ref().map(|s| s.filter.clone());
                listener
                    .lock()
                    .push((filter(&change.before), filter(&change.after)));
            })
            .build();
        let workspace: Arc<str> = "w".into();
        let created = table.create(&workspace, strategy("s", "a")).await.unwrap();
        let refused = table
            .update(&workspace, strategy("s", "bad"), None, Missing::Reject)
            .await;
        let fields = vec!["strategy.filter".to_owned()];
        assert_eq!(answer(refused), (Reason::InvalidFields, fields));
        assert_eq!(table.get("w", "s").await.unwrap(), created);
        table
            .update(&workspace, strategy("s", "b"), None, Missing::Reject)
            .await
            .unwrap();
        table.delete(&workspace, "s", "").await.unwrap();

        let text = |s: &str| Some(s.to_owned());
        let expected = [(None, text("a")), (text("a"), text("b")), (text("b"), None)];
        assert_eq!(*told.lock(), expected);
        let log = opened.database.log_read(0, 10).await.unwrap();
        assert_eq!(log.entries.len(), 3);
        assert_eq!(log.entries[0].key, created.etag);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_replicas_one_wins() {
    let place = TestDatabase::postgres("resource_replicas").await;
    let mut tables = Vec::new();
    for _ in 0..4 {
        let database = Database::open(place.url(), &crate::MIGRATIONS)
            .await
            .unwrap();
        tables.push(Table::<Strategy>::new(&database));
    }
    let workspace: Arc<str> = "w".into();
    for round in 0..20 {
        let id = format!("s{round}");
        let creates = tables
            .iter()
            .map(|table| table.create(&workspace, strategy(&id, "a")));
        let created: Vec<_> = join_all(creates)
            .await
            .into_iter()
            .filter_map(Result::ok)
            .collect();
        assert_eq!(created.len(), 1);
        let updates = tables.iter().zip(0..).map(|(table, n)| {
            let sent = Strategy {
                etag: created[0].etag.clone(),
                ..strategy(&id, &format!("by {n}"))
            };
            table.update(&workspace, sent, None, Missing::Reject)
        });
        let updated = join_all(updates)
            .await
            .into_iter()
            .filter(Result::is_ok)
            .count();
        assert_eq!(updated, 1);
    }
}
