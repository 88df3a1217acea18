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
    convert::{self, plan::Compiled},
    domain::{
        items::Items,
        plan::{ConditionId, GroupId, PlacementPlan, RuleBase, RulePlan, Rules, StrategyPlan},
    },
};

/// The pieces of one workspace's rule base, by id.
#[derive(Default)]
pub struct Parts {
    placements: BTreeMap<String, Placement>,
    strategies: BTreeMap<String, Arc<StrategyPlan>>,
    rules: HashMap<Arc<str>, Arc<RulePlan>>,
    tables: Rules,
    conditions: FxHashMap<ConditionId, Condition>,
    condition_ids: HashMap<Arc<str>, ConditionId>,
    condition_count: ConditionId,
    names: Names,
    plans: FxHashMap<Arc<str>, Arc<PlacementPlan>>,
    condition_set: ExpressionSet<ConditionId>,
    condition_edits: Vec<Edit<ConditionId>>,
    has_stale_placements: bool,
}

/// The same condition in many rules is judged once.
struct Condition {
    source: Arc<str>,
    rule_count: usize,
}

/// Numbers that stand for names as long as the process lives.
#[derive(Default)]
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

    pub fn put_rule(&mut self, id: &str, rule: Option<&Rule>, items: &mut Items) {
        let Some(rule) = rule.filter(|rule| !rule.disabled) else {
            self.remove_rule(id);
            return;
        };
        let number = self.number_of(id);
        match convert::plan::rule(rule, number, items) {
            Ok(compiled) => self.put_compiled(compiled),
            Err(_) => {
                warn_if_lost("rule", id, true);
                self.remove_rule(id);
            }
        }
    }

    pub fn put_compiled(&mut self, compiled: Compiled) {
        let mut plan = compiled.plan;
        self.remove_rule(&plan.id);
        plan.condition = compiled.when.map(|when| self.take_condition(when));
        if !compiled.exclusion_group.is_empty() {
            let next = self.names.groups.len() as GroupId;
            let group = self.names.groups.entry(compiled.exclusion_group);
            plan.exclusion_group = Some(*group.or_insert(next));
        }
        let plan = Arc::new(plan);
        self.tables.insert(&plan);
        self.rules.insert(Arc::clone(&plan.id), plan);
    }

    pub fn remove_rule(&mut self, id: &str) {
        let Some(plan) = self.rules.remove(id) else {
            return;
        };
        self.tables.remove(&plan);
        if let Some(condition) = plan.condition {
            self.drop_condition(condition);
        }
    }

    /// The number that stands for a rule in this process.
    pub fn number_of(&mut self, rule_id: &str) -> u32 {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if let Some(number) = self.names.rules.get(rule_id) {
            return *number;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.names.rules.insert(rule_id.to_owned(), number);
        number
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
        if std::mem::take(&mut self.has_stale_placements) {
            let placements = self.placements.values();
            let plans = placements.map(|placement| {
                let loose = convert::plan::placement(placement, items);
                let plan = Arc::new(loose.plan(&self.strategies));
                (Arc::clone(&plan.id), plan)
            });
            self.plans = plans.collect();
        }
        if !self.condition_edits.is_empty() {
            self.condition_set.apply(self.condition_edits.drain(..));
        }
        RuleBase {
            placements: self.plans.clone(),
            conditions: self.condition_set.snapshot(),
            rules: self.tables.clone(),
        }
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
