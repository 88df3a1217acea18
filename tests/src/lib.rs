//! Runs the real program the way an operator would, in one process or in five, and
//! talks to it the way a client would. Knows the command line and the public contract;
//! never reaches into a service.

// A harness that fails fails the test.
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used)]

mod api;
mod binary;
pub mod collector;
mod deployment;
mod process;
pub mod shop;

pub use api::{Answer, Api};
pub use attune_testkit::{PATIENCE, wait_until};
pub use binary::repository;
pub use deployment::{ADMIN_KEY, Deployment, Service, Topology};
pub use process::attempt;

/// Runs one scenario on both topologies, as `name::in_one_process` and
/// `name::in_five_processes`.
#[macro_export]
macro_rules! on_both_topologies {
    ($($scenario:ident),+ $(,)?) => {$(
        mod $scenario {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn in_one_process() {
                super::$scenario($crate::Topology::OneProcess).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn in_five_processes() {
                super::$scenario($crate::Topology::FiveProcesses).await;
            }
        }
    )+};
}
