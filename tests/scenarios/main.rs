//! What the product promises, checked on the running program in both topologies. One
//! file per promise.

// Scenarios fail by panicking.
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used)]

mod bad_input;
mod consent;
mod crash;
mod degradation;
mod eligibility;
mod foreign;
mod imports;
mod insight;
mod lives;
mod load;
mod main_job;
mod observability;
mod outcomes;
mod power_cut;
mod preferences;
mod privacy;
mod protocols;
mod rules;
mod segments;
mod shutdown;
mod startup;
mod workspaces;
