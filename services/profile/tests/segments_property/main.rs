//! What is kept up to date with every write is what comes of looking at everybody from
//! scratch: whatever people do, now or told late, however they are merged and parted,
//! whatever they agree to and however much time passes in between. From scratch twice: by
//! this test's own reading of each expression over the timelines that the service shows,
//! and by the same expressions declared again at the end, under other names.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod checks;
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
use steps::{Op, op};
use support::databases;

/// Stops the services also where something does not hold, since there will be others.
async fn run(database: &TestDatabase, case: usize, ops: &[Op]) -> Result<(), TestCaseError> {
    let mut played = Played::begin(database, case).await;
    let held = AssertUnwindSafe(holds(&mut played, ops))
        .catch_unwind()
        .await;
    played.end().await;
    held.unwrap_or_else(|panic| resume_unwind(panic))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_up_to_date_is_what_comes_of_looking_from_scratch() {
    for database in databases("segments_property").await {
        let config = Config {
            cases: if database.system == "sqlite" { 24 } else { 6 },
            max_shrink_iters: 200,
            failure_persistence: None,
            ..Config::default()
        };
        let case = std::cell::Cell::new(0);
        TestRunner::new(config)
            .run(&prop::collection::vec(op(), 1..40), |ops| {
                case.set(case.get() + 1);
                tokio::task::block_in_place(|| {
                    let runtime = tokio::runtime::Handle::current();
                    runtime.block_on(run(&database, case.get(), &ops))
                })
            })
            .unwrap();
    }
}
