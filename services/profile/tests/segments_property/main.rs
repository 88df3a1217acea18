//! What is kept up to date with every write is what comes of looking at everybody from
//! scratch: whatever people do, now or told late, however they are merged and parted,
//! whatever they agree to and however much time passes in between. From scratch twice: by
//! this test's own reading of each expression over the timelines that the service shows,
//! and by the same expressions declared again at the end, under other names.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod acts;
mod checks;
mod ledger;
mod model;
mod played;
mod steps;
#[path = "../support/mod.rs"]
mod support;

use std::panic::{AssertUnwindSafe, resume_unwind};

use attune_testkit::TestDatabase;
use futures::FutureExt as _;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use checks::holds;
use played::Played;
use steps::{Op, ops};

/// Stops the services also where something does not hold, since there will be others.
async fn run(database: TestDatabase, ops: &[Op]) -> Result<(), TestCaseError> {
    let mut played = Played::begin(database).await;
    let held = AssertUnwindSafe(holds(&mut played, ops))
        .catch_unwind()
        .await;
    played.end().await;
    held.unwrap_or_else(|panic| resume_unwind(panic))
}

/// A database for each case, since one is as old as its newest pass.
fn check(cases: u32, database: impl AsyncFn() -> TestDatabase) {
    let config = Config {
        cases,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    };
    let tried = TestRunner::new(config).run(&ops(), |ops| {
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let database = database().await;
                run(database, &ops).await
            })
        })
    });
    tried.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_up_to_date_is_what_comes_of_looking_from_scratch() {
    check(24, async || TestDatabase::sqlite("segments_property"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_take_turns_keep_it_up_to_date_as_one_does() {
    check(6, async || {
        TestDatabase::postgres("segments_property").await
    });
}
