//! What a placement may hold.

use attune_api::rules::v1::{CapScope, FrequencyCap, Placement};
use attune_errors::Violations;

use crate::convert::check;

const FALLBACK_ITEMS_MAX: usize = 100;
const CAPS_MAX: usize = 10;
const CAP_EXPOSURES_MAX: i32 = 1000;
const CAP_DAYS_MAX: i32 = 90;

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
        caps(found, &placement.caps);
    });
}

fn caps(found: &mut Violations, caps: &[FrequencyCap]) {
    if caps.len() > CAPS_MAX {
        found.push("caps", format!("must be at most {CAPS_MAX}"));
        return;
    }
    for (index, cap) in caps.iter().enumerate() {
        found.within_item("caps", index, |found| {
            let scope = CapScope::try_from(cap.scope);
            if !matches!(scope, Ok(scope) if scope != CapScope::Unspecified) {
                found.push("scope", "must be ITEM, PLACEMENT or CHANNEL");
            }
            if !(1..=CAP_EXPOSURES_MAX).contains(&cap.exposure_max) {
                found.push("exposure_max", format!("must be 1 to {CAP_EXPOSURES_MAX}"));
            }
            if !(1..=CAP_DAYS_MAX).contains(&cap.days) {
                found.push("days", format!("must be 1 to {CAP_DAYS_MAX}"));
            }
            let mut before = caps[..index].iter();
            if before.any(|other| (other.scope, other.days) == (cap.scope, cap.days)) {
                found.push("", "must not be of the scope and days of another cap");
            }
        });
    }
}
