//! Use cases of the rule-engine. Between the contract and the domain: takes checked
//! requests, holds what is in memory, and keeps the database in step.

pub mod analysis;
pub mod decide;
pub mod decision_log;
pub mod erasures;
pub mod exposures;
pub mod filters;
pub mod follow;
pub mod metrics;
pub mod outcomes;
pub mod parts;
pub mod people;
pub mod replicas;
pub mod reports;
pub mod retention;
pub mod rules;
pub mod simulate;
pub mod snapshots;
pub mod workspace;
