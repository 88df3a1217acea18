//! The rule base compiled: everything a decision needs of placements, strategies and
//! rules, with ids resolved to indexes and expressions ready to be judged. Immutable;
//! an edit makes a new one.

mod person;
mod rule;
mod strategy;
mod table;

use std::{collections::BTreeMap, sync::Arc};

use attune_expr::Snapshot;
use rustc_hash::FxHashMap;

use super::{caps::Cap, items::ItemIndex};
pub use person::{DISMISSED_DAYS_DEFAULT, Eligibility, FATIGUE_DAYS_DEFAULT, Fatigue};
pub use rule::{Budget, GroupId, PersonCap, RuleAction, RulePlan};
pub use strategy::{
    DAY_MS, DEFAULT_STRATEGY_ID, NEW_DAYS_DEFAULT, SourceKind, SourcePlan, StrategyFilter,
    StrategyPlan, default_strategy,
};
pub use table::{RuleTable, Rules};

/// The rule base of one workspace.
#[derive(Debug, Default)]
pub struct RuleBase {
    pub placements: FxHashMap<Arc<str>, Arc<PlacementPlan>>,
    /// Conditions of rules; each key is a [`RulePlan::condition`].
    pub conditions: Arc<Snapshot<ConditionId>>,
    pub rules: Rules,
}

pub type ConditionId = u32;

#[derive(Debug)]
pub struct PlacementPlan {
    pub id: Arc<str>,
    /// Empty means all.
    pub channels: Vec<String>,
    pub strategy: Arc<StrategyPlan>,
    pub fallback: Vec<ItemIndex>,
    pub template: String,
    /// How often one person may be shown the same.
    pub caps: Vec<Cap>,
}

impl PlacementPlan {
    pub fn is_on(&self, channel: &str) -> bool {
        self.channels.is_empty() || self.channels.iter().any(|c| c == channel)
    }
}

/// A placement before its strategy is looked up.
#[derive(Debug)]
pub struct LoosePlacement {
    pub id: Arc<str>,
    pub channels: Vec<String>,
    /// Empty means the built-in one.
    pub strategy_id: String,
    pub fallback: Vec<ItemIndex>,
    pub template: String,
    pub caps: Vec<Cap>,
}

impl LoosePlacement {
    /// With its strategy. One whose strategy is gone is filled by the built-in one.
    pub fn plan(self, strategies: &BTreeMap<String, Arc<StrategyPlan>>) -> PlacementPlan {
        let id_or_default = match self.strategy_id.as_str() {
            "" => DEFAULT_STRATEGY_ID,
            id => id,
        };
        let strategy = strategies.get(id_or_default).map(Arc::clone);
        PlacementPlan {
            id: self.id,
            channels: self.channels,
            strategy: strategy.unwrap_or_else(|| Arc::new(default_strategy())),
            fallback: self.fallback,
            template: self.template,
            caps: self.caps,
        }
    }
}
