//! The `cel` crate: every expression compiled before and evaluated one after the other,
//! over one context per person.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use cel::{Context, Env, Program, Value};

use crate::{
    Engine,
    workload::{Person, Rule},
};

pub struct Cel {
    env: Arc<Env>,
    programs: Vec<Program>,
}

impl Cel {
    pub fn new(rules: &[Rule]) -> Result<Self> {
        let env = Arc::new(Env::stdlib());
        let programs = rules
            .iter()
            .map(|rule| {
                let source = format!(
                    "country in [{}] && age >= {} && age <= {} && tier >= {} \
                     && days_since_purchase <= {} && \"{}\" in interests",
                    rule.quoted_countries(),
                    rule.age_min,
                    rule.age_max,
                    rule.tier_min,
                    rule.days_max,
                    rule.interest,
                );
                env.compile(&source).map_err(|e| anyhow!("{source}: {e}"))
            })
            .collect::<Result<_>>()?;
        Ok(Self { env, programs })
    }

    fn context(&self, person: &Person) -> Result<Context<'static, 'static>> {
        let mut context = Context::with_env(Arc::clone(&self.env));
        context.add_variable_from_value("country", person.country.clone());
        context.add_variable_from_value("age", person.age);
        context.add_variable_from_value("tier", person.tier);
        context.add_variable_from_value("days_since_purchase", person.days_since_purchase);
        context.add_variable_from_value("interests", person.interests.clone());
        Ok(context)
    }
}

impl Engine for Cel {
    type Subject = Context<'static, 'static>;

    fn subject(&self, person: &Person) -> Result<Self::Subject> {
        self.context(person)
    }

    fn matching(&self, context: &Self::Subject) -> Result<Vec<u32>> {
        let mut matching = Vec::new();
        for (number, program) in self.programs.iter().enumerate() {
            let answer = program.execute(context).map_err(|e| anyhow!("{e}"))?;
            if answer == Value::Bool(true) {
                matching.push(number as u32);
            }
        }
        Ok(matching)
    }
}
