//! What a rule may hold.

use attune_api::{
    rules::v1::{Action, Rule, Schedule, action},
    time,
};
use attune_errors::Violations;
use attune_expr::Vocabulary;

use crate::convert::check;

const RULE_ITEMS_MAX: usize = 100;
const RULE_PLACEMENTS_MAX: usize = 100;
const POSITION_MAX: i32 = 100;
const FACTOR_MAX: f64 = 100.0;

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
