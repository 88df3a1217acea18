//! Group commit: nothing acknowledged is lost, nobody suffers for another's failure.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use attune_storage::{Database, Error, Insert, Kind, Options, Tx, args};
use futures::future::join_all;
use parking_lot::Mutex;

use crate::{MIGRATIONS, Opened, on_both};

const ADD: &str = "insert into counters (workspace, id, count) values ($1, $2, 1) \
     on conflict (workspace, id) do update set count = counters.count + 1";
const INSERT: &str = "insert into counters (workspace, id, count) values ($1, $2, 1)";
const SUM: &str = "select sum(count) from counters";
const ROWS: &str = "select count(*) from counters";

async fn add(database: &Database, id: String) -> Result<u64, Error> {
    database
        .write(move |tx: &mut Tx| {
            let id = id.clone();
            Box::pin(async move { tx.execute(ADD, args!["w", id]).await })
        })
        .await
}

async fn insert(database: &Database, id: &str) -> Result<u64, Error> {
    let id = id.to_owned();
    database
        .write(move |tx: &mut Tx| {
            let id = id.clone();
            Box::pin(async move { tx.execute(INSERT, args!["w", id]).await })
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_writers_lose_nothing() {
    on_both("group_commit", async |opened: Opened| {
        let writers = (0..64).map(|writer| {
            let database = opened.database.clone();
            tokio::spawn(async move {
                for round in 0..20 {
                    // A read before the write: the pattern that upgrades a lock.
                    database.fetch_all(ROWS, args![]).await.unwrap();
                    add(&database, format!("id-{}", (writer + round) % 7))
                        .await
                        .unwrap();
                }
            })
        });
        for done in join_all(writers).await {
            done.unwrap();
        }
        assert_eq!(opened.count(SUM).await, 64 * 20);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failing_write_takes_no_other_down() {
    on_both("failing_write", async |opened: Opened| {
        insert(&opened.database, "taken").await.unwrap();
        let ids: Vec<_> = (0..60)
            .map(|i| {
                if i % 9 == 0 {
                    "taken".to_owned()
                } else {
                    format!("new-{i}")
                }
            })
            .collect();
        let results = join_all(ids.iter().map(|id| insert(&opened.database, id))).await;
        for (id, result) in ids.iter().zip(results) {
            match result {
                Ok(changed) => assert_eq!((changed, id == "taken"), (1, false)),
                Err(error) => assert!(error.is_unique_violation() && id == "taken", "{error}"),
            }
        }
        let expected = 1 + ids.iter().filter(|id| *id != "taken").count();
        assert_eq!(opened.count(ROWS).await, i64::try_from(expected).unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_failed_statement_fails_the_write_even_if_its_code_goes_on() {
    on_both("poisoned", async |opened: Opened| {
        insert(&opened.database, "taken").await.unwrap();
        let result: Result<(), Error> = opened
            .database
            .write(|tx: &mut Tx| {
                Box::pin(async move {
                    tx.execute(INSERT, args!["w", "first"]).await?;
                    let _ignored = tx.execute(INSERT, args!["w", "taken"]).await;
                    Ok(())
                })
            })
            .await;
        assert!(result.unwrap_err().is_unique_violation());
        assert_eq!(opened.count(ROWS).await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_panicking_write_is_told_and_the_next_one_works() {
    on_both("panicking", async |opened: Opened| {
        let result: Result<(), Error> = opened
            .database
            .write(|tx: &mut Tx| {
                Box::pin(async move {
                    tx.execute(INSERT, args!["w", "half"]).await?;
                    panic!("on purpose");
                })
            })
            .await;
        assert!(matches!(result, Err(Error::Panicked)));
        insert(&opened.database, "next").await.unwrap();
        assert_eq!(opened.count(ROWS).await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commits_are_told_in_their_order() {
    on_both("commit_order", async |opened: Opened| {
        const NEXT: &str = "insert into counters (workspace, id, count) values ('w', 'n', 1) \
             on conflict (workspace, id) do update set count = counters.count + 1 returning count";
        let told = Arc::new(Mutex::new(Vec::new()));
        let writes = (0..100).map(|_| {
            let told = Arc::clone(&told);
            opened.database.write_then(
                |tx: &mut Tx| {
                    Box::pin(async move {
                        let row = tx.fetch_optional(NEXT, args![]).await?;
                        row.unwrap().get::<i64>(0)
                    })
                },
                move |count: &i64| told.lock().push(*count),
            )
        });
        for result in join_all(writes).await {
            let _: Result<i64, Error> = result;
            result.unwrap();
        }
        assert_eq!(*told.lock(), (1..=100).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn a_full_queue_refuses_and_a_closed_one_drains() {
    on_both("overload", async |opened: Opened| {
        let url = opened.place.url();
        let options = Options {
            write_queue_max: 4,
            write_batch_max: 1,
            ..Options::default()
        };
        let database = Database::open_with(url, &MIGRATIONS, &options)
            .await
            .unwrap();
        // On one thread nothing leaves the queue between these.
        let accepted = Arc::new(AtomicU32::new(0));
        let writes = (0..50).map(|i| {
            let (database, accepted) = (database.clone(), Arc::clone(&accepted));
            async move {
                match insert(&database, &i.to_string()).await {
                    Ok(_) => drop(accepted.fetch_add(1, Ordering::Relaxed)),
                    Err(error) => assert!(matches!(error, Error::Overloaded), "{error}"),
                }
            }
        });
        let (_, ()) = tokio::join!(join_all(writes), database.close());
        let accepted = accepted.load(Ordering::Relaxed);
        assert_eq!(accepted, 4);
        assert_eq!(opened.count(ROWS).await, i64::from(accepted));
        assert!(matches!(
            insert(&database, "late").await,
            Err(Error::Closed)
        ));
    })
    .await;
}

#[tokio::test]
async fn many_rows_go_in_at_once() {
    const ROWS_IN: Insert = Insert {
        table: "counters",
        columns: &[
            ("workspace", Kind::Text),
            ("id", Kind::Text),
            ("count", Kind::Int),
        ],
        tail: "on conflict (workspace, id) do nothing returning id",
    };
    on_both("insert_many", async |opened: Opened| {
        insert(&opened.database, "row-7").await.unwrap();
        let returned: Vec<String> = opened
            .database
            .write(|tx: &mut Tx| {
                Box::pin(async move {
                    let rows = (0..1_321)
                        .map(|i| args!["w", format!("row-{i}"), i])
                        .collect();
                    let rows = tx.insert_many_returning(&ROWS_IN, rows).await?;
                    rows.iter()
                        .map(|row| row.get(0))
                        .collect::<Result<_, Error>>()
                })
            })
            .await
            .unwrap();
        assert_eq!(opened.count(ROWS).await, 1_321);
        let returned: HashSet<_> = returned.into_iter().collect();
        assert_eq!((returned.len(), returned.contains("row-7")), (1_320, false));

        let none: Result<u64, Error> = opened
            .database
            .write(|tx: &mut Tx| Box::pin(tx.insert_many(&ROWS_IN, vec![])))
            .await;
        assert_eq!(none.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_reopening() {
    on_both("reopen", async |opened: Opened| {
        join_all((0..40).map(|i| add(&opened.database, format!("{i}")))).await;
        opened.database.close().await;
        let reopened = Database::open(opened.place.url(), &MIGRATIONS)
            .await
            .unwrap();
        let rows = reopened.fetch_all(SUM, args![]).await.unwrap();
        assert_eq!(rows[0].get::<i64>(0).unwrap(), 40);
    })
    .await;
}
