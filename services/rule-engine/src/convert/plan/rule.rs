//! A stored rule to its plan: what it aims at, what it does and when.

use attune_api::{
    rules::v1::{Rule, action},
    time,
};
use attune_expr::{Expression, Vocabulary};

use super::{Uncompilable, intern};
use crate::domain::{
    items::Items,
    plan::{ConditionId, RuleAction, RulePlan},
};

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
