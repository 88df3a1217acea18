//! The log: order, completeness under concurrent writers, trimming, positions.

use std::{sync::Arc, time::Duration};

use attune_storage::{Database, Error, KeepEntry, LogRecord, Tx};
use attune_testkit::wait_until;
use bytes::Bytes;
use futures::future::join_all;

use crate::{MIGRATIONS, Opened, on_both};

fn record(writer: usize, n: usize) -> LogRecord {
    LogRecord {
        workspace: Arc::from("w"),
        key: format!("writer-{writer}"),
        entry: Bytes::from(n.to_string()),
    }
}

async fn publish(database: &Database, writer: usize, n: usize) -> Result<(), Error> {
    database
        .write(move |tx: &mut Tx| Box::pin(tx.publish(record(writer, n))))
        .await
}

/// Follows the log as a consumer does and returns what it saw.
async fn follow(database: Database, until: usize) -> Vec<(i64, String, usize)> {
    let mut seen: Vec<(i64, String, usize)> = Vec::new();
    while seen.len() < until {
        let after = seen.last().map_or(0, |(position, ..)| *position);
        let batch = database.log_read(after, 50).await.unwrap();
        for entry in batch.entries {
            assert!(entry.position <= batch.head_position);
            let n = std::str::from_utf8(&entry.entry).unwrap().parse().unwrap();
            seen.push((entry.position, entry.key, n));
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_misses_no_position_that_commits_later() {
    on_both("log_order", async |opened: Opened| {
        // Two handles, as two replicas would be on PostgreSQL.
        let other = Database::open(opened.place.url(), &MIGRATIONS)
            .await
            .unwrap();
        let reader = tokio::spawn(follow(opened.database.clone(), 32 * 25));
        let writers = (0..32).map(|writer| {
            let database = if writer % 2 == 0 {
                other.clone()
            } else {
                opened.database.clone()
            };
            tokio::spawn(async move {
                for n in 0..25 {
                    publish(&database, writer, n).await.unwrap();
                }
            })
        });
        for done in join_all(writers).await {
            done.unwrap();
        }
        let seen = reader.await.unwrap();
        let positions: Vec<_> = seen.iter().map(|(position, ..)| *position).collect();
        assert_eq!(positions, (1..=32 * 25).collect::<Vec<_>>());
        for writer in 0..32 {
            let key = format!("writer-{writer}");
            let of_writer = seen.iter().filter(|(_, k, _)| *k == key).map(|(.., n)| *n);
            assert_eq!(of_writer.collect::<Vec<_>>(), (0..25).collect::<Vec<_>>());
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_rolled_back_was_never_published() {
    on_both("log_rollback", async |opened: Opened| {
        let result: Result<(), Error> = opened
            .database
            .write(|tx: &mut Tx| {
                Box::pin(async move {
                    tx.publish(record(1, 1)).await?;
                    Err(Error::Closed)
                })
            })
            .await;
        assert!(result.is_err());
        publish(&opened.database, 2, 2).await.unwrap();
        let batch = opened.database.log_read(0, 10).await.unwrap();
        let found: Vec<_> = batch
            .entries
            .iter()
            .map(|e| (e.position, e.key.as_str()))
            .collect();
        assert_eq!(found, [(1, "writer-2")]);
        assert_eq!(opened.database.log_head().await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_commit_wakes_who_waits_for_it() {
    on_both("log_changes", async |opened: Opened| {
        let mut changes = opened.database.log_changes();
        assert_eq!(*changes.borrow_and_update(), 0);
        publish(&opened.database, 1, 1).await.unwrap();
        let woken = tokio::time::timeout(Duration::from_secs(5), changes.changed()).await;
        woken.unwrap().unwrap();
        assert_eq!(*changes.borrow_and_update(), 1);
        let reopened = Database::open(opened.place.url(), &MIGRATIONS)
            .await
            .unwrap();
        assert_eq!(*reopened.log_changes().borrow(), 1);
    })
    .await;
}

#[tokio::test]
async fn trimming_forgets_by_age_and_says_so() {
    on_both("log_trim", async |opened: Opened| {
        for n in 0..5 {
            publish(&opened.database, 1, n).await.unwrap();
        }
        let newest = opened.database.log_read(0, 9).await.unwrap().entries[4].commit_ms;
        // The clock must have moved on for "older" to mean something.
        wait_until("the next millisecond", Duration::from_secs(5), async || {
            publish(&opened.database, 2, 0).await.unwrap();
            let head = opened.database.log_head().await.unwrap();
            let last = opened.database.log_read(head - 1, 1).await.unwrap();
            last.entries[0].commit_ms > newest
        })
        .await;
        let trimmed = opened
            .database
            .log_trim(newest + 1, |_| false)
            .await
            .unwrap();
        let trimmed = i64::try_from(trimmed).unwrap();
        assert!(trimmed >= 5);
        let old = opened.database.log_read(trimmed - 1, 10).await;
        assert!(
            matches!(old, Err(Error::Trimmed { trimmed_position }) if trimmed_position == trimmed)
        );
        let kept = opened.database.log_read(trimmed, 10).await.unwrap();
        assert_eq!(kept.entries[0].position, trimmed + 1);
        assert_eq!(
            opened
                .database
                .log_trim(newest + 1, |_| false)
                .await
                .unwrap(),
            0
        );
    })
    .await;
}

#[tokio::test]
async fn what_is_to_be_kept_for_good_is_not_trimmed() {
    on_both("log_keep", async |opened: Opened| {
        for n in 0..4 {
            publish(&opened.database, 1, n).await.unwrap();
        }
        let all = opened.database.log_read(0, 9).await.unwrap().entries;
        // Every second one, by a byte that says so.
        let keep: KeepEntry = |entry| entry.last().is_some_and(|byte| byte % 2 == 1);
        let kept: Vec<_> = all.iter().filter(|e| keep(&e.entry)).collect();
        assert_eq!((all.len(), kept.len()), (4, 2));
        let all_are_old = all[3].commit_ms + 1;
        assert_eq!(
            opened.database.log_trim(all_are_old, keep).await.unwrap(),
            2
        );
        assert_eq!(
            opened.database.log_trim(all_are_old, keep).await.unwrap(),
            0
        );
        let old = opened.database.log_read(0, 9).await;
        assert!(matches!(
            old,
            Err(Error::Trimmed {
                trimmed_position: 4
            })
        ));
        let (left, trimmed_position) = opened.database.log_left(0, 9).await.unwrap();
        let left: Vec<_> = left.entries.iter().map(|e| e.position).collect();
        let expected: Vec<_> = kept.iter().map(|e| e.position).collect();
        assert_eq!((left, trimmed_position), (expected, 4));
    })
    .await;
}

#[tokio::test]
async fn a_consumer_s_position_commits_with_its_effects() {
    on_both("positions", async |opened: Opened| {
        assert_eq!(
            opened.database.position("models", "profile").await.unwrap(),
            0
        );
        for (position, fails) in [(7, false), (9, true)] {
            let _: Result<(), Error> = opened
                .database
                .write(move |tx: &mut Tx| {
                    Box::pin(async move {
                        tx.set_position("models", "profile", position).await?;
                        if fails { Err(Error::Closed) } else { Ok(()) }
                    })
                })
                .await;
        }
        assert_eq!(
            opened.database.position("models", "profile").await.unwrap(),
            7
        );
        assert_eq!(
            opened.database.position("models", "catalog").await.unwrap(),
            0
        );
    })
    .await;
}
