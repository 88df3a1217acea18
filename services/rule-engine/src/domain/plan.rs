//! The rule base compiled: everything a decision needs of placements, strategies and
//! rules, with ids resolved to indexes and expressions ready to be judged. Immutable;
//! an edit makes a new one.

use std::{collections::BTreeMap, sync::Arc};

use attune_expr::{Expression, ExpressionSet};
use rustc_hash::FxHashMap;

use super::{filter::ItemFilter, items::ItemIndex, popularity::Signal};

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

#[derive(Debug)]
pub struct StrategyPlan {
    pub id: Arc<str>,
    pub sources: Vec<SourcePlan>,
    pub filter: Option<StrategyFilter>,
    /// 0 means no limit.
    pub category_max: usize,
    pub exploration_share: f64,
}

#[derive(Debug, Clone)]
pub struct SourcePlan {
    pub kind: SourceKind,
    pub weight: f64,
}

/// A source and what it takes.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceKind {
    Editorial { items: Vec<ItemIndex> },
    Popular { signal: Option<Signal> },
    Trending { signal: Option<Signal> },
    New { window_ms: i64 },
    RecentlyViewed,
    AlsoBought,
    Similar,
}

impl SourceKind {
    /// As answers name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Editorial { .. } => "editorial",
            Self::Popular { .. } => "popular",
            Self::Trending { .. } => "trending",
            Self::New { .. } => "new",
            Self::RecentlyViewed => "recently_viewed",
            Self::AlsoBought => "also_bought",
            Self::Similar => "similar",
        }
    }
}

/// What every item of a strategy must satisfy.
#[derive(Debug, Clone)]
pub enum StrategyFilter {
    /// Names items only: judged once per item.
    Items(Arc<ItemFilter>),
    /// Names the person or the situation too: judged for each.
    Mixed(Expression),
}

#[derive(Debug)]
pub struct RulePlan {
    pub id: Arc<str>,
    /// What a customer could be told of it.
    pub label: Arc<str>,
    /// None means always.
    pub condition: Option<ConditionId>,
    /// None means every item.
    pub targets: Option<Arc<ItemFilter>>,
    pub action: RuleAction,
    pub channels: Vec<String>,
    pub start_ms: Option<i64>,
    pub end_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum RuleAction {
    /// Multiplies; a bury is a factor below 1.
    Scale(f64),
    Pin {
        /// 0 is the first slot.
        position: usize,
        items: Vec<ItemIndex>,
    },
    Include {
        items: Vec<ItemIndex>,
    },
    Exclude,
}

impl RulePlan {
    /// Whether it is in force, its condition aside.
    pub fn is_in_force(&self, channel: &str, now_ms: i64) -> bool {
        self.start_ms.is_none_or(|start| start <= now_ms)
            && self.end_ms.is_none_or(|end| now_ms < end)
            && (self.channels.is_empty() || self.channels.iter().any(|c| c == channel))
    }
}

/// Sources and weights where nobody has chosen any.
pub const DEFAULT_STRATEGY_ID: &str = "default";

/// How long an item is new where nobody says.
pub const NEW_DAYS_DEFAULT: f64 = 30.0;
pub const DAY_MS: f64 = 86_400_000.0;

/// The built-in strategy.
pub fn default_strategy() -> StrategyPlan {
    let source = |kind, weight| SourcePlan { kind, weight };
    StrategyPlan {
        id: DEFAULT_STRATEGY_ID.into(),
        sources: vec![
            source(SourceKind::Popular { signal: None }, 1.0),
            source(SourceKind::Trending { signal: None }, 0.5),
            source(SourceKind::RecentlyViewed, 0.6),
            source(SourceKind::AlsoBought, 1.0),
            source(SourceKind::Similar, 0.8),
            source(
                SourceKind::New {
                    window_ms: (NEW_DAYS_DEFAULT * DAY_MS) as i64,
                },
                0.2,
            ),
        ],
        filter: None,
        category_max: 0,
        exploration_share: 0.0,
    }
}

/// A rule before it is placed: where it applies and how strongly.
#[derive(Debug)]
pub struct PlacedRule {
    pub plan: Arc<RulePlan>,
    /// Empty means every placement.
    pub placements: Vec<String>,
    pub priority: i32,
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
