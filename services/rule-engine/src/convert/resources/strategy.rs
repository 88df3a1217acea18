//! What a strategy may hold.

use attune_api::rules::v1::{
    Diversity, Exploration, Promotions, Scorer, Source, SourceKind, Strategy,
};
use attune_errors::Violations;
use attune_expr::{Expression, Vocabulary};
use prost_types::{Struct, Value, value::Kind};

use crate::{
    convert::{
        check,
        plan::{ITEM_IDS, PERCENT_MIN},
    },
    domain::popularity::Signal,
};

const SOURCES_MAX: usize = 16;
const EDITORIAL_ITEMS_MAX: usize = 1000;
const CATEGORY_MAX: i32 = 100;
const WEIGHT_MAX: f64 = 1000.0;
const NEW_DAYS_MAX: f64 = 3650.0;
const DISMISSED_DAYS_MAX: i32 = 3650;
const HALF_EXPOSURES_MAX: f64 = 1000.0;
/// Older changes are no news, and their history may be gone.
const CHANGED_DAYS_MAX: f64 = 90.0;
const TERMS_MAX: usize = 20;
const TERM_WEIGHT_MAX: f64 = 100.0;
const CHARACTERISTICS_MAX: usize = 20;
const LIMITS_MAX: usize = 5;
const FALLBACK_STRATEGIES_MAX: usize = 5;
const FATIGUE_DAYS_MAX: i32 = 90;

pub fn strategy(found: &mut Violations, strategy: &Strategy, both: &Vocabulary, item: &Vocabulary) {
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
        if let Some(s) = &strategy.scorer {
            found.within("scorer", |found| scorer(found, s, both));
        }
        if let Some(d) = &strategy.diversity {
            found.within("diversity", |found| diversity(found, d, item));
        }
        if let Some(Exploration { share }) = strategy.exploration {
            half(found, "exploration.share", share);
        }
        if let Some(p) = &strategy.promotions {
            found.within("promotions", |found| promotions(found, p, item));
        }
        fallback_strategies(found, strategy);
        past(found, strategy);
    });
}

fn scorer(found: &mut Violations, scorer: &Scorer, both: &Vocabulary) {
    if scorer.terms.len() > TERMS_MAX {
        found.push("terms", format!("must be at most {TERMS_MAX}"));
        return;
    }
    for (index, term) in scorer.terms.iter().enumerate() {
        found.within_item("terms", index, |found| {
            if term.expression.is_empty() {
                found.push("expression", "must be set");
            } else {
                let kind = attune_expr::Kind::Number;
                check::value(found, "expression", &term.expression, both, kind);
            }
            if term.weight == 0.0 || !(-TERM_WEIGHT_MAX..=TERM_WEIGHT_MAX).contains(&term.weight) {
                let rule = format!("must be -{TERM_WEIGHT_MAX} to {TERM_WEIGHT_MAX} and not 0");
                found.push("weight", rule);
            }
            check::name(found, "display_name", &term.display_name);
        });
    }
}

/// NaN is no share either.
fn half(found: &mut Violations, field: &str, share: f64) {
    if !(0.0..=0.5).contains(&share) {
        found.push(field, "must be 0 to 0.5");
    }
}

fn diversity(found: &mut Violations, diversity: &Diversity, item: &Vocabulary) {
    if !(0..=CATEGORY_MAX).contains(&diversity.category_max) {
        found.push("category_max", format!("must be 0 to {CATEGORY_MAX}"));
    }
    if !(0.0..=1.0).contains(&diversity.weight) {
        found.push("weight", "must be 0 to 1");
    }
    let names = diversity.characteristics.iter().map(String::as_str);
    if names.len() > CHARACTERISTICS_MAX {
        let rule = format!("must be at most {CHARACTERISTICS_MAX}");
        found.push("characteristics", rule);
    } else {
        check::each_once(found, "characteristics", names, |found, name| {
            characteristic(found, "", name, item);
        });
    }
    if diversity.limits.len() > LIMITS_MAX {
        found.push("limits", format!("must be at most {LIMITS_MAX}"));
        return;
    }
    for (index, limit) in diversity.limits.iter().enumerate() {
        found.within_item("limits", index, |found| {
            characteristic(found, "characteristic", &limit.characteristic, item);
            let mut before = diversity.limits[..index].iter();
            if before.any(|other| other.characteristic == limit.characteristic) {
                found.push("characteristic", "must not be listed twice");
            }
            if !(1..=CATEGORY_MAX).contains(&limit.item_max) {
                found.push("item_max", format!("must be 1 to {CATEGORY_MAX}"));
            }
        });
    }
}

/// A name that `item.NAME` could read, and that items can be told apart by.
fn characteristic(found: &mut Violations, field: &str, name: &str, item: &Vocabulary) {
    let is_word = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let is_known = is_word && Expression::compile(&format!("has(item.{name})"), item).is_ok();
    if !is_known {
        found.push(
            field,
            "must be `type`, `categories` or a characteristic that exists",
        );
    }
}

fn promotions(found: &mut Violations, promotions: &Promotions, item: &Vocabulary) {
    half(found, "share", promotions.share);
    if promotions.share > 0.0 && promotions.filter.is_empty() {
        found.push("filter", "must say which items are promoted");
    }
    check::expression(found, "filter", &promotions.filter, item);
}

/// Whether they exist is for the transaction that saves the strategy.
fn fallback_strategies(found: &mut Violations, strategy: &Strategy) {
    let ids = strategy.fallback_strategies.iter().map(String::as_str);
    if ids.len() > FALLBACK_STRATEGIES_MAX {
        let rule = format!("must be at most {FALLBACK_STRATEGIES_MAX}");
        found.push("fallback_strategies", rule);
        return;
    }
    check::each_once(found, "fallback_strategies", ids, |found, id| {
        if id == strategy.strategy_id {
            found.push("", "must not be the strategy itself");
        } else {
            check::id(found, "", id);
        }
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
        Ok(SourceKind::New) => {
            only(found, &params, &["days"]);
            number_param(found, &params, "days", NEW_DAYS_MAX);
        }
        Ok(SourceKind::BackInStock) => {
            only(found, &params, &["days"]);
            number_param(found, &params, "days", CHANGED_DAYS_MAX);
        }
        Ok(SourceKind::PriceDropped) => {
            only(found, &params, &["days", PERCENT_MIN[0], PERCENT_MIN[1]]);
            number_param(found, &params, "days", CHANGED_DAYS_MAX);
            for name in PERCENT_MIN {
                number_param(found, &params, name, 100.0);
            }
        }
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

/// Absent is fine: each has a default.
fn number_param(found: &mut Violations, params: &Struct, name: &str, max: f64) {
    let Some(value) = params.fields.get(name) else {
        return;
    };
    let is_fine = matches!(value.kind, Some(Kind::NumberValue(n)) if n > 0.0 && n <= max);
    if !is_fine {
        found.push(name, format!("must be a number above 0 and at most {max}"));
    }
}
