//! Stored resources to what deciding reads: ids become indexes, expressions filters.
//! The resources were checked when they were saved, so faults here are refusals
//! without words.

mod rule;
mod schedule;
mod strategy;

use attune_api::rules::v1::{CapScope, FrequencyCap, Placement};

pub use rule::{RuleNumbers, compiled_rule, rule};
pub use schedule::{schedule, time_of_day, time_zone};
pub use strategy::{ITEM_IDS, PERCENT_MIN, editorial_items, strategy};

use crate::domain::{
    caps::{self, Cap},
    items::Items,
    plan::{LoosePlacement, PersonCap},
};

/// A resource that does not compile.
#[derive(Debug)]
pub struct Uncompilable;

pub fn placement(placement: &Placement, items: &mut Items) -> LoosePlacement {
    LoosePlacement {
        id: placement.placement_id.as_str().into(),
        channels: placement.channels.clone(),
        strategy_id: placement.strategy.clone(),
        fallback: intern(items, &placement.fallback_item_ids),
        template: placement.template.clone(),
        caps: placement.caps.iter().filter_map(cap).collect(),
    }
}

/// None for a scope that this version does not know.
fn cap(cap: &FrequencyCap) -> Option<Cap> {
    let scope = match cap.scope() {
        CapScope::Unspecified => return None,
        CapScope::Item => caps::CapScope::Item,
        CapScope::Placement => caps::CapScope::Placement,
        CapScope::Channel => caps::CapScope::Channel,
    };
    let limit = PersonCap {
        exposure_max: count(cap.exposure_max),
        days: u16::try_from(cap.days).unwrap_or(1),
    };
    Some(Cap { scope, limit })
}

/// Checked when it was saved.
fn count(sent: i32) -> u32 {
    u32::try_from(sent).unwrap_or(0)
}

fn intern(items: &mut Items, ids: &[String]) -> Vec<u32> {
    ids.iter().map(|id| items.intern(id)).collect()
}
