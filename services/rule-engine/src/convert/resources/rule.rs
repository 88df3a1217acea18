//! What a rule may hold.

use attune_api::rules::v1::{Action, Budget, PersonCap, Rule, action};
use attune_errors::Violations;
use attune_expr::{Expression, Vocabulary};

use super::schedule::schedule;
use crate::{convert::check, domain::schedule::Schedule};

const RULE_ITEMS_MAX: usize = 100;
const RULE_PLACEMENTS_MAX: usize = 100;
const TAGS_MAX: usize = 20;
const TAG_CHARS_MAX: usize = 64;
const POSITION_MAX: i32 = 100;
const FACTOR_MAX: f64 = 100.0;
const BUDGET_DAYS_MAX: i32 = 3650;
const PERSON_EXPOSURES_MAX: i32 = 1000;
const PERSON_DAYS_MAX: i32 = 90;

/// What checking a rule's fields compiles on the way.
#[derive(Debug, Default)]
pub struct Fields {
    pub when: Option<Expression>,
    pub targets: Option<Expression>,
    /// None where it is at fault.
    pub schedule: Option<Schedule>,
}

/// By paths below the rule.
pub fn rule(
    found: &mut Violations,
    rule: &Rule,
    subject: &Vocabulary,
    item: &Vocabulary,
) -> Fields {
    check::id(found, "rule_id", &rule.rule_id);
    check::name(found, "display_name", &rule.display_name);
    let when = check::expression(found, "when", &rule.when, subject);
    let targets = check::expression(found, "where", &rule.r#where, item);
    rule_action(found, rule.action.as_ref());
    placements(found, &rule.placements);
    check::channels(found, "channels", &rule.channels);
    let schedule = match &rule.schedule {
        Some(sent) => found.within("schedule", |found| schedule(found, sent)),
        None => Some(Schedule::default()),
    };
    tags(found, &rule.tags);
    if !rule.exclusion_group.is_empty() {
        check::id(found, "exclusion_group", &rule.exclusion_group);
    }
    if let Some(sent) = &rule.budget {
        found.within("budget", |found| budget(found, sent));
    }
    if let Some(sent) = &rule.person_cap {
        found.within("person_cap", |found| person_cap(found, sent));
    }
    Fields {
        when,
        targets,
        schedule,
    }
}

fn placements(found: &mut Violations, placements: &[String]) {
    if placements.len() > RULE_PLACEMENTS_MAX {
        let rule = format!("must be at most {RULE_PLACEMENTS_MAX}");
        return found.push("placements", rule);
    }
    let placements = placements.iter().map(String::as_str);
    check::each_once(found, "placements", placements, |found, id| {
        check::id(found, "", id);
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

fn tags(found: &mut Violations, tags: &[String]) {
    if tags.len() > TAGS_MAX {
        return found.push("tags", format!("must be at most {TAGS_MAX}"));
    }
    let tags = tags.iter().map(String::as_str);
    check::each_once(found, "tags", tags, |found, tag| {
        let is_plain = tag.trim() == tag && !tag.chars().any(char::is_control);
        if !is_plain || !(1..=TAG_CHARS_MAX).contains(&tag.chars().count()) {
            let rule = format!("must be 1 to {TAG_CHARS_MAX} characters without space around them");
            found.push("", rule);
        }
    });
}

fn budget(found: &mut Violations, budget: &Budget) {
    if budget.exposure_max < 1 {
        found.push("exposure_max", "must be at least 1");
    }
    if !(0..=BUDGET_DAYS_MAX).contains(&budget.days) {
        found.push("days", format!("must be 0 to {BUDGET_DAYS_MAX}"));
    }
}

fn person_cap(found: &mut Violations, cap: &PersonCap) {
    if !(1..=PERSON_EXPOSURES_MAX).contains(&cap.exposure_max) {
        found.push(
            "exposure_max",
            format!("must be 1 to {PERSON_EXPOSURES_MAX}"),
        );
    }
    if !(1..=PERSON_DAYS_MAX).contains(&cap.days) {
        found.push("days", format!("must be 1 to {PERSON_DAYS_MAX}"));
    }
}

/// A rule that is well formed and yet can never have an effect from `now_ms` on.
pub fn never(found: &mut Violations, fields: &Fields, now_ms: i64) {
    for (field, expression) in [("when", &fields.when), ("where", &fields.targets)] {
        if expression.as_ref().is_some_and(Expression::never_holds) {
            found.push(field, "must be able to hold; no value satisfies all of it");
        }
    }
    let Some(schedule) = &fields.schedule else {
        return;
    };
    if schedule.is_over(now_ms) {
        found.push("schedule.end_time", "must not be over");
    } else if !schedule.occurs_after(now_ms) {
        let rule = "must come between start_time and end_time within a year";
        found.push("schedule.windows", rule);
    }
}
