//! `zen-engine`: one decision table that collects every row that holds, compiled before
//! it is asked, which also lets it index the columns that it can.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use zen_engine::{Decision, Variable, model::GraphContent};

use crate::{
    Engine,
    workload::{Person, Rule},
};

pub struct Zen {
    decision: Decision,
    runtime: Runtime,
}

impl Zen {
    pub fn new(rules: &[Rule]) -> Result<Self> {
        let input = |field: &str| json!({ "id": field, "name": field, "field": field });
        let inputs = ["country", "age", "tier", "days_since_purchase"].map(input);
        // Without a field, a cell is an expression over everything there is.
        let interests = json!({ "id": "interests", "name": "interests" });
        let rows: Vec<_> = rules.iter().enumerate().map(row).collect();
        let graph = json!({
            "nodes": [
                { "id": "in", "name": "in", "type": "inputNode", "content": {} },
                {
                    "id": "table", "name": "table", "type": "decisionTableNode",
                    "content": {
                        "hitPolicy": "collect",
                        "inputs": inputs.into_iter().chain([interests]).collect::<Vec<_>>(),
                        "outputs": [{ "id": "rule", "name": "rule", "field": "rule" }],
                        "rules": rows,
                    },
                },
                { "id": "out", "name": "out", "type": "outputNode", "content": {} },
            ],
            "edges": [
                { "id": "1", "sourceId": "in", "targetId": "table" },
                { "id": "2", "sourceId": "table", "targetId": "out" },
            ],
        });
        let graph: GraphContent = serde_json::from_value(graph)?;
        let mut decision = Decision::from(Arc::new(graph));
        decision.compile();
        let runtime = Builder::new_current_thread().build()?;
        Ok(Self { decision, runtime })
    }
}

fn row((number, rule): (usize, &Rule)) -> serde_json::Value {
    json!({
        "_id": format!("row-{number}"),
        "country": rule.quoted_countries(),
        "age": format!("[{}..{}]", rule.age_min, rule.age_max),
        "tier": format!(">= {}", rule.tier_min),
        "days_since_purchase": format!("<= {}", rule.days_max),
        "interests": format!("contains(interests, \"{}\")", rule.interest),
        "rule": number.to_string(),
    })
}

impl Engine for Zen {
    type Subject = Variable;

    fn subject(&self, person: &Person) -> Result<Variable> {
        Ok(serde_json::to_value(person)?.into())
    }

    fn matching(&self, person: &Variable) -> Result<Vec<u32>> {
        let answer = self
            .runtime
            .block_on(self.decision.evaluate(person.clone()));
        let answer = answer.map_err(|e| anyhow!("{e}"))?.result;
        let rows = answer.as_array().context("the table collects no list")?;
        let rows = rows.borrow();
        rows.iter()
            .map(|row| {
                let number = row.dot("rule").context("a row without its output")?;
                let number = number.as_number().context("no number")?.to_string();
                ensure!(!number.is_empty());
                Ok(number.parse()?)
            })
            .collect()
    }
}
