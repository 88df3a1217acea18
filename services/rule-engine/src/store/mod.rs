//! SQL of the rule-engine, one file per aggregate, the same text on both databases.
//! Knows tables; decides nothing.

pub mod decisions;
pub mod exposures;
pub mod items;
pub mod models;
pub mod outcomes;
pub mod reports;
pub mod revisions;
pub mod rule_versions;
pub mod rules;
pub mod secrets;
