//! A stored strategy to its plan: sources with their parameters, filters compiled.

use std::sync::Arc;

use attune_api::rules::v1::{
    Diversity, Eligibility, Fatigue, Promotions, Scorer, Source, SourceKind as Kind, Strategy,
};
use attune_expr::{Expression, Vocabulary};
use prost_types::{Struct, value::Kind as JsonKind};

use super::{Uncompilable, count, intern};
use crate::domain::{
    filter::PersonalFilter,
    items::Items,
    plan::{
        self, CHANGED_DAYS_DEFAULT, DAY_MS, DISMISSED_DAYS_DEFAULT, DiversityPlan,
        FATIGUE_DAYS_DEFAULT, LimitPlan, NEW_DAYS_DEFAULT, PromotionsPlan, SourceKind, SourcePlan,
        StrategyFilter, StrategyPlan, TermPlan,
    },
    popularity::Signal,
    projected::{CATEGORY_FEATURE, FeatureName, TYPE_FEATURE},
};

pub fn strategy(strategy: &Strategy, items: &mut Items) -> Result<StrategyPlan, Uncompilable> {
    let sources = strategy.sources.iter().map(|s| source(s, items));
    let sources = sources.collect::<Result<_, _>>()?;
    Ok(StrategyPlan {
        filter: filter(&strategy.filter, items)?,
        terms: terms(strategy.scorer.as_ref())?,
        diversity: diversity(strategy.diversity.as_ref()),
        exploration_share: strategy.exploration.as_ref().map_or(0.0, |e| e.share),
        promotions: promotions(strategy.promotions.as_ref(), items)?,
        fallback_ids: strategy.fallback_strategies.clone(),
        eligibility: eligibility(strategy.eligibility.as_ref()),
        fatigue: strategy.fatigue.as_ref().and_then(fatigue),
        ..StrategyPlan::new(&strategy.strategy_id, sources)
    })
}

fn terms(scorer: Option<&Scorer>) -> Result<Vec<TermPlan>, Uncompilable> {
    let vocabulary = Vocabulary::subject_and_item();
    let terms = scorer.map_or(&[][..], |scorer| &scorer.terms).iter();
    let terms = terms.map(|term| {
        let kind = attune_expr::Kind::Number;
        let compiled = Expression::compile_value(&term.expression, &vocabulary, kind);
        let label = match term.display_name.as_str() {
            "" => &term.expression,
            name => name,
        };
        Ok(TermPlan {
            expression: compiled.map_err(|_| Uncompilable)?,
            weight: term.weight,
            label: label.into(),
        })
    });
    terms.collect()
}

fn diversity(diversity: Option<&Diversity>) -> DiversityPlan {
    let Some(diversity) = diversity else {
        return DiversityPlan::default();
    };
    let limits = diversity.limits.iter().map(|limit| LimitPlan {
        characteristic: limit.characteristic.as_str().into(),
        item_max: usize::try_from(limit.item_max).unwrap_or(0),
    });
    DiversityPlan {
        category_max: usize::try_from(diversity.category_max).unwrap_or(0),
        weight: diversity.weight as f32,
        compared: diversity
            .characteristics
            .iter()
            .map(|c| compared(c))
            .collect(),
        limits: limits.collect(),
    }
}

fn compared(characteristic: &str) -> FeatureName {
    FeatureName::of(match characteristic {
        "type" => TYPE_FEATURE,
        "categories" => CATEGORY_FEATURE,
        name => name,
    })
}

fn promotions(
    promotions: Option<&Promotions>,
    items: &mut Items,
) -> Result<Option<PromotionsPlan>, Uncompilable> {
    let Some(promotions) = promotions.filter(|p| p.share > 0.0) else {
        return Ok(None);
    };
    let expression = Expression::compile(&promotions.filter, &Vocabulary::item());
    Ok(Some(PromotionsPlan {
        share: promotions.share,
        filter: items.filter(expression.map_err(|_| Uncompilable)?),
    }))
}

fn eligibility(sent: Option<&Eligibility>) -> plan::Eligibility {
    sent.map_or_else(plan::Eligibility::default, |sent| plan::Eligibility {
        allow_bought: sent.allow_bought,
        dismissed_days: match sent.dismissed_days {
            0 => Some(DISMISSED_DAYS_DEFAULT),
            days => u32::try_from(days).ok(),
        },
    })
}

