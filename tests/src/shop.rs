//! A small shop for scenarios: tents, boots, stoves and packs of two brands, imported
//! through the public door, and people who look around in it.

use std::sync::atomic::{AtomicU64, Ordering};

use attune_api::{
    gateway::v1::PersonalizeRequest,
    rules::v1::PlacementRequest,
    r#type::v1::{Subject, subject},
};
use serde_json::{Value, json};

use crate::{Api, PATIENCE, wait_until};

const CATEGORIES: [&str; 4] = ["tents", "boots", "stoves", "packs"];
const PER_CATEGORY: usize = 6;

/// All items' ids: `tents-1` … `packs-6`.
pub fn item_ids() -> Vec<String> {
    let numbered =
        |category: &'static str| (1..=PER_CATEGORY).map(move |n| format!("{category}-{n}"));
    CATEGORIES
        .into_iter()
        .flat_map(|c| numbered(c).collect::<Vec<_>>())
        .collect()
}

pub fn item(id: &str) -> Value {
    let (category, number) = id.split_once('-').expect("an id of this shop");
    let number: f64 = number.parse().expect("an id of this shop");
    json!({
        "itemId": id,
        "itemType": "product",
        "title": {"": format!("{category} {number}"), "de": format!("{category} {number} (de)")},
        "url": format!("https://shop.example/{id}"),
        "categories": ["outdoor", category],
        "characteristics": {
            "brand": if number < 4.0 { "Halden" } else { "Fjordby" },
            "weight_g": number * 250.0,
            "season": ["summer", "autumn"],
        },
        "price": {"currencyCode": "EUR", "amount": 20.0 * number},
        "stock": "25",
    })
}

/// Imports the shop and waits until all of it can be recommended in placement `home`.
pub async fn import(api: &Api) {
    let item_type = json!({
        "itemTypeId": "product",
        "characteristics": [
            {"name": "brand", "type": "TEXT", "facet": true, "searchable": true},
            {"name": "weight_g", "type": "NUMBER"},
            {"name": "season", "type": "TEXT_SET"},
        ],
    });
    api.post("/v1/itemTypes?itemTypeId=product", item_type)
        .await
        .ok();
    let items: Vec<_> = item_ids().iter().map(|id| item(id)).collect();
    let count = items.len();
    let imported = api
        .post("/v1/items:batchUpsert", json!({"items": items}))
        .await
        .ok();
    assert_eq!(imported["createdCount"], json!(count), "{imported}");
    place(api, "home", json!({})).await;
    // What is imported reaches the rule engine through the event log.
    wait_until("the shop is known to the rule engine", PATIENCE, || async {
        let everything = json!({"placement": "home", "count": count});
        let body = json!({
            "subject": {"anonymousId": "nobody-yet"},
            "channel": "web",
            "placements": [everything],
            "preview": true,
        });
        let answer = api.post("/v1/personalize", body).await;
        answer.is_ok() && slots(&answer.body, 0).len() == count
    })
    .await;
}

/// Makes or changes a placement.
pub async fn place(api: &Api, id: &str, mut placement: Value) {
    placement["placementId"] = json!(id);
    let path = format!("/v1/placements/{id}?allowMissing=true");
    api.patch(&path, placement).await.ok();
}

/// Makes or changes a rule.
pub async fn rule(api: &Api, id: &str, mut rule: Value) {
    rule["ruleId"] = json!(id);
    api.patch(&format!("/v1/rules/{id}?allowMissing=true"), rule)
        .await
        .ok();
}

/// A message id that no other has.
pub fn message_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("message-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What a web shop sends when a person looks at a product.
pub fn viewed(user: &str, item: &str) -> Value {
    happened(user, "Product Viewed", json!({"product_id": item}))
}

/// What it sends when an order is paid.
pub fn bought(user: &str, items: &[&str]) -> Value {
    let products: Vec<_> = items
        .iter()
        .map(|id| json!({"product_id": id, "price": 20}))
        .collect();
    happened(
        user,
        "Order Completed",
        json!({"products": products, "revenue": 40}),
    )
}

fn happened(user: &str, event: &str, properties: Value) -> Value {
    json!({
        "userId": user,
        "messageId": message_id(),
        "event": event,
        "properties": properties,
    })
}

pub async fn track(api: &Api, event: Value) {
    api.post("/v1/track", event).await.ok();
}

/// One placement's worth of personalization for a known person.
pub fn question(user: &str, placement: &str, count: usize) -> Value {
    json!({
        "subject": {"userId": user},
        "channel": "web",
        "placements": [{"placement": placement, "count": count}],
    })
}

/// The same question as a message.
pub fn question_message(user: &str, placement: &str, count: i32) -> PersonalizeRequest {
    let placement = placement.to_owned();
    let placement = PlacementRequest {
        placement,
        count,
        ..Default::default()
    };
    PersonalizeRequest {
        subject: Some(Subject {
            id: Some(subject::Id::UserId(user.to_owned())),
        }),
        channel: "web".to_owned(),
        placements: vec![placement],
        ..Default::default()
    }
}

pub async fn personalize(api: &Api, user: &str, placement: &str, count: usize) -> Value {
    let question = question(user, placement, count);
    api.post("/v1/personalize", question).await.ok()
}

/// The slots of the placement with this index.
pub fn slots(answer: &Value, placement: usize) -> &[Value] {
    let slots = answer["placements"][placement]["slots"].as_array();
    slots.map(Vec::as_slice).unwrap_or_default()
}

/// The items of the first placement, in order.
pub fn shown(answer: &Value) -> Vec<String> {
    let ids = slots(answer, 0)
        .iter()
        .filter_map(|slot| slot["item"]["itemId"].as_str());
    ids.map(str::to_owned).collect()
}

/// The services that an answer had to do without.
pub fn degraded(answer: &Value) -> Vec<String> {
    let list = answer["degradations"].as_array().into_iter().flatten();
    list.filter_map(|d| d["service"].as_str())
        .map(str::to_owned)
        .collect()
}

/// The id of the profile that holds a user id.
pub async fn profile_of(api: &Api, user: &str) -> String {
    let path = format!("/v1/profiles:lookup?namespace=user_id&value={user}");
    let profile = api.get(&path).await.ok();
    profile["profileId"]
        .as_str()
        .expect("a profile has an id")
        .to_owned()
}

/// The ids of all events on a person's timeline.
pub async fn timeline(api: &Api, profile: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut token = String::new();
    loop {
        let path = format!("/v1/profiles/{profile}/events?pageSize=1000&pageToken={token}");
        let page = api.get(&path).await.ok();
        let events = page["events"].as_array().cloned().unwrap_or_default();
        ids.extend(
            events
                .iter()
                .filter_map(|e| e["eventId"].as_str())
                .map(str::to_owned),
        );
        token = page["nextPageToken"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if token.is_empty() {
            return ids;
        }
    }
}
