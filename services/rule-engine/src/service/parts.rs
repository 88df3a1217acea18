//! The rule base as people edit it, compiled piece by piece: an edit compiles what it
//! changed and puts the pieces together anew. Resources that come in here were checked
//! when they were saved; one that no longer compiles is left out and told.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use attune_api::rules::v1::{Placement, Rule, Strategy};
use attune_expr::{Edit, Expression, ExpressionSet};
use rustc_hash::FxHashMap;

use crate::{
    convert::{self, plan::RuleNumbers},
    domain::{
        claims::{Claim, Claims},
        items::Items,
        plan::{ConditionId, GroupId, PlacementPlan, RuleBase, Rules, StrategyPlan},
    },
};

/// The pieces of one workspace's rule base, by id.
#[derive(Default)]
pub struct Parts {
    placements: BTreeMap<String, Placement>,
    strategies: BTreeMap<String, Arc<StrategyPlan>>,
    rules: HashMap<Arc<str>, Claim>,
    tables: Rules,
    claims: Claims,
    conditions: FxHashMap<ConditionId, Condition>,
    condition_ids: HashMap<Arc<str>, ConditionId>,
    condition_count: ConditionId,
    names: Names,
    plans: FxHashMap<Arc<str>, Arc<PlacementPlan>>,
    condition_set: ExpressionSet<ConditionId>,
    condition_edits: Vec<Edit<ConditionId>>,
    has_stale_placements: bool,
    /// The edit that this is the outcome of.
    pub revision: i64,
    /// The edit that is being committed.
    pub raised: i64,
}

/// The same condition in many rules is judged once.
struct Condition {
    source: Arc<str>,
    rule_count: usize,
}

/// Numbers that stand for names as long as the process lives.
#[derive(Default, Clone)]
struct Names {
    rules: HashMap<String, u32>,
    groups: HashMap<String, GroupId>,
}

impl Parts {
    pub fn clear(&mut self) {
        *self = Self {
            condition_count: self.condition_count,
            names: std::mem::take(&mut self.names),
            has_stale_placements: true,
            ..Self::default()
        };
    }

    pub fn put_placement(&mut self, id: &str, placement: Option<&Placement>) {
        match placement {
            Some(placement) => {
                self.placements.insert(id.to_owned(), placement.clone());
            }
            None => {
                self.placements.remove(id);
            }
        }
        self.has_stale_placements = true;
    }

    pub fn put_strategy(&mut self, id: &str, strategy: Option<&Strategy>, items: &mut Items) {
        let plan = strategy.and_then(|s| convert::plan::strategy(s, items).ok());
        match plan {
            Some(plan) => {
                self.strategies.insert(id.to_owned(), Arc::new(plan));
            }
            None => {
                warn_if_lost("strategy", id, strategy.is_some());
                self.strategies.remove(id);
            }
        }
        self.has_stale_placements = true;
    }

    /// From its stored form.
    pub fn put_stored_rule(&mut self, rule: &Rule, items: &mut Items) {
        if rule.disabled {
            return self.remove_rule(&rule.rule_id);
        }
        let numbers = self.numbers_of(rule);
        match convert::plan::rule(rule, numbers, items) {
            Ok(claim) => self.put_rule(claim),
            Err(_) => {
                warn_if_lost("rule", &rule.rule_id, true);
                self.remove_rule(&rule.rule_id);
            }
        }
    }

    pub fn put_rule(&mut self, claim: Claim) {
        self.remove_rule(&claim.plan.id);
        let Claim { plan, when } = claim;
        let mut plan = Arc::unwrap_or_clone(plan);
        plan.condition = when.clone().map(|when| self.take_condition(when));
        let plan = Arc::new(plan);
        self.tables.insert(&plan);
        let claim = Claim { plan, when };
        self.claims.insert(&claim);
        self.rules.insert(Arc::clone(&claim.plan.id), claim);
    }

