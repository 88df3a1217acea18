//! Rules by where they apply and by their conditions, so that a decision meets those
//! whose conditions hold and no others. An edit copies only the tables that the rule
//! is in.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::{ConditionId, RulePlan};

/// The rules of a workspace. Clones share what neither changes.
#[derive(Debug, Default, Clone)]
pub struct Rules {
    /// Those that name no placement.
    everywhere: Arc<RuleTable>,
    by_placement: FxHashMap<Arc<str>, Arc<RuleTable>>,
}

/// Rules of one place.
#[derive(Debug, Default, Clone)]
pub struct RuleTable {
    /// Without a condition, by rank.
    always: Vec<Arc<RulePlan>>,
    conditional: FxHashMap<ConditionId, SmallVec<[Arc<RulePlan>; 1]>>,
}

impl Rules {
    /// Takes in a rule, which must not be in here.
    pub fn insert(&mut self, rule: &Arc<RulePlan>) {
        if rule.placements.is_empty() {
            Arc::make_mut(&mut self.everywhere).insert(rule);
        }
        for placement in &rule.placements {
            let table = self.by_placement.entry(Arc::clone(placement)).or_default();
            Arc::make_mut(table).insert(rule);
        }
    }

    pub fn remove(&mut self, rule: &RulePlan) {
        if rule.placements.is_empty() {
            Arc::make_mut(&mut self.everywhere).remove(rule);
        }
        for placement in &rule.placements {
            let Some(table) = self.by_placement.get_mut(placement) else {
                continue;
            };
            let table = Arc::make_mut(table);
            table.remove(rule);
            if table.is_empty() {
                self.by_placement.remove(placement);
            }
        }
    }

    /// The tables that a placement's rules are in.
    pub fn tables(&self, placement: &str) -> impl Iterator<Item = &RuleTable> {
        let own = self.by_placement.get(placement);
        [Some(&self.everywhere), own]
            .into_iter()
            .flatten()
            .map(|table| &**table)
    }
}

impl RuleTable {
    pub fn has_conditions(&self) -> bool {
        !self.conditional.is_empty()
    }

    /// Rules without a condition, by rank.
    pub fn unconditional(&self) -> &[Arc<RulePlan>] {
        &self.always
    }

    /// Rules with this condition, in no order.
    pub fn with_condition(&self, condition: ConditionId) -> &[Arc<RulePlan>] {
        self.conditional
            .get(&condition)
            .map_or(&[], |rules| rules.as_slice())
    }

    /// All of them, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Arc<RulePlan>> {
        self.always
            .iter()
            .chain(self.conditional.values().flatten())
    }

    fn is_empty(&self) -> bool {
        self.always.is_empty() && self.conditional.is_empty()
    }

    fn insert(&mut self, rule: &Arc<RulePlan>) {
        let rule = Arc::clone(rule);
        match rule.condition {
            Some(condition) => self.conditional.entry(condition).or_default().push(rule),
            None => {
                let after = self
                    .always
                    .partition_point(|held| held.rank() < rule.rank());
                self.always.insert(after, rule);
            }
        }
    }

    fn remove(&mut self, rule: &RulePlan) {
        let Some(condition) = rule.condition else {
            self.always.retain(|held| held.number != rule.number);
            return;
        };
        if let Some(rules) = self.conditional.get_mut(&condition) {
            rules.retain(|held| held.number != rule.number);
            if rules.is_empty() {
                self.conditional.remove(&condition);
            }
        }
    }
}
