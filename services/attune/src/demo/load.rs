//! Fills the shop: the catalog, the rule base and the customers' histories, in the
//! order in which one needs the other. Everything goes through the public door.

use std::collections::HashMap;

use anyhow::Context;
use attune_api::{
    catalog::v1::{BatchUpsertItemsRequest, CreateItemTypeRequest},
    gateway::v1::{BatchMessage, BatchRequest},
    json,
    messaging::v1::CreateTemplateRequest,
    rules::v1::{CreatePlacementRequest, CreateRuleRequest, CreateStrategyRequest},
    time,
};
use jiff::Zoned;
use prost_types::Struct;
use serde_json::{Value, json};

use super::{
    api::Api,
    shop::{Customer, Happened, Shop},
};

/// The most that one call takes.
const ITEMS_MAX: usize = 1_000;
const MESSAGES_MAX: usize = 500;

const DAY_MS: f64 = 86_400_000.0;

/// What was loaded.
pub struct Counts {
    pub items: usize,
    pub customers: usize,
    pub events: usize,
}

pub async fn load(api: &Api, shop: &Shop) -> anyhow::Result<Counts> {
    catalog(api, shop).await?;
    // Neither needs the other.
    tokio::try_join!(rule_base(api, shop), customers(api, shop))?;
    Ok(Counts {
        items: shop.items.len(),
        customers: shop.customers.len(),
        events: shop.customers.iter().map(|it| it.events.len()).sum(),
    })
}

async fn catalog(api: &Api, shop: &Shop) -> anyhow::Result<()> {
    let mut client = api.catalog.clone();
    for item_type in shop.item_types.clone() {
        let id = item_type.item_type_id.clone();
        let request = CreateItemTypeRequest {
            item_type: Some(item_type),
            ..Default::default()
        };
        let created = client.create_item_type(request).await;
        created.with_context(|| format!("item type {id}"))?;
    }
    for items in shop.items.chunks(ITEMS_MAX) {
        let request = BatchUpsertItemsRequest {
            items: items.to_vec(),
        };
        let loaded = client.batch_upsert_items(request).await;
        loaded.context("the catalog")?;
    }
    Ok(())
}

async fn rule_base(api: &Api, shop: &Shop) -> anyhow::Result<()> {
    for template in shop.templates.clone() {
        let request = CreateTemplateRequest {
            template: Some(template),
            ..Default::default()
        };
        let created = api.messaging.clone().create_template(request).await;
        created.context("a template")?;
    }
    let mut client = api.rules.clone();
    for strategy in shop.strategies.clone() {
        let id = strategy.strategy_id.clone();
        let request = CreateStrategyRequest {
            strategy: Some(strategy),
            ..Default::default()
        };
        let created = client.create_strategy(request).await;
        created.with_context(|| format!("strategy {id}"))?;
    }
    for placement in shop.placements.clone() {
        let id = placement.placement_id.clone();
        let request = CreatePlacementRequest {
            placement: Some(placement),
            ..Default::default()
        };
        let created = client.create_placement(request).await;
        created.with_context(|| format!("placement {id}"))?;
    }
    let season = season_of(Zoned::now().month());
    for mut rule in shop.rules.clone() {
        let id = rule.rule_id.clone();
        rule.r#where = rule.r#where.replace("{season}", season);
        let request = CreateRuleRequest {
            rule: Some(rule),
            ..Default::default()
        };
        let created = client.create_rule(request).await;
        created.with_context(|| format!("rule {id}"))?;
    }
    Ok(())
}

/// The shop is on the northern half of the earth.
fn season_of(month: i8) -> &'static str {
    match month {
        11 | 12 | 1..=3 => "WINTER",
        6..=8 => "SUMMER",
        _ => "THREE_SEASON",
    }
}

async fn customers(api: &Api, shop: &Shop) -> anyhow::Result<()> {
    let prices = shop.prices();
    let now_ms = time::now_ms();
    let messages: Vec<BatchMessage> = shop
        .customers
        .iter()
        .flat_map(|customer| messages(customer, &prices, now_ms))
        .collect();
    // At the same time, since each waits for its commit.
    let calls = messages.chunks(MESSAGES_MAX).map(|batch| {
        let mut client = api.collection.clone();
        let request = BatchRequest {
            batch: batch.to_vec(),
            ..Default::default()
        };
        async move { client.batch(request).await }
    });
    let loaded = futures::future::try_join_all(calls).await;
    loaded.context("the customers' histories")?;
    Ok(())
}

/// A customer as a Segment client would have told of them over the months.
fn messages(customer: &Customer, prices: &HashMap<&str, f64>, now_ms: i64) -> Vec<BatchMessage> {
    let at = |days_ago: f64| Some(time::from_ms(now_ms - (days_ago * DAY_MS) as i64));
    let first = customer.events.first().map_or(0.0, |it| it.days_ago);
    let identify = BatchMessage {
        r#type: "identify".into(),
        message_id: format!("demo-{}", customer.user_id),
        user_id: customer.user_id.clone(),
        traits: json::to_struct(Value::Object(customer.traits.clone())),
        timestamp: at(first),
        ..Default::default()
    };
    let track = |(index, event): (usize, &Happened)| BatchMessage {
        r#type: "track".into(),
        message_id: format!("demo-{}-{index}", customer.user_id),
        user_id: customer.user_id.clone(),
        event: event.event.clone(),
        properties: properties(event, prices),
        context: json::to_struct(json!({"channel": "web"})),
        timestamp: at(event.days_ago),
        ..Default::default()
    };
    let tracks = customer.events.iter().enumerate().map(track);
    std::iter::once(identify).chain(tracks).collect()
}

/// In the shapes of the Segment spec for shops.
fn properties(event: &Happened, prices: &HashMap<&str, f64>) -> Option<Struct> {
    let price = |item: &String| prices.get(item.as_str()).copied().unwrap_or_default();
    let product = |item: &String| json!({"product_id": item, "price": price(item), "quantity": 1});
    let properties = match event.items.as_slice() {
        [] => json!({"query": event.query}),
        items if event.event == "Order Completed" => json!({
            "total": items.iter().map(price).sum::<f64>(),
            "currency": "EUR",
            "products": items.iter().map(product).collect::<Vec<_>>(),
        }),
        [item] => product(item),
        items => json!({"products": items.iter().map(product).collect::<Vec<_>>()}),
    };
    json::to_struct(properties)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_carries_its_products_and_their_sum() {
        let prices = HashMap::from([("tent", 100.0), ("mat", 40.0)]);
        let order = Happened {
            days_ago: 1.0,
            event: "Order Completed".into(),
            items: vec!["tent".into(), "mat".into()],
            query: String::new(),
        };
        let properties = json::from_struct(&properties(&order, &prices).unwrap());
        assert_eq!(properties["total"], 140);
        assert_eq!(properties["products"][1]["product_id"], "mat");
    }

    #[test]
    fn every_month_has_a_season() {
        for month in 1..=12 {
            assert!(["WINTER", "SUMMER", "THREE_SEASON"].contains(&season_of(month)));
        }
    }
}
