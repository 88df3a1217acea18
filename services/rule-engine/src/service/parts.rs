//! The rule base as people edit it, compiled piece by piece: an edit compiles what it
//! changed and puts the pieces together anew. Resources that come in here were checked
//! when they were saved; one that no longer compiles is left out and told.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use attune_api::rules::v1::{Placement, Rule, Strategy};
use attune_expr::{Expression, ExpressionSet, Vocabulary};

use crate::{
    convert,
    domain::{
        items::Items,
        plan::{ConditionId, LoosePlacement, PlacedRule, RuleBase, RulePlan, StrategyPlan},
    },
};

/// The pieces of one workspace's rule base, by id.
#[derive(Default)]
pub struct Parts {
    placements: BTreeMap<String, Placement>,
    strategies: BTreeMap<String, Arc<StrategyPlan>>,
    rules: BTreeMap<String, CompiledRule>,
    conditions: HashMap<String, (ConditionId, Expression)>,
    condition_count: ConditionId,
}

struct CompiledRule {
    plan: Arc<RulePlan>,
    placements: Vec<String>,
    priority: i32,
}

impl Parts {
    pub fn clear(&mut self) {
        let condition_count = self.condition_count;
        *self = Self {
            condition_count,
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
    }

    pub fn put_rule(&mut self, id: &str, rule: Option<&Rule>, items: &mut Items) {
        let Some(rule) = rule.filter(|rule| !rule.disabled) else {
            self.rules.remove(id);
            return;
        };
        match self.compile_rule(rule, items) {
            Some(compiled) => {
                self.rules.insert(id.to_owned(), compiled);
            }
            None => {
                warn_if_lost("rule", id, true);
                self.rules.remove(id);
            }
        }
    }

    fn compile_rule(&mut self, rule: &Rule, items: &mut Items) -> Option<CompiledRule> {
        let condition = match rule.when.as_str() {
            "" => None,
            when => Some(self.condition(when)?),
        };
        let plan = convert::plan::rule(rule, condition, items).ok()??;
        Some(CompiledRule {
            plan: Arc::new(plan),
            placements: rule.placements.clone(),
            priority: rule.priority,
        })
    }

    /// The same condition in many rules is judged once.
    fn condition(&mut self, when: &str) -> Option<ConditionId> {
        if let Some((id, _)) = self.conditions.get(when) {
            return Some(*id);
        }
        let expression = Expression::compile(when, &Vocabulary::subject()).ok()?;
        self.condition_count += 1;
        let id = self.condition_count;
        self.conditions.insert(when.to_owned(), (id, expression));
        Some(id)
    }

    /// Puts the pieces together.
    pub fn assemble(&mut self, items: &mut Items) -> RuleBase {
        let used: std::collections::HashSet<ConditionId> = self
            .rules
            .values()
            .filter_map(|rule| rule.plan.condition)
            .collect();
        self.conditions.retain(|_, (id, _)| used.contains(id));
        let conditions: ExpressionSet<ConditionId> = self
            .conditions
            .values()
            .map(|(id, expression)| (expression.clone(), *id))
            .collect();
        let placements: Vec<LoosePlacement> = self
            .placements
            .values()
            .map(|placement| convert::plan::placement(placement, items))
            .collect();
        let rules = self.rules.values().map(|rule| PlacedRule {
            plan: Arc::clone(&rule.plan),
            placements: rule.placements.clone(),
            priority: rule.priority,
        });
        RuleBase::assemble(placements, &self.strategies, rules.collect(), conditions)
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
