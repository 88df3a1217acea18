//! What placements, strategies and rules may hold. Every fault is told at once, by
//! path below the resource's own field; whether ids that they name exist is for the
//! transaction that saves them.

use std::collections::HashSet;

use attune_api::{
    rules::v1::{
        Action, Exploration, Placement, Rule, Schedule, Source, SourceKind, Strategy, action,
    },
    time,
};
use attune_errors::Violations;
use attune_expr::Vocabulary;
use prost_types::{Struct, Value, value::Kind};

use super::{check, plan::ITEM_IDS};
use crate::domain::popularity::Signal;

const FALLBACK_ITEMS_MAX: usize = 100;
const SOURCES_MAX: usize = 16;
const EDITORIAL_ITEMS_MAX: usize = 1000;
const RULE_ITEMS_MAX: usize = 100;
const RULE_PLACEMENTS_MAX: usize = 100;
const POSITION_MAX: i32 = 100;
const CATEGORY_MAX: i32 = 100;
const WEIGHT_MAX: f64 = 1000.0;
const FACTOR_MAX: f64 = 100.0;
const NEW_DAYS_MAX: f64 = 3650.0;

pub fn placement(found: &mut Violations, placement: &Placement) {
    found.within("placement", |found| {
        check::id(found, "placement_id", &placement.placement_id);
        check::name(found, "display_name", &placement.display_name);
        check::channels(found, "channels", &placement.channels);
        let fallback = placement.fallback_item_ids.iter().map(String::as_str);
        check::item_ids(found, "fallback_item_ids", fallback, FALLBACK_ITEMS_MAX);
        for (field, id) in [
            ("strategy", &placement.strategy),
            ("template", &placement.template),
        ] {
            if !id.is_empty() {
                check::id(found, field, id);
            }
        }
    });
}

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
    });
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

pub fn rule(found: &mut Violations, rule: &Rule, subject: &Vocabulary, item: &Vocabulary) {
    found.within("rule", |found| {
        check::id(found, "rule_id", &rule.rule_id);
        check::name(found, "display_name", &rule.display_name);
        check::expression(found, "when", &rule.when, subject);
        check::expression(found, "where", &rule.r#where, item);
        rule_action(found, rule.action.as_ref());
        if rule.placements.len() > RULE_PLACEMENTS_MAX {
            found.push(
                "placements",
                format!("must be at most {RULE_PLACEMENTS_MAX}"),
            );
        } else {
            let placements = rule.placements.iter().map(String::as_str);
            check::each_once(found, "placements", placements, |found, id| {
                check::id(found, "", id);
            });
        }
        check::channels(found, "channels", &rule.channels);
        if let Some(schedule) = &rule.schedule {
            found.within("schedule", |found| rule_schedule(found, schedule));
        }
    });
}

fn rule_action(found: &mut Violations, action: Option<&Action>) {
    let Some(kind) = action.and_then(|action| action.kind.as_ref()) else {
        found.push(
            "action",
            "must be one of boost, bury, pin, include, exclude",
        );
        return;
    };
    found.within("action", |found| match kind {
        action::Kind::Boost(boost) => factor(found, "boost.factor", boost.factor),
        action::Kind::Bury(bury) => factor(found, "bury.factor", bury.factor),
        action::Kind::Pin(pin) => {
            if !(1..=POSITION_MAX).contains(&pin.position) {
                found.push("pin.position", format!("must be 1 to {POSITION_MAX}"));
            }
            rule_items(found, "pin.item_ids", &pin.item_ids);
        }
        action::Kind::Include(include) => {
            rule_items(found, "include.item_ids", &include.item_ids);
        }
        action::Kind::Exclude(_) => {}
    });
}

fn factor(found: &mut Violations, field: &str, factor: f64) {
    if !(factor > 1.0 && factor <= FACTOR_MAX) {
        found.push(field, format!("must be above 1 and at most {FACTOR_MAX}"));
    }
}

fn rule_items(found: &mut Violations, field: &str, ids: &[String]) {
    if ids.is_empty() {
        found.push(field, "must not be empty");
    }
    let ids = ids.iter().map(String::as_str);
    check::item_ids(found, field, ids, RULE_ITEMS_MAX);
}

fn rule_schedule(found: &mut Violations, schedule: &Schedule) {
    let start = schedule.start_time.as_ref().map(time::to_ms);
    let end = schedule.end_time.as_ref().map(time::to_ms);
    if let (Some(start), Some(end)) = (start, end)
        && start >= end
    {
        found.push("end_time", "must be after start_time");
    }
}

/// The id of a resource to create: in its own field of the request or in the body.
pub fn create_id(
    found: &mut Violations,
    field: &'static str,
    request_id: &str,
    body_id: &mut String,
) {
    if request_id.is_empty() || request_id == body_id.as_str() {
        return;
    }
    if body_id.is_empty() {
        request_id.clone_into(body_id);
    } else {
        found.push(field, "must not differ from the id in the body");
    }
}

/// Which of `wanted` are not among `known`, by their place.
pub fn missing<'a>(
    wanted: &'a [String],
    known: &HashSet<String>,
) -> impl Iterator<Item = (usize, &'a String)> {
    let missing: Vec<_> = wanted
        .iter()
        .enumerate()
        .filter(|(_, id)| !known.contains(*id))
        .collect();
    missing.into_iter()
}
