//! Stored resources to what deciding reads: ids become indexes, expressions filters.
//! The resources were checked when they were saved, so faults here are refusals
//! without words.

mod rule;
mod schedule;
mod strategy;

use attune_api::rules::v1::Placement;

pub use rule::{Compiled, compiled, rule};
pub use schedule::{schedule, time_of_day, time_zone};
pub use strategy::{ITEM_IDS, strategy};

use crate::domain::{items::Items, plan::LoosePlacement};

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
    }
}

fn intern(items: &mut Items, ids: &[String]) -> Vec<u32> {
    ids.iter().map(|id| items.intern(id)).collect()
}
