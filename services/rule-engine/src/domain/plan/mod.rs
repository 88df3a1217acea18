//! The rule base compiled: everything a decision needs of placements, strategies and
//! rules, with ids resolved to indexes and expressions ready to be judged. Immutable;
//! an edit makes a new one.

mod rule;
mod strategy;

use std::{collections::BTreeMap, sync::Arc};

use attune_expr::ExpressionSet;
use rustc_hash::FxHashMap;

use super::items::ItemIndex;
pub use rule::{PlacedRule, RuleAction, RulePlan};
pub use strategy::{
    DAY_MS, DEFAULT_STRATEGY_ID, NEW_DAYS_DEFAULT, SourceKind, SourcePlan, StrategyFilter,
    StrategyPlan, default_strategy,
};

/// The rule base of one workspace.
#[derive(Debug, Default)]
pub struct RuleBase {
    pub placements: FxHashMap<Arc<str>, Arc<PlacementPlan>>,
    /// Conditions of rules; each value is a [`RulePlan::condition`].
    pub conditions: ExpressionSet<ConditionId>,
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
    /// The rules that may apply here, the highest priority first, then by id.
    pub rules: Vec<Arc<RulePlan>>,
}

impl PlacementPlan {
    pub fn is_on(&self, channel: &str) -> bool {
        self.channels.is_empty() || self.channels.iter().any(|c| c == channel)
    }
}

/// A placement before its strategy and rules are looked up.
#[derive(Debug)]
pub struct LoosePlacement {
    pub id: Arc<str>,
    pub channels: Vec<String>,
    /// Empty means the built-in one.
    pub strategy_id: String,
    pub fallback: Vec<ItemIndex>,
    pub template: String,
}

impl RuleBase {
    /// Puts the parts together. A placement whose strategy is gone is filled by the
    /// built-in one.
    pub fn assemble(
        placements: impl IntoIterator<Item = LoosePlacement>,
        strategies: &BTreeMap<String, Arc<StrategyPlan>>,
        mut rules: Vec<PlacedRule>,
        conditions: ExpressionSet<ConditionId>,
    ) -> Self {
        rules.sort_by(|a, b| {
            b.priority
                .cmp(&a.priority)
                .then_with(|| a.plan.id.cmp(&b.plan.id))
        });
        let built_in = Arc::new(default_strategy());
        let placements = placements.into_iter().map(|loose| {
            let applies = |rule: &&PlacedRule| {
                rule.placements.is_empty() || rule.placements.iter().any(|p| **p == *loose.id)
            };
            let rules = rules.iter().filter(applies);
            let rules = rules.map(|rule| Arc::clone(&rule.plan)).collect();
            let id_or_default = match loose.strategy_id.as_str() {
                "" => DEFAULT_STRATEGY_ID,
                id => id,
            };
            let strategy = strategies.get(id_or_default).unwrap_or(&built_in);
            let plan = PlacementPlan {
                id: Arc::clone(&loose.id),
                channels: loose.channels,
                strategy: Arc::clone(strategy),
                fallback: loose.fallback,
                template: loose.template,
                rules,
            };
            (loose.id, Arc::new(plan))
        });
        Self {
            placements: placements.collect(),
            conditions,
        }
    }
}
