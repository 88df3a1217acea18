//! What a strategy may hold.

use attune_api::rules::v1::{Exploration, Source, SourceKind, Strategy};
use attune_errors::Violations;
use attune_expr::Vocabulary;
use prost_types::{Struct, Value, value::Kind};

use crate::{
    convert::{check, plan::ITEM_IDS},
    domain::popularity::Signal,
};

const SOURCES_MAX: usize = 16;
const EDITORIAL_ITEMS_MAX: usize = 1000;
const CATEGORY_MAX: i32 = 100;
const WEIGHT_MAX: f64 = 1000.0;
const NEW_DAYS_MAX: f64 = 3650.0;
const DISMISSED_DAYS_MAX: i32 = 3650;
const HALF_EXPOSURES_MAX: f64 = 1000.0;
const FATIGUE_DAYS_MAX: i32 = 90;

pub fn strategy(found: &mut Violations, strategy: &Strategy, both: &Vocabulary) {
    found.within("strategy", |found| {
        check::id(found, "strategy_id", &strategy.strategy_id);
        check::name(found, "display_name", &strategy.display_name);
        if !(1..=SOURCES_MAX).contains(&strategy.sources.len()) {
            found.push("sources", format!("must be 1 to {SOURCES_MAX}"));
        }
        for (index, s) in strategy.sources.iter().enumerate() {
            found.within_item("sources", index, |found| source(found, s));
            if strategy.sources[..index]
                .iter()
                .any(|other| is_same(other, s))
            {
                let field = format!("sources[{index}].kind");
                found.push(field, "must not be listed twice with the same params");
            }
        }
        check::expression(found, "filter", &strategy.filter, both);
        let category_max = strategy.diversity.as_ref().map_or(0, |d| d.category_max);
        if !(0..=CATEGORY_MAX).contains(&category_max) {
            found.push(
                "diversity.category_max",
                format!("must be 0 to {CATEGORY_MAX}"),
            );
        }
        if let Some(Exploration { share }) = strategy.exploration
            && !(0.0..=0.5).contains(&share)
        {
            found.push("exploration.share", "must be 0 to 0.5");
        }
        past(found, strategy);
    });
}

/// What a person's past with an item may be made of.
fn past(found: &mut Violations, strategy: &Strategy) {
    let dismissed_days = strategy
        .eligibility
        .as_ref()
        .map_or(0, |e| e.dismissed_days);
    if !(-1..=DISMISSED_DAYS_MAX).contains(&dismissed_days) {
        let rule = format!("must be 1 to {DISMISSED_DAYS_MAX}; 0 means 30, -1 for ever");
        found.push("eligibility.dismissed_days", rule);
    }
    let Some(fatigue) = &strategy.fatigue else {
        return;
    };
    let half = fatigue.half_exposures;
    if half != 0.0 && !(1.0..=HALF_EXPOSURES_MAX).contains(&half) {
        let rule = format!("must be 1 to {HALF_EXPOSURES_MAX}; 0 means no fatigue");
        found.push("fatigue.half_exposures", rule);
    }
    if !(0..=FATIGUE_DAYS_MAX).contains(&fatigue.days) {
        let rule = format!("must be 1 to {FATIGUE_DAYS_MAX}; 0 means 7");
        found.push("fatigue.days", rule);
    }
}

fn is_same(a: &Source, b: &Source) -> bool {
    a.kind == b.kind && a.params.clone().unwrap_or_default() == b.params.clone().unwrap_or_default()
}

fn source(found: &mut Violations, source: &Source) {
    let kind = SourceKind::try_from(source.kind);
    if !matches!(kind, Ok(kind) if kind != SourceKind::Unspecified) {
        found.push("kind", "must be a source that exists");
    }
    if !(0.0..=WEIGHT_MAX).contains(&source.weight) {
        found.push(
            "weight",
            format!("must be above 0 and at most {WEIGHT_MAX}; 0 means 1"),
        );
    }
    let params = source.params.clone().unwrap_or_default();
    found.within("params", |found| match kind {
        Ok(SourceKind::Editorial) => editorial_params(found, &params),
        Ok(SourceKind::Popular | SourceKind::Trending) => event_params(found, &params),
        Ok(SourceKind::New) => new_params(found, &params),
        Ok(SourceKind::Unspecified) | Err(_) => {}
        Ok(_) => only(found, &params, &[]),
    });
}

fn only(found: &mut Violations, params: &Struct, known: &[&str]) {
    for name in params.fields.keys() {
        if !known.contains(&name.as_str()) {
            found.push(name, "is no parameter of this source");
        }
    }
}

fn editorial_params(found: &mut Violations, params: &Struct) {
    only(found, params, &ITEM_IDS);
    let given = ITEM_IDS
        .iter()
        .find_map(|name| Some((name, params.fields.get(*name)?)));
    let Some((name, list)) = given else {
        found.push("itemIds", "must be set");
        return;
    };
    let Some(Kind::ListValue(list)) = &list.kind else {
        found.push(name, "must be a list of item ids");
        return;
    };
    if list.values.is_empty() {
        found.push(name, "must not be empty");
    }
    // What is no text is no item id either, so one rule tells both.
    let ids: Vec<&str> = list.values.iter().map(text_or_empty).collect();
    check::item_ids(found, name, ids.into_iter(), EDITORIAL_ITEMS_MAX);
}

fn text_or_empty(value: &Value) -> &str {
    match &value.kind {
        Some(Kind::StringValue(text)) => text,
        _ => "",
    }
}

fn event_params(found: &mut Violations, params: &Struct) {
    only(found, params, &["event"]);
    if let Some(event) = params.fields.get("event")
        && Signal::of_event(text_or_empty(event)).is_none()
    {
        found.push("event", "must be `view`, `add_to_cart` or `purchase`");
    }
}

fn new_params(found: &mut Violations, params: &Struct) {
    only(found, params, &["days"]);
    let Some(days) = params.fields.get("days") else {
        return;
    };
    let is_fine =
        matches!(days.kind, Some(Kind::NumberValue(days)) if days > 0.0 && days <= NEW_DAYS_MAX);
    if !is_fine {
        found.push(
            "days",
            format!("must be a number above 0 and at most {NEW_DAYS_MAX}"),
        );
    }
}
