//! A strategy compiled: sources with their weights, filter, terms, diversity, and the
//! shares of slots that go to promotions and to chance.

use std::sync::Arc;

use attune_expr::Expression;

use super::person::{Eligibility, Fatigue};
use crate::domain::{
    filter::{ItemFilter, PersonalFilter},
    items::ItemIndex,
    popularity::Signal,
    projected::FeatureName,
};

#[derive(Debug)]
pub struct StrategyPlan {
    pub id: Arc<str>,
    pub sources: Vec<SourcePlan>,
    pub filter: Option<StrategyFilter>,
    /// Add to what the sources give.
    pub terms: Vec<TermPlan>,
    pub diversity: DiversityPlan,
    pub exploration_share: f64,
    pub promotions: Option<PromotionsPlan>,
    /// In the order in which they fill what this one leaves empty.
    pub fallback_ids: Vec<String>,
    pub eligibility: Eligibility,
    pub fatigue: Option<Fatigue>,
}

impl StrategyPlan {
    /// Sources and nothing else.
    pub fn new(id: &str, sources: Vec<SourcePlan>) -> Self {
        Self {
            id: id.into(),
            sources,
            filter: None,
            terms: Vec::new(),
            diversity: DiversityPlan::default(),
            exploration_share: 0.0,
            promotions: None,
            fallback_ids: Vec::new(),
            eligibility: Eligibility::default(),
            fatigue: None,
        }
    }
}

/// A number over items, persons and situations that moves the score.
#[derive(Debug, Clone)]
pub struct TermPlan {
    pub expression: Expression,
    pub weight: f64,
    /// What a reason calls it.
    pub label: Arc<str>,
}

/// How much alike the items of one answer may be.
#[derive(Debug, Clone, Default)]
pub struct DiversityPlan {
    /// Of one leaf category; 0 means no limit.
    pub category_max: usize,
    /// 0..1: what unlikeness counts against score.
    pub weight: f32,
    /// What items are compared by; empty means everything.
    pub compared: Vec<FeatureName>,
    pub limits: Vec<LimitPlan>,
}

/// At most so many with the same value.
#[derive(Debug, Clone)]
pub struct LimitPlan {
    /// `type`, `categories` or a characteristic.
    pub characteristic: Arc<str>,
    pub item_max: usize,
}

/// The share of slots that items of the filter get.
#[derive(Debug, Clone)]
pub struct PromotionsPlan {
    pub share: f64,
    pub filter: Arc<ItemFilter>,
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
    AlsoViewed,
    BecauseViewed,
    BuyAgain,
    PriceDropped { window_ms: i64, share_min: f64 },
    BackInStock { window_ms: i64 },
    CartComplement,
    SegmentAffinity,
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
            Self::AlsoViewed => "also_viewed",
            Self::BecauseViewed => "because_viewed",
            Self::BuyAgain => "buy_again",
            Self::PriceDropped { .. } => "price_dropped",
            Self::BackInStock { .. } => "back_in_stock",
            Self::CartComplement => "cart_complement",
            Self::SegmentAffinity => "segment_affinity",
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
/// How long a lower price or new stock is news where nobody says.
pub const CHANGED_DAYS_DEFAULT: f64 = 14.0;
pub const DAY_MS: f64 = 86_400_000.0;

/// The built-in strategy.
pub fn default_strategy() -> StrategyPlan {
    let source = |kind, weight| SourcePlan { kind, weight };
    StrategyPlan::new(
        DEFAULT_STRATEGY_ID,
        vec![
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
    )
}