    pub fn remove_rule(&mut self, id: &str) {
        let Some(claim) = self.rules.remove(id) else {
            return;
        };
        self.tables.remove(&claim.plan);
        self.claims.remove(&claim);
        if let Some(condition) = claim.plan.condition {
            self.drop_condition(condition);
        }
    }

    pub fn has_placement(&self, id: &str) -> bool {
        self.placements.contains_key(id)
    }

    /// What the rules in force lay claim to.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// What stands for a rule and its group in this process.
    pub fn numbers_of(&mut self, rule: &Rule) -> RuleNumbers {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = match self.names.rules.get(&rule.rule_id) {
            Some(number) => *number,
            None => {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                self.names.rules.insert(rule.rule_id.clone(), number);
                number
            }
        };
        let next = self.names.groups.len() as GroupId;
        let groups = &mut self.names.groups;
        let exclusion_group = match rule.exclusion_group.as_str() {
            "" => None,
            group => Some(*groups.entry(group.to_owned()).or_insert(next)),
        };
        RuleNumbers {
            rule: number,
            exclusion_group,
        }
    }

    /// What was committed is in here now. If others have committed in between, this is
    /// still behind, and whoever compares revisions will notice.
    pub fn edited(&mut self) {
        if self.raised == self.revision + 1 {
            self.revision = self.raised;
        }
    }

    fn take_condition(&mut self, when: Expression) -> ConditionId {
        let next = self.condition_count + 1;
        let source: Arc<str> = when.source().into();
        let ids = &mut self.condition_ids;
        let id = *ids.entry(Arc::clone(&source)).or_insert(next);
        let held = self.conditions.entry(id).or_insert_with(|| {
            self.condition_count = next;
            self.condition_edits.push(Edit::Put(id, when));
            Condition {
                source,
                rule_count: 0,
            }
        });
        held.rule_count += 1;
        id
    }

    fn drop_condition(&mut self, id: ConditionId) {
        let Some(held) = self.conditions.get_mut(&id) else {
            return;
        };
        held.rule_count -= 1;
        if held.rule_count == 0 {
            self.condition_ids.remove(&held.source);
            self.conditions.remove(&id);
            self.condition_edits.push(Edit::Remove(id));
        }
    }

    /// Puts the pieces together; what did not change is shared with what is in force.
    pub fn assemble(&mut self, items: &mut Items) -> RuleBase {
        self.place(items);
        self.assembled()
    }

    /// Makes the plans of placements that are not up to date.
    pub fn place(&mut self, items: &mut Items) {
        if std::mem::take(&mut self.has_stale_placements) {
            let placements = self.placements.values();
            let plans = placements.map(|placement| {
                let loose = convert::plan::placement(placement, items);
                let plan = Arc::new(loose.plan(&self.strategies));
                (Arc::clone(&plan.id), plan)
            });
            self.plans = plans.collect();
        }
    }

    /// The rule base of pieces whose placements are in place.
    pub fn assembled(&mut self) -> RuleBase {
        if !self.condition_edits.is_empty() {
            self.condition_set.apply(self.condition_edits.drain(..));
        }
        RuleBase {
            placements: self.plans.clone(),
            conditions: self.condition_set.snapshot(),
            rules: self.tables.clone(),
        }
    }

    /// The same pieces again, to try edits on. Rules keep the numbers by which their
    /// use is counted.
    pub fn fork(&self) -> Self {
        let mut fork = Self {
            placements: self.placements.clone(),
            strategies: self.strategies.clone(),
            names: self.names.clone(),
            has_stale_placements: true,
            ..Self::default()
        };
        for claim in self.rules.values() {
            fork.put_rule(claim.clone());
        }
        fork
    }

    /// The number of a rule that is in force.
    pub fn number_in_force(&self, rule_id: &str) -> Option<u32> {
        self.rules.get(rule_id).map(|claim| claim.plan.number)
    }
}

fn warn_if_lost(kind: &'static str, id: &str, is_lost: bool) {
    if is_lost {
        tracing::error!(
            kind,
            id,
            "a stored resource no longer compiles and is ignored"
        );
    }
}
