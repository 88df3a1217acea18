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
    CHANGED_DAYS_DEFAULT, DAY_MS, DEFAULT_STRATEGY_ID, DiversityPlan, LimitPlan, NEW_DAYS_DEFAULT,
    PromotionsPlan, SourceKind, SourcePlan, StrategyFilter, StrategyPlan, TermPlan,
    default_strategy,
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
    /// They fill, in this order, what the strategy leaves empty.
    pub fallback_strategies: Vec<Arc<StrategyPlan>>,
    pub fallback: Vec<ItemIndex>,
    pub template: String,
    /// How often one person may be shown the same.
    pub caps: Vec<Cap>,
}

impl PlacementPlan {
    pub fn is_on(&self, channel: &str) -> bool {
        self.channels.is_empty() || self.channels.iter().any(|c| c == channel)
    }

    /// Whether deciding makes use of all that a person ever bought.
    pub fn reads_purchases(&self) -> bool {
        let mut strategies = self.fallback_strategies.iter().chain([&self.strategy]);
        strategies.any(|strategy| {
            let mut sources = strategy.sources.iter();
            !strategy.eligibility.allow_bought
                || sources.any(|source| source.kind == SourceKind::BuyAgain)
        })
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
        let find = |id: &str| match strategies.get(id) {
            None if id == DEFAULT_STRATEGY_ID => Some(Arc::new(default_strategy())),
            found => found.cloned(),
        };
        let strategy = find(id_or_default).unwrap_or_else(|| Arc::new(default_strategy()));
        let fallbacks = strategy.fallback_ids.iter();
        PlacementPlan {
            id: self.id,
            channels: self.channels,
            fallback_strategies: fallbacks.filter_map(|id| find(id)).collect(),
            strategy,
            fallback: self.fallback,
            template: self.template,
            caps: self.caps,
        }
    }
}
