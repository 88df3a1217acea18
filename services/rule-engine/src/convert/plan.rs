//! Stored resources to what deciding reads: ids become indexes, expressions filters.
//! The resources were checked when they were saved, so faults here are refusals
//! without words.

use attune_api::{
    rules::v1::{Placement, Rule, Source, SourceKind as Kind, Strategy, action},
    time,
};
use attune_expr::{Expression, Vocabulary};
use prost_types::{Struct, value::Kind as JsonKind};

use crate::domain::{
    items::Items,
    plan::{
        ConditionId, DAY_MS, LoosePlacement, NEW_DAYS_DEFAULT, RuleAction, RulePlan, SourceKind,
        SourcePlan, StrategyFilter, StrategyPlan,
    },
    popularity::Signal,
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
    }
}

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
    })
}

/// One that speaks of items only is judged once per item.
fn filter(source: &str, items: &mut Items) -> Result<Option<StrategyFilter>, Uncompilable> {
    if source.is_empty() {
        return Ok(None);
    }
    if let Ok(expression) = Expression::compile(source, &Vocabulary::item()) {
        return Ok(Some(StrategyFilter::Items(items.filter(expression))));
    }
    Expression::compile(source, &Vocabulary::subject_and_item())
        .map(|expression| Some(StrategyFilter::Mixed(expression)))
        .map_err(|_| Uncompilable)
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
    };
    let weight = match source.weight {
        0.0 => 1.0,
        weight => weight,
    };
    Ok(SourcePlan { kind, weight })
}

/// None for an action that this version does not know.
pub fn rule(
    rule: &Rule,
    condition: Option<ConditionId>,
    items: &mut Items,
) -> Result<Option<RulePlan>, Uncompilable> {
    let kind = rule.action.as_ref().and_then(|action| action.kind.as_ref());
    let Some(kind) = kind else {
        return Ok(None);
    };
    let targets = match rule.r#where.as_str() {
        "" => None,
        source => {
            let expression = Expression::compile(source, &Vocabulary::item());
            Some(items.filter(expression.map_err(|_| Uncompilable)?))
        }
    };
    let schedule = rule.schedule.as_ref();
    let label = match rule.display_name.as_str() {
        "" => &rule.rule_id,
        name => name,
    };
    Ok(Some(RulePlan {
        id: rule.rule_id.as_str().into(),
        label: label.into(),
        condition,
        targets,
        action: rule_action(kind, items),
        channels: rule.channels.clone(),
        start_ms: schedule.and_then(|s| s.start_time.as_ref().map(time::to_ms)),
        end_ms: schedule.and_then(|s| s.end_time.as_ref().map(time::to_ms)),
    }))
}

fn rule_action(kind: &action::Kind, items: &mut Items) -> RuleAction {
    match kind {
        action::Kind::Boost(boost) => RuleAction::Scale(boost.factor),
        action::Kind::Bury(bury) => RuleAction::Scale(1.0 / bury.factor),
        action::Kind::Pin(pin) => RuleAction::Pin {
            position: usize::try_from(pin.position - 1).unwrap_or(0),
            items: intern(items, &pin.item_ids),
        },
        action::Kind::Include(include) => RuleAction::Include {
            items: intern(items, &include.item_ids),
        },
        action::Kind::Exclude(_) => RuleAction::Exclude,
    }
}

fn intern(items: &mut Items, ids: &[String]) -> Vec<u32> {
    ids.iter().map(|id| items.intern(id)).collect()
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
