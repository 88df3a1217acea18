//! What placements, strategies and rules may hold. Every fault is told at once, by
//! path below the resource's own field; whether ids that they name exist is for the
//! transaction that saves them.

mod placement;
mod rule;
mod schedule;
mod strategy;

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

/// Drafts that are to be published.
#[derive(Debug, Clone)]
pub enum Drafts {
    Ids(Vec<String>),
    Tagged(String),
}

/// Which drafts to publish: by id, or by tag where no ids are sent.
pub fn drafts(rule_ids: Vec<String>, tag: String) -> Result<Drafts, Violations> {
    match (rule_ids.is_empty(), tag.is_empty()) {
        (true, true) => Err(Violations::of("rule_ids", "must be set, or else tag")),
        (true, false) => Ok(Drafts::Tagged(tag)),
        (false, true) => Ok(Drafts::Ids(rule_ids)),
        (false, false) => Err(Violations::of("tag", "must not be set beside rule_ids")),
    }
}
