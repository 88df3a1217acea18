//! A stored rule to its plan: what it aims at, what it does and when.

use std::sync::Arc;

use attune_api::rules::v1::{Budget as StoredBudget, PersonCap as StoredCap, Rule, action};
use attune_expr::{Expression, Vocabulary};

use super::{Uncompilable, intern, schedule::schedule};
use crate::domain::{
    claims::Claim,
    items::Items,
    plan::{Budget, GroupId, PersonCap, RuleAction, RulePlan},
};

/// What stands for a rule's names in this process.
#[derive(Debug, Clone, Copy)]
pub struct RuleNumbers {
    pub rule: u32,
    pub exclusion_group: Option<GroupId>,
}

/// From its stored form. Compiled without the declared names: they were looked at when
/// the rule was saved, and may have gone since.
pub fn rule(rule: &Rule, numbers: RuleNumbers, items: &mut Items) -> Result<Claim, Uncompilable> {
    let compile = |source: &str, vocabulary| match source {
        "" => Ok(None),
        source => Expression::compile(source, &vocabulary)
            .map(Some)
            .map_err(|_| Uncompilable),
    };
    let when = compile(&rule.when, Vocabulary::subject())?;
    let targets = compile(&rule.r#where, Vocabulary::item())?;
    compiled_rule(rule, numbers, when, targets, items)
}

/// A rule whose expressions are compiled already. The plan's condition has no id yet;
/// whoever keeps the conditions gives it one.
pub fn compiled_rule(
    rule: &Rule,
    numbers: RuleNumbers,
    when: Option<Expression>,
    targets: Option<Expression>,
    items: &mut Items,
) -> Result<Claim, Uncompilable> {
    let kind = rule.action.as_ref().and_then(|action| action.kind.as_ref());
    let action = rule_action(kind.ok_or(Uncompilable)?, items);
    let label = match rule.display_name.as_str() {
        "" => &rule.rule_id,
        name => name,
    };
    let schedule = rule.schedule.as_ref().map(schedule).transpose()?;
    let placements = rule.placements.iter();
    let plan = RulePlan {
        label: label.into(),
        priority: rule.priority,
        targets: targets.map(|expression| items.filter(expression)),
        placements: placements.map(|id| id.as_str().into()).collect(),
        channels: rule.channels.clone(),
        schedule: schedule.unwrap_or_default(),
        exclusion_group: numbers.exclusion_group,
        budget: rule.budget.as_ref().map(budget),
        person_cap: rule.person_cap.as_ref().map(person_cap),
        tags: rule.tags.iter().map(|tag| tag.as_str().into()).collect(),
        ..RulePlan::new(numbers.rule, &rule.rule_id, action)
    };
    Ok(Claim {
        plan: Arc::new(plan),
        when,
    })
}

fn budget(stored: &StoredBudget) -> Budget {
    Budget {
        exposure_max: u64::try_from(stored.exposure_max).unwrap_or(0),
        days: u16::try_from(stored.days).ok().filter(|days| *days > 0),
    }
}

fn person_cap(stored: &StoredCap) -> PersonCap {
    PersonCap {
        exposure_max: u32::try_from(stored.exposure_max).unwrap_or(0),
        days: u16::try_from(stored.days).unwrap_or(1),
    }
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