fn fatigue(sent: &Fatigue) -> Option<plan::Fatigue> {
    let days = match sent.days {
        0 => FATIGUE_DAYS_DEFAULT,
        days => count(days),
    };
    (sent.half_exposures > 0.0).then_some(plan::Fatigue {
        half_exposures: sent.half_exposures,
        days,
    })
}

/// One that speaks of items only is the same for everyone.
fn filter(source: &str, items: &mut Items) -> Result<Option<StrategyFilter>, Uncompilable> {
    if source.is_empty() {
        return Ok(None);
    }
    if let Ok(expression) = Expression::compile(source, &Vocabulary::item()) {
        items.want_columns(&expression);
        return Ok(Some(StrategyFilter::Items(items.filter(expression))));
    }
    let expression = Expression::compile(source, &Vocabulary::subject_and_item());
    let expression = expression.map_err(|_| Uncompilable)?;
    items.want_columns(&expression);
    let filter = PersonalFilter::new(expression);
    Ok(Some(StrategyFilter::Personal(Arc::new(filter))))
}

fn source(source: &Source, items: &mut Items) -> Result<SourcePlan, Uncompilable> {
    let params = source.params.as_ref();
    let kind = match source.kind() {
        Kind::Unspecified => return Err(Uncompilable),
        Kind::Editorial => SourceKind::Editorial {
            items: intern(items, &item_ids(params)),
        },
        Kind::Popular => SourceKind::Popular {
            signal: signal(params),
        },
        Kind::Trending => SourceKind::Trending {
            signal: signal(params),
        },
        Kind::New => SourceKind::New {
            window_ms: days_ms(params, NEW_DAYS_DEFAULT),
        },
        Kind::RecentlyViewed => SourceKind::RecentlyViewed,
        Kind::AlsoBought => SourceKind::AlsoBought,
        Kind::Similar => SourceKind::Similar,
        Kind::AlsoViewed => SourceKind::AlsoViewed,
        Kind::BecauseViewed => SourceKind::BecauseViewed,
        Kind::BuyAgain => SourceKind::BuyAgain,
        Kind::PriceDropped => SourceKind::PriceDropped {
            window_ms: days_ms(params, CHANGED_DAYS_DEFAULT),
            share_min: PERCENT_MIN
                .iter()
                .find_map(|name| number(params, name))
                .unwrap_or(0.0)
                / 100.0,
        },
        Kind::BackInStock => SourceKind::BackInStock {
            window_ms: days_ms(params, CHANGED_DAYS_DEFAULT),
        },
        Kind::CartComplement => SourceKind::CartComplement,
        Kind::SegmentAffinity => SourceKind::SegmentAffinity,
    };
    let weight = match source.weight {
        0.0 => 1.0,
        weight => weight,
    };
    Ok(SourcePlan { kind, weight })
}

/// The items that an editor chose; none for other kinds of source.
pub fn editorial_items(source: &Source) -> Vec<String> {
    match source.kind() {
        Kind::Editorial => item_ids(source.params.as_ref()),
        _ => Vec::new(),
    }
}

/// The names that a source's list of items goes by.
pub const ITEM_IDS: [&str; 2] = ["itemIds", "item_ids"];
/// The names that the least reduction goes by.
pub const PERCENT_MIN: [&str; 2] = ["percentMin", "percent_min"];

fn days_ms(params: Option<&Struct>, default: f64) -> i64 {
    (number(params, "days").unwrap_or(default) * DAY_MS) as i64
}

fn item_ids(params: Option<&Struct>) -> Vec<String> {
    let list = ITEM_IDS
        .iter()
        .find_map(|name| params?.fields.get(*name)?.kind.as_ref());
    let Some(JsonKind::ListValue(list)) = list else {
        return Vec::new();
    };
    let texts = list.values.iter().filter_map(|value| match &value.kind {
        Some(JsonKind::StringValue(id)) => Some(id.clone()),
        _ => None,
    });
    texts.collect()
}

fn signal(params: Option<&Struct>) -> Option<Signal> {
    match params?.fields.get("event")?.kind.as_ref()? {
        JsonKind::StringValue(event) => Signal::of_event(event),
        _ => None,
    }
}

fn number(params: Option<&Struct>, name: &str) -> Option<f64> {
    match params?.fields.get(name)?.kind.as_ref()? {
        JsonKind::NumberValue(number) => Some(*number),
        _ => None,
    }
}
