//! What every crate's tests need: a fresh database on each of the two systems, a port, and
//! waiting for a condition. Used by tests only; knows no service and no schema.

// A test's support fails the test.
#![allow(clippy::panic, clippy::expect_used)]

mod database;
mod files;
mod port;
mod wait;

pub use database::{TestDatabase, test_database_urls};
pub use files::files_with;
pub use port::ReservedPort;
pub use wait::{PATIENCE, wait_until};
