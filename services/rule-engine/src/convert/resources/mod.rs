//! What placements, strategies and rules may hold. Every fault is told at once, by
//! path below the resource's own field; whether ids that they name exist is for the
//! transaction that saves them.

mod placement;
mod rule;
mod schedule;
mod strategy;

use std::collections::HashSet;

use attune_errors::Violations;

pub use placement::placement;
pub use rule::{Fields, never, rule};
pub use strategy::strategy;

/// The id of a resource to create: in its own field of the request or in the body.
pub fn create_id(
    found: &mut Violations,
    field: &'static str,
    request_id: &str,
    body_id: &mut String,
) {
    if request_id.is_empty() || request_id == body_id.as_str() {
        return;
    }
    if body_id.is_empty() {
        request_id.clone_into(body_id);
    } else {
        found.push(field, "must not differ from the id in the body");
    }
}

/// Which of `wanted` are not among `known`, by their place.
pub fn missing<'a>(
    wanted: &'a [String],
    known: &HashSet<String>,
) -> impl Iterator<Item = (usize, &'a String)> {
    let missing: Vec<_> = wanted
        .iter()
        .enumerate()
        .filter(|(_, id)| !known.contains(*id))
        .collect();
    missing.into_iter()
}
