//! Contract to domain and back, and every rule about what a field may hold. Asks no
//! database: what depends on stored things is looked up by the use cases.

pub mod analysis;
pub mod answer;
pub mod asks;
pub mod check;
pub mod explanation;
pub mod outcomes;
pub mod plan;
pub mod resources;
pub mod simulation;
pub mod wire;
