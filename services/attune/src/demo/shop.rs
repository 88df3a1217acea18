//! The shop that comes with the program: its catalog, its rules and its customers'
//! histories, as files. Reads them; sends nothing.

use std::collections::HashMap;

use anyhow::Context;
use attune_api::{
    DESCRIPTORS,
    catalog::v1::{Item, ItemType},
    messaging::v1::Template,
    rules::v1::{Placement, Rule, Strategy},
};
use prost::Message;
use prost_reflect::DynamicMessage;
use serde::Deserialize;
use serde_json::{Map, Value};

const SETUP: &str = include_str!("../../demo/setup.json");
const ITEMS: &str = include_str!("../../demo/items.ndjson");
const CUSTOMERS: &str = include_str!("../../demo/customers.ndjson");

/// Everything that is loaded, as the API takes it.
pub struct Shop {
    pub item_types: Vec<ItemType>,
    pub items: Vec<Item>,
    pub strategies: Vec<Strategy>,
    pub templates: Vec<Template>,
    pub placements: Vec<Placement>,
    pub rules: Vec<Rule>,
    pub customers: Vec<Customer>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Customer {
    pub user_id: String,
    pub traits: Map<String, Value>,
    /// Oldest first.
    pub events: Vec<Happened>,
}

/// One event of a history, at a distance from the day of the demo.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Happened {
    pub days_ago: f64,
    pub event: String,
    #[serde(default)]
    pub items: Vec<String>,
    #[serde(default)]
    pub query: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Setup {
    item_types: Vec<Value>,
    strategies: Vec<Value>,
    templates: Vec<Value>,
    placements: Vec<Value>,
    rules: Vec<Value>,
}

impl Shop {
    pub fn read() -> anyhow::Result<Self> {
        let setup: Setup = serde_json::from_str(SETUP).context("setup.json")?;
        Ok(Self {
            item_types: messages("attune.catalog.v1.ItemType", setup.item_types)?,
            items: messages(
                "attune.catalog.v1.Item",
                lines(ITEMS).context("items.ndjson")?,
            )?,
            strategies: messages("attune.rules.v1.Strategy", setup.strategies)?,
            templates: messages("attune.messaging.v1.Template", setup.templates)?,
            placements: messages("attune.rules.v1.Placement", setup.placements)?,
            rules: messages("attune.rules.v1.Rule", setup.rules)?,
            customers: lines(CUSTOMERS).context("customers.ndjson")?,
        })
    }

    pub fn customer(&self, user_id: &str) -> Option<&Customer> {
        self.customers.iter().find(|it| it.user_id == user_id)
    }

    /// What each item costs; articles cost nothing.
    pub fn prices(&self) -> HashMap<&str, f64> {
        let price = |item: &Item| item.price.as_ref().map_or(0.0, |price| price.amount);
        let items = self.items.iter();
        items.map(|it| (it.item_id.as_str(), price(it))).collect()
    }
}

fn lines<T: for<'de> Deserialize<'de>>(text: &str) -> serde_json::Result<Vec<T>> {
    text.lines().map(serde_json::from_str).collect()
}

/// Messages from their canonical JSON, as a caller of the HTTP interface writes it.
fn messages<M: Message + Default>(full_name: &str, values: Vec<Value>) -> anyhow::Result<Vec<M>> {
    let descriptor = DESCRIPTORS
        .get_message_by_name(full_name)
        .with_context(|| format!("{full_name} is not part of the contract"))?;
    let message = |value: Value| {
        let dynamic = DynamicMessage::deserialize(descriptor.clone(), &value)
            .with_context(|| format!("not a {full_name}: {value}"))?;
        Ok(dynamic.transcode_to()?)
    };
    values.into_iter().map(message).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_shop_is_whole() {
        let shop = Shop::read().unwrap();
        assert!(shop.items.len() >= 200, "{} items", shop.items.len());
        assert_eq!(shop.customers.len(), 50);
        let known: HashSet<_> = shop.items.iter().map(|it| it.item_id.as_str()).collect();
        assert_eq!(known.len(), shop.items.len(), "no id twice");
        for customer in &shop.customers {
            assert!(!customer.events.is_empty(), "{}", customer.user_id);
            for item in customer.events.iter().flat_map(|event| &event.items) {
                assert!(known.contains(item.as_str()), "{item} is in the catalog");
            }
            let days: Vec<_> = customer.events.iter().map(|it| it.days_ago).collect();
            assert!(days.is_sorted_by(|a, b| a >= b), "{}", customer.user_id);
        }
        for placement in &shop.placements {
            for item in &placement.fallback_item_ids {
                assert!(known.contains(item.as_str()), "{item} is in the catalog");
            }
        }
    }
}
