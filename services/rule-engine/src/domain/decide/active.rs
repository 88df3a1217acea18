//! Which rules apply in a placement, for this request. Meets only rules whose
//! conditions hold; looks at all of them where someone asks what became of each.

use std::sync::Arc;

use attune_expr::Matches;
use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use super::{PlacementAsk, Request, Scene};
use crate::domain::plan::{ConditionId, GroupId, RulePlan};

/// What became of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleOutcome {
    Applied,
    /// Its condition does not hold for the person.
    ConditionFalse,
    NotScheduled,
    OtherChannel,
    /// Another rule of its group came first.
    ExcludedByGroup,
    BudgetSpent,
    PersonCapped,
}

/// How often rules were shown: answered by whoever counts exposures.
pub trait RuleUse {
    /// The rule's budget is used up, for everyone.
    fn is_spent(&self, rule: &RulePlan) -> bool;

    /// The person of this request was shown the rule as often as allowed.
    fn is_capped(&self, rule: &RulePlan) -> bool;
}

/// Nothing was ever shown.
pub struct Unused;

impl RuleUse for Unused {
    fn is_spent(&self, _: &RulePlan) -> bool {
        false
    }

    fn is_capped(&self, _: &RulePlan) -> bool {
        false
    }
}

pub(super) type ActiveRules<'a> = SmallVec<[&'a Arc<RulePlan>; 8]>;

/// Judges the conditions once for all placements, and not at all where no rule that
/// could apply has one.
pub(super) fn judge_conditions(
    scene: &Scene<'_>,
    request: &Request<'_>,
    matches: &mut Matches<ConditionId>,
    holding: &mut FxHashSet<ConditionId>,
) {
    holding.clear();
    let rules = &scene.base.rules;
    let mut asks = request.placements.iter();
    if asks.any(|ask| rules.tables(&ask.plan.id).any(|t| t.has_conditions())) {
        holding.extend(scene.base.conditions.matching(request.scope, matches));
    }
}

/// The rules that apply, the highest priority first.
pub(super) fn active_rules<'a>(
    scene: &Scene<'a>,
    request: &Request<'_>,
    ask: &PlacementAsk,
    holding: &FxHashSet<ConditionId>,
) -> ActiveRules<'a> {
    let mut active = ActiveRules::new();
    for table in scene.base.rules.tables(&ask.plan.id) {
        active.extend(table.unconditional());
        if table.has_conditions() {
            let held = holding.iter();
            active.extend(held.flat_map(|condition| table.with_condition(*condition)));
        }
    }
    active.sort_unstable_by(|a, b| a.rank().cmp(&b.rank()));
    let mut groups = Groups::new();
    active.retain(|rule| standing(rule, request, &mut groups) == RuleOutcome::Applied);
    active
}

/// What became of every rule that may apply in a placement, by priority. For
/// explanations: its cost follows the number of rules.
pub fn rule_outcomes<'a>(
    scene: &Scene<'a>,
    request: &Request<'_>,
    ask: &PlacementAsk,
    holding: &FxHashSet<ConditionId>,
) -> Vec<(&'a Arc<RulePlan>, RuleOutcome)> {
    let tables = scene.base.rules.tables(&ask.plan.id);
    let mut rules: Vec<&Arc<RulePlan>> = tables.flat_map(|table| table.all()).collect();
    rules.sort_unstable_by(|a, b| a.rank().cmp(&b.rank()));
    let mut groups = Groups::new();
    let outcomes = rules.into_iter().map(|rule| {
        let is_met = rule.condition.is_none_or(|id| holding.contains(&id));
        let outcome = if is_met {
            standing(rule, request, &mut groups)
        } else {
            RuleOutcome::ConditionFalse
        };
        (rule, outcome)
    });
    outcomes.collect()
}

/// Groups of which a rule applies already.
type Groups = SmallVec<[GroupId; 4]>;

/// Of a rule whose condition holds, asked in the order of rules.
fn standing(rule: &RulePlan, request: &Request<'_>, groups: &mut Groups) -> RuleOutcome {
    if !rule.is_on(request.channel) {
        return RuleOutcome::OtherChannel;
    }
    if !rule.schedule.holds_at(request.now_ms) {
        return RuleOutcome::NotScheduled;
    }
    if rule
        .exclusion_group
        .is_some_and(|group| groups.contains(&group))
    {
        return RuleOutcome::ExcludedByGroup;
    }
    if rule.budget.is_some() && request.rule_use.is_spent(rule) {
        return RuleOutcome::BudgetSpent;
    }
    if rule.person_cap.is_some() && request.rule_use.is_capped(rule) {
        return RuleOutcome::PersonCapped;
    }
    groups.extend(rule.exclusion_group);
    RuleOutcome::Applied
}
