//! What a request to decide may hold, as far as that follows from the request alone.

use attune_api::rules::v1::DecideRequest;
use attune_errors::Violations;

use super::check;

const PLACEMENTS_MAX: usize = 20;
const COUNT_DEFAULT: usize = 10;
const COUNT_MAX: i32 = 100;
const EXCLUDED_MAX: usize = 1000;
const CART_MAX: usize = 1000;
const CHANNEL_CHARS_MAX: usize = 64;

/// Notes everything wrong with the fields, placements' existence and filters aside.
pub fn check(found: &mut Violations, request: &DecideRequest) {
    if request.channel.chars().count() > CHANNEL_CHARS_MAX {
        let rule = format!("must be at most {CHANNEL_CHARS_MAX} characters");
        found.push("channel", rule);
    }
    if !(1..=PLACEMENTS_MAX).contains(&request.placements.len()) {
        found.push("placements", format!("must be 1 to {PLACEMENTS_MAX}"));
    }
    if request.exclude_item_ids.len() > EXCLUDED_MAX {
        let rule = format!("must be at most {EXCLUDED_MAX} items");
        found.push("exclude_item_ids", rule);
    }
    let context = request.context.as_ref();
    if context.is_some_and(|context| context.cart_item_ids.len() > CART_MAX) {
        let rule = format!("must be at most {CART_MAX} items");
        found.push("context.cart_item_ids", rule);
    }
    let asks = &request.placements[..request.placements.len().min(PLACEMENTS_MAX)];
    for (index, ask) in asks.iter().enumerate() {
        let before = &asks[..index];
        let is_again = before.iter().any(|b| b.placement == ask.placement);
        let is_countable = (0..=COUNT_MAX).contains(&ask.count);
        // Spelling where a fault is costs more than finding that there is none.
        if !is_again && is_countable && ask.item_id.is_empty() {
            continue;
        }
        found.within_item("placements", index, |found| {
            if is_again {
                found.push("placement", "must not be asked for twice");
            }
            if !is_countable {
                found.push("count", format!("must be 1 to {COUNT_MAX}; 0 means 10"));
            }
            if !ask.item_id.is_empty() {
                check::item_id(found, "item_id", &ask.item_id);
            }
        });
    }
}

/// How many slots are asked for.
pub fn count(sent: i32) -> usize {
    match usize::try_from(sent) {
        Ok(0) | Err(_) => COUNT_DEFAULT,
        Ok(count) => count,
    }
}
