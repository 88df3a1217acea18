//! Protobuf ↔ domain, and all field validation that is the gateway's own.

pub mod access;
pub mod collection;
pub mod personalize;
pub mod preferences;
pub mod verdict;
