//! What placements, strategies and rules may hold. Every fault is told at once, by
//! path below the resource's own field; whether ids that they name exist is for the
//! transaction that saves them.

mod rule;
mod schedule;
mod strategy;

use std::collections::HashSet;

use attune_api::rules::v1::Placement;
use attune_errors::Violations;

use super::check;
pub use rule::{Fields, never, rule};
pub use strategy::strategy;

const FALLBACK_ITEMS_MAX: usize = 100;

pub fn placement(found: &mut Violations, placement: &Placement) {
    found.within("placement", |found| {
        check::id(found, "placement_id", &placement.placement_id);
        check::name(found, "display_name", &placement.display_name);
        check::channels(found, "channels", &placement.channels);
        let fallback = placement.fallback_item_ids.iter().map(String::as_str);
        check::item_ids(found, "fallback_item_ids", fallback, FALLBACK_ITEMS_MAX);
        for (field, id) in [
            ("strategy", &placement.strategy),
            ("template", &placement.template),
        ] {
            if !id.is_empty() {
                check::id(found, field, id);
            }
        }
    });
}

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
