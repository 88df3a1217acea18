//! A stored rule to its plan: what it aims at, what it does and when.

use attune_api::rules::v1::{Rule, action};
use attune_expr::{Expression, Vocabulary};

use super::{Uncompilable, intern, schedule::schedule};
use crate::domain::{
    items::Items,
    plan::{Budget, PersonCap, RuleAction, RulePlan},
};

/// A rule's plan and its condition, which whoever keeps the conditions gives an id.
#[derive(Debug)]
pub struct Compiled {
    pub plan: RulePlan,
    pub when: Option<Expression>,
    pub exclusion_group: String,
}

/// An expression of the rule, if it has one. Compiled without the declared names: they
/// were looked at when the rule was saved, and may have gone since.
fn expression(source: &str, vocabulary: &Vocabulary) -> Result<Option<Expression>, Uncompilable> {
    match source {
        "" => Ok(None),
        source => Expression::compile(source, vocabulary)
            .map(Some)
            .map_err(|_| Uncompilable),
    }
}

pub fn rule(rule: &Rule, number: u32, items: &mut Items) -> Result<Compiled, Uncompilable> {
    let when = expression(&rule.when, &Vocabulary::subject())?;
    let targets = expression(&rule.r#where, &Vocabulary::item())?;
    compiled(rule, number, when, targets, items)
}

/// A rule whose expressions are compiled already.
pub fn compiled(
    rule: &Rule,
    number: u32,
    when: Option<Expression>,
    targets: Option<Expression>,
    items: &mut Items,
) -> Result<Compiled, Uncompilable> {
    let kind = rule.action.as_ref().and_then(|action| action.kind.as_ref());
    let action = rule_action(kind.ok_or(Uncompilable)?, items);
    let label = match rule.display_name.as_str() {
        "" => &rule.rule_id,
        name => name,
    };
    let schedule = rule.schedule.as_ref().map(schedule).transpose()?;
    let plan = RulePlan {
        label: label.into(),
        priority: rule.priority,
        targets: targets.map(|expression| items.filter(expression)),
        placements: rule
            .placements
            .iter()
            .map(|id| id.as_str().into())
            .collect(),
        channels: rule.channels.clone(),
        schedule: schedule.unwrap_or_default(),
        budget: rule.budget.as_ref().map(|budget| Budget {
            exposure_max: u64::try_from(budget.exposure_max).unwrap_or(0),
            days: u16::try_from(budget.days).ok().filter(|days| *days > 0),
        }),
        person_cap: rule.person_cap.as_ref().map(|cap| PersonCap {
            exposure_max: u32::try_from(cap.exposure_max).unwrap_or(0),
            days: u16::try_from(cap.days).unwrap_or(1),
        }),
        tags: rule.tags.iter().map(|tag| tag.as_str().into()).collect(),
        ..RulePlan::new(number, &rule.rule_id, action)
    };
    Ok(Compiled {
        plan,
        when,
        exclusion_group: rule.exclusion_group.clone(),
    })
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
