//! How often is too often: caps of placements and rules on what one person is shown,
//! and the budgets of rules. Counts exposures that were reported; knows neither where
//! they are kept nor who asks.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{
    decide::RuleUse,
    exposures::{History, Kind, key_of, since_s},
    plan::{Budget, PersonCap, RulePlan},
};

/// At most so many exposures of the same to one person within a rolling period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    pub scope: CapScope,
    pub limit: PersonCap,
}

/// What counts as the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapScope {
    /// The item, wherever it was shown.
    Item,
    /// The placement, once per decision.
    Placement,
    /// Any placement of the channel, once per decision.
    Channel,
}

/// Whether a person was shown something as often as allowed.
pub fn is_reached(history: &History, cap: PersonCap, kind: Kind, key: u32, now_ms: i64) -> bool {
    let since_s = since_s(now_ms, cap.days.into());
    history.count(kind, key, since_s) >= cap.exposure_max
}

/// What was shown of rules with a budget, by rule.
#[derive(Debug, Default)]
pub struct Budgets(FxHashMap<Arc<str>, Spent>);

#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    /// By a budget that never starts anew.
    for_ever: u64,
    /// The latest period of one that does.
    period_start_ms: i64,
    exposures: u64,
}

impl Budgets {
    /// So many exposures are known of a period, which begins at 0 if it is endless. A
    /// later period replaces an earlier one, and a count only grows, in whatever order
    /// it is heard of.
    pub fn note(&mut self, rule_id: &Arc<str>, period_start_ms: i64, exposures: u64) {
        let known = self.0.entry(Arc::clone(rule_id)).or_default();
        if period_start_ms == 0 {
            known.for_ever = known.for_ever.max(exposures);
        } else if known.period_start_ms < period_start_ms || known.exposures == 0 {
            known.period_start_ms = period_start_ms;
            known.exposures = exposures;
        } else if known.period_start_ms == period_start_ms {
            known.exposures = known.exposures.max(exposures);
        }
    }

    fn is_spent(&self, rule: &RulePlan, now_ms: i64) -> bool {
        let (Some(spent), Some(budget)) = (self.0.get(&rule.id), rule.budget) else {
            return false;
        };
        match budget.days {
            None => spent.for_ever >= budget.exposure_max,
            // The calendar is asked only where it matters.
            Some(_) => {
                spent.exposures >= budget.exposure_max
                    && spent.period_start_ms == period_start_ms(rule, budget, now_ms)
            }
        }
    }
}

/// When the period of a rule's budget began that a time lies in; 0 where it never ends.
pub fn period_start_ms(rule: &RulePlan, budget: Budget, at_ms: i64) -> i64 {
    let period = budget.days.map(|days| rule.schedule.period_of(days, at_ms));
    period.map_or(0, |period| period.start_ms)
}

/// What was shown of rules, as one request sees it.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// None for a stranger, and for whom nothing was shown.
    pub person: Option<&'a History>,
    pub budgets: &'a Budgets,
    pub now_ms: i64,
}

impl RuleUse for Shown<'_> {
    fn is_spent(&self, rule: &RulePlan) -> bool {
        self.budgets.is_spent(rule, self.now_ms)
    }

    fn is_capped(&self, rule: &RulePlan) -> bool {
        let both = self.person.zip(rule.person_cap);
        both.is_some_and(|(person, cap)| {
            is_reached(person, cap, Kind::Rule, key_of(&rule.id), self.now_ms)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::RuleAction;

    const DAY_MS: i64 = 86_400_000;

    fn rule(days: Option<u16>) -> RulePlan {
        RulePlan {
            budget: Some(Budget {
                exposure_max: 3,
                days,
            }),
            ..RulePlan::new(1, "r", RuleAction::Exclude)
        }
    }

    #[test]
    fn a_budget_is_spent_within_its_period_only() {
        let (daily, endless) = (rule(Some(1)), rule(None));
        let mut budgets = Budgets::default();
        assert!(!budgets.is_spent(&daily, 10 * DAY_MS));
        budgets.note(&daily.id, 10 * DAY_MS, 2);
        budgets.note(&daily.id, 10 * DAY_MS, 3);
        // Heard of late.
        budgets.note(&daily.id, 10 * DAY_MS, 1);
        budgets.note(&daily.id, 9 * DAY_MS, 7);
        assert!(budgets.is_spent(&daily, 10 * DAY_MS + 5));
        assert!(!budgets.is_spent(&daily, 11 * DAY_MS));
        budgets.note(&daily.id, 11 * DAY_MS, 1);
        assert!(!budgets.is_spent(&daily, 11 * DAY_MS));
        // What was counted by the day says nothing of a budget without an end.
        assert!(!budgets.is_spent(&endless, 10 * DAY_MS));
        budgets.note(&endless.id, 0, 3);
        assert!(budgets.is_spent(&endless, 99 * DAY_MS));
        assert!(!budgets.is_spent(&daily, 99 * DAY_MS));
    }
}
