//! Deciding, as ideas: items, attention, likeness, rules and how they make an answer.
//! Pure and synchronous: no transport, no database, no clock.

pub mod affinity;
pub mod attribution;
pub mod audience;
pub mod bits;
pub mod caps;
pub mod changes;
pub mod claims;
pub mod co_occurrence;
pub mod columns;
pub mod comparison;
pub mod decide;
pub mod exposures;
pub mod filter;
mod id_hash;
pub mod inverted;
pub mod items;
pub mod models;
pub mod plan;
pub mod popularity;
pub mod projected;
pub mod ranked;
pub mod replenishment;
pub mod report;
pub mod schedule;
pub mod subject;
pub mod token;
