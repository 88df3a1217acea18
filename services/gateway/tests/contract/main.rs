//! The gateway as its callers see it: generated clients and plain HTTP against the real
//! router, with peers that answer, fail, hang or shed as told. Every test runs in
//! process on SQLite and over TCP on PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

mod access;
mod collection;
mod http;
mod management;
mod peers;
mod personalize;
mod preferences;
mod rig;
