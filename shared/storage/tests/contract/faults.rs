//! What happens when the process or the server dies at the worst moment.

use std::{
    collections::HashSet,
    env,
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    time::Duration,
};

use attune_storage::{Database, Error, LogRecord, Tx, args};
use attune_testkit::{TestDatabase, test_database_urls, wait_until};

use crate::MIGRATIONS;

const CHILD: &str = "ATTUNE_TEST_KILLED_WRITER";
const INSERT: &str = "insert into counters (workspace, id, count) values ('w', $1, 1)";

async fn insert(database: &Database, id: String) -> Result<(), Error> {
    database
        .write(move |tx: &mut Tx| {
            let id = id.clone();
            Box::pin(async move {
                tx.execute(INSERT, args![&id]).await?;
                tx.publish(LogRecord {
                    workspace: "w".into(),
                    key: id,
                    entry: Default::default(),
                })
                .await
            })
        })
        .await
}

/// The process that is killed: this test's own program, started again. Without the
/// variable, as one of the tests, it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_writer() {
    let Ok(url) = env::var(CHILD) else { return };
    let database = Database::open(&url, &MIGRATIONS).await.unwrap();
    let writers = (0..16).map(|writer| {
        let database = database.clone();
        tokio::spawn(async move {
            for n in 0_u32.. {
                let id = format!("{writer}-{n}");
                insert(&database, id.clone()).await.unwrap();
                // One call, so that lines do not mix and nothing waits in a buffer.
                let line = format!("acknowledged {id}\n");
                std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
            }
        })
    });
    futures::future::join_all(writers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    for place in test_database_urls("kill").await {
        eprintln!("on {}", place.system);
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "faults::killed_writer", "--nocapture"])
            .env(CHILD, place.url())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = HashSet::new();
        // Until killed; then what was still in the pipe.
        while let Some(Ok(line)) = lines.next() {
            if let Some(id) = line.strip_prefix("acknowledged ") {
                acknowledged.insert(id.to_owned());
            }
            if acknowledged.len() == 500 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(acknowledged.len() >= 500);
        check_survivors(&place, &acknowledged).await;
    }
}

async fn check_survivors(place: &TestDatabase, acknowledged: &HashSet<String>) {
    const HALVES: &str = "select (select count(*) from counters \
         where not exists (select 1 from log where log.key = counters.id)) \
         + (select count(*) from log \
         where not exists (select 1 from counters where counters.id = log.key))";
    let database = Database::open(place.url(), &MIGRATIONS).await.unwrap();
    let rows = database
        .fetch_all("select id from counters", args![])
        .await
        .unwrap();
    let stored: HashSet<String> = rows.iter().map(|row| row.get(0).unwrap()).collect();
    assert!(acknowledged.is_subset(&stored));
    // One statement, since the server may still be finishing what the dead began.
    let halves = database.fetch_all(HALVES, args![]).await.unwrap();
    assert_eq!(halves[0].get::<i64>(0).unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_connections_are_replaced() {
    const CUT: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
         where datname = current_database() and pid <> pg_backend_pid()";
    let place = TestDatabase::postgres("lost_connections").await;
    let database = Database::open(place.url(), &MIGRATIONS).await.unwrap();
    let axe = Database::open(place.url(), &MIGRATIONS).await.unwrap();
    for round in 0..5 {
        insert(&database, format!("before-{round}")).await.unwrap();
        wait_until("a connection is cut", Duration::from_secs(20), async || {
            let cut = axe.fetch_all(CUT, args![]).await;
            cut.is_ok_and(|rows| rows[0].get::<i64>(0).unwrap() > 0)
        })
        .await;
        insert(&database, format!("after-{round}")).await.unwrap();
        let rows = database
            .fetch_all("select id from counters", args![])
            .await
            .unwrap();
        assert_eq!(rows.len(), 2 * (round + 1));
    }
}
