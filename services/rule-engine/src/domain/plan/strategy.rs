//! A strategy compiled: sources with their weights, filter, diversity, exploration.

use std::sync::Arc;

use super::person::{Eligibility, Fatigue};
use crate::domain::{
    filter::{ItemFilter, PersonalFilter},
    items::ItemIndex,
    popularity::Signal,
};

#[derive(Debug)]
pub struct StrategyPlan {
    pub id: Arc<str>,
    pub sources: Vec<SourcePlan>,
    pub filter: Option<StrategyFilter>,
    /// 0 means no limit.
    pub category_max: usize,
    pub exploration_share: f64,
    pub eligibility: Eligibility,
    pub fatigue: Option<Fatigue>,
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
    /// Names items only.
    Items(Arc<ItemFilter>),
    /// Names the person or the situation too.
    Personal(Arc<PersonalFilter>),
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
        eligibility: Eligibility::default(),
        fatigue: None,
    }
}
