//! A stored strategy to its plan: sources with their parameters, filters compiled.

use std::sync::Arc;

use attune_api::rules::v1::{Eligibility, Fatigue, Source, SourceKind as Kind, Strategy};
use attune_expr::{Expression, Vocabulary};
use prost_types::{Struct, value::Kind as JsonKind};

use super::{Uncompilable, count, intern};
use crate::domain::{
    filter::PersonalFilter,
    items::Items,
    plan::{
        self, DAY_MS, DISMISSED_DAYS_DEFAULT, FATIGUE_DAYS_DEFAULT, NEW_DAYS_DEFAULT, SourceKind,
        SourcePlan, StrategyFilter, StrategyPlan,
    },
    popularity::Signal,
};

pub fn strategy(strategy: &Strategy, items: &mut Items) -> Result<StrategyPlan, Uncompilable> {
    let sources = strategy.sources.iter().map(|s| source(s, items));
    Ok(StrategyPlan {
        id: strategy.strategy_id.as_str().into(),
        sources: sources.collect::<Result<_, _>>()?,
        filter: filter(&strategy.filter, items)?,
        category_max: strategy.diversity.as_ref().map_or(0, |diversity| {
            usize::try_from(diversity.category_max).unwrap_or(0)
        }),
        exploration_share: strategy.exploration.as_ref().map_or(0.0, |e| e.share),
        eligibility: eligibility(strategy.eligibility.as_ref()),
        fatigue: strategy.fatigue.as_ref().and_then(fatigue),
    })
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
            window_ms: (number(params, "days").unwrap_or(NEW_DAYS_DEFAULT) * DAY_MS) as i64,
        },
        Kind::RecentlyViewed => SourceKind::RecentlyViewed,
        Kind::AlsoBought => SourceKind::AlsoBought,
        Kind::Similar => SourceKind::Similar,
        // Known to the contract and not to this version.
        _ => return Err(Uncompilable),
    };
    let weight = match source.weight {
        0.0 => 1.0,
        weight => weight,
    };
    Ok(SourcePlan { kind, weight })
}

/// The names that a source's list of items goes by.
pub const ITEM_IDS: [&str; 2] = ["itemIds", "item_ids"];

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
