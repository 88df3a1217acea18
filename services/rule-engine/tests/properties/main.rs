//! What holds for every catalog, rule base and request: nothing twice, nothing that is
//! excluded, pins where they belong, and remembered verdicts equal to fresh ones.

#![allow(clippy::unwrap_used, clippy::panic)]

mod filters;
mod pages;
mod world;
