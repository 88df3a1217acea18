//! `a-tree`: the index over Boolean expressions of the A-Tree paper (SIGMOD 2021).

use a_tree::{AttributeDefinition, Event};
use anyhow::{Result, anyhow};

use crate::{
    Engine,
    workload::{Person, Rule},
};

pub struct ATree(a_tree::ATree<u32>);

impl ATree {
    pub fn new(rules: &[Rule]) -> Result<Self> {
        let attributes = [
            AttributeDefinition::string("country"),
            AttributeDefinition::integer("age"),
            AttributeDefinition::integer("tier"),
            AttributeDefinition::integer("days_since_purchase"),
            AttributeDefinition::string_list("interests"),
        ];
        let mut tree = a_tree::ATree::new(&attributes).map_err(|e| anyhow!("{e}"))?;
        for (number, rule) in rules.iter().enumerate() {
            let expression = format!(
                "country in [{}] and age >= {} and age <= {} and tier >= {} \
                 and days_since_purchase <= {} and interests one of [\"{}\"]",
                rule.quoted_countries(),
                rule.age_min,
                rule.age_max,
                rule.tier_min,
                rule.days_max,
                rule.interest,
            );
            tree.insert(&(number as u32), &expression)
                .map_err(|e| anyhow!("{e}"))?;
        }
        Ok(Self(tree))
    }
}

impl Engine for ATree {
    type Subject = Event;

    fn subject(&self, person: &Person) -> Result<Event> {
        let interests: Vec<&str> = person.interests.iter().map(String::as_str).collect();
        let mut event = self.0.make_event();
        event.with_string("country", &person.country)?;
        event.with_integer("age", person.age)?;
        event.with_integer("tier", person.tier)?;
        event.with_integer("days_since_purchase", person.days_since_purchase)?;
        event.with_string_list("interests", &interests)?;
        Ok(event.build()?)
    }

    fn matching(&self, event: &Event) -> Result<Vec<u32>> {
        let report = self.0.search(event).map_err(|e| anyhow!("{e}"))?;
        Ok(report.matches().iter().map(|number| **number).collect())
    }
}
