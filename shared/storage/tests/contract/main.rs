//! What services rely on, checked on both databases with the same code.

// Helpers of tests fail the test.
#![allow(clippy::unwrap_used, clippy::panic)]

mod batcher;
mod faults;
mod log;
mod resources;
mod values;
mod writes;

use std::future::Future;

use attune_storage::{Database, Migrations};
use attune_testkit::{TestDatabase, test_database_urls};

/// A table to write to, made by the migration path that services use.
static MIGRATIONS: Migrations = Migrations::new(&[(
    "0001_counters.sql",
    "create table counters (workspace text not null, id text not null, count bigint not null, \
     primary key (workspace, id)); \
     create table everything (id bigint primary key, whole bigint, real double precision, \
     truth boolean, words text, raw bytea, document jsonb);",
)]);

/// Runs one test on both systems.
async fn on_both<F>(name: &str, test: impl Fn(Opened) -> F)
where
    F: Future<Output = ()>,
{
    for place in test_database_urls(name).await {
        eprintln!("on {}", place.system);
        let database = Database::open(place.url(), &MIGRATIONS).await.unwrap();
        test(Opened { database, place }).await;
    }
}

/// An open database and what keeps its place alive.
struct Opened {
    database: Database,
    place: TestDatabase,
}

impl Opened {
    async fn count(&self, sql: &'static str) -> i64 {
        let rows = self.database.fetch_all(sql, vec![]).await.unwrap();
        rows[0].get(0).unwrap()
    }
}
