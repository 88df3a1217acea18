//! Makes events uniform: the type a name stands for, the items an event concerns and
//! its value, read from whatever properties were sent. Reads only; what was sent is
//! kept as it came.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use attune_api::profile::v1::{Event, EventItem, RecentEvent};
use bytes::Bytes;
use prost::Message as _;
use prost_types::{Struct, Value, value::Kind};

use super::{ProfileId, snapshot::EncodedEvent};

/// Longest item id the catalog knows; longer ones name nothing.
const ITEM_ID_CHARS_MAX: usize = 128;

/// Properties that rules can ask of an event, and the longest text among them: enough
/// for what people target by, and a snapshot of a hundred events stays small.
const REMEMBERED_MAX: usize = 16;
const REMEMBERED_CHARS_MAX: usize = 128;

/// Where items and revenue are read from; what was is not said twice.
const ITEM_ID_NAMES: [&str; 3] = ["product_id", "sku", "item_id"];
const REVENUE_NAMES: [&str; 3] = ["revenue", "total", "value"];

/// An event on its way to the timeline, encoded where it came in, so that the one
/// writer of the database has less to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Occurrence {
    pub event_id: Arc<str>,
    /// `Event.type`
    pub kind: String,
    pub time_ms: i64,
    pub receive_ms: i64,
    /// The whole `Event`.
    pub encoded: Bytes,
    /// The `Event` that other services are told of: what they learn from, and nothing
    /// that is personal.
    pub told: Bytes,
    /// The little of it that decisions read.
    pub recent: EncodedEvent,
    /// Sealed before its turn to be written, where it was known by then for whom.
    pub sealed: OnceLock<Sealed>,
}

/// An event as the store keeps it, which alone can read it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sealed {
    /// With whose key.
    pub origin_id: ProfileId,
    pub event: Bytes,
    pub recent: Bytes,
}

/// What was sent of an event.
#[derive(Debug, Default)]
pub struct Sent {
    pub event_id: String,
    pub name: String,
    pub time_ms: i64,
    pub receive_ms: i64,
    pub channel: String,
    pub properties: Option<Struct>,
    pub context: Option<Struct>,
}

impl Occurrence {
    pub fn new(sent: Sent) -> Self {
        let (time_ms, receive_ms) = (sent.time_ms, sent.receive_ms);
        let event = uniform(sent);
        let encoded = event.encode_to_vec().into();
        let told = told(&event);
        let recent = EncodedEvent::new(&RecentEvent {
            r#type: event.r#type.clone(),
            time_ms,
            item_ids: event.items.into_iter().map(|i| i.item_id).collect(),
            revenue: event.revenue,
            channel: event.channel,
            properties: event.properties.and_then(remembered),
        });
        Self {
            event_id: event.event_id.into(),
            kind: event.r#type,
            time_ms,
            receive_ms,
            encoded,
            told: told.encode_to_vec().into(),
            recent,
            sealed: OnceLock::new(),
        }
    }
}

impl Occurrence {
    /// As they were sent.
    pub fn properties(&self) -> Option<Struct> {
        Event::decode(self.encoded.clone()).ok()?.properties
    }
}

/// What others are told of an event.
pub fn told(event: &Event) -> Event {
    Event {
        r#type: event.r#type.clone(),
        time: event.time,
        channel: event.channel.clone(),
        items: event.items.clone(),
        revenue: event.revenue,
        ..Event::default()
    }
}

fn uniform(sent: Sent) -> Event {
    let properties = sent.properties.as_ref();
    Event {
        r#type: event_type(&sent.name),
        items: properties.map(items).unwrap_or_default(),
        revenue: properties.map(revenue).unwrap_or_default(),
        event_id: sent.event_id,
        name: sent.name,
        time: Some(attune_api::time::from_ms(sent.time_ms)),
        receive_time: Some(attune_api::time::from_ms(sent.receive_ms)),
        channel: sent.channel,
        properties: sent.properties,
        context: sent.context,
    }
}

/// The type that a name stands for: the Segment e-commerce names have short ones of
/// their own, any other name is put in snake case. Empty if the name has neither
/// letter nor digit.
pub fn event_type(name: &str) -> String {
    let snake = snake_case(name);
    let short = match snake.as_str() {
        "product_viewed" => "view",
        "product_added" => "add_to_cart",
        "product_removed" => "remove_from_cart",
        "order_completed" => "purchase",
        "products_searched" => "search",
        "product_list_viewed" => "list_view",
        "product_clicked" => "click",
        "product_added_to_wishlist" => "add_to_wishlist",
        "order_refunded" => "refund",
        _ => return snake,
    };
    short.to_owned()
}

pub fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut previous = None;
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        if !c.is_alphanumeric() {
            previous = None;
            continue;
        }
        let begins_word = match previous {
            None => true,
            Some(before) if c.is_uppercase() => {
                let next_is_lower = chars.peek().is_some_and(|n| n.is_lowercase());
                !char::is_uppercase(before) || next_is_lower
            }
            Some(_) => false,
        };
        if begins_word && !out.is_empty() {
            out.push('_');
        }
        out.extend(c.to_lowercase());
        previous = Some(c);
    }
    out
}

/// A list of products wins over a single one named beside it.
fn items(properties: &Struct) -> Vec<EventItem> {
    let listed: Vec<_> = ["products", "items"]
        .iter()
        .find_map(|name| list(properties, name))
        .unwrap_or_default()
        .iter()
        .filter_map(listed_item)
        .collect();
    if listed.is_empty() {
        item(properties).into_iter().collect()
    } else {
        listed
    }
}

fn list<'a>(properties: &'a Struct, name: &str) -> Option<&'a [Value]> {
    match &properties.fields.get(name)?.kind {
        Some(Kind::ListValue(list)) => Some(&list.values),
        _ => None,
    }
}

/// An object like a product, or just its id.
fn listed_item(value: &Value) -> Option<EventItem> {
    match &value.kind {
        Some(Kind::StructValue(fields)) => item(fields),
        _ => id(value).map(|item_id| EventItem {
            item_id,
            quantity: 1.0,
            price: 0.0,
        }),
    }
}

fn item(fields: &Struct) -> Option<EventItem> {
    let item_id = ITEM_ID_NAMES
        .iter()
        .find_map(|name| id(fields.fields.get(*name)?))?;
    Some(EventItem {
        item_id,
        quantity: number(fields, "quantity").map_or(1.0, |n| n.max(0.0)),
        price: number(fields, "price").unwrap_or_default(),
    })
}

/// Ids are text; shops that number their products send numbers.
fn id(value: &Value) -> Option<String> {
    let id = match &value.kind {
        Some(Kind::StringValue(text)) => text.trim().to_owned(),
        Some(Kind::NumberValue(n)) if n.is_finite() => n.to_string(),
        _ => return None,
    };
    let fits = !id.is_empty() && id.chars().count() <= ITEM_ID_CHARS_MAX;
    fits.then_some(id)
}

fn revenue(properties: &Struct) -> f64 {
    REVENUE_NAMES
        .iter()
        .find_map(|name| number(properties, name))
        .unwrap_or_default()
}

/// The properties that a decision may ask for, the first by name where they are many.
fn remembered(properties: Struct) -> Option<Struct> {
    let money = REVENUE_NAMES
        .into_iter()
        .find(|name| number(&properties, name).is_some());
    let lifted = |name: &str| ITEM_ID_NAMES.contains(&name) || money == Some(name);
    let fields: BTreeMap<_, _> = properties
        .fields
        .into_iter()
        .filter(|(name, value)| !lifted(name) && is_remembered(value))
        .take(REMEMBERED_MAX)
        .collect();
    (!fields.is_empty()).then_some(Struct { fields })
}

fn is_remembered(value: &Value) -> bool {
    match &value.kind {
        Some(Kind::NumberValue(n)) => n.is_finite(),
        Some(Kind::BoolValue(_)) => true,
        Some(Kind::StringValue(text)) => {
            // Most are short by bytes already.
            text.len() <= REMEMBERED_CHARS_MAX || text.chars().count() <= REMEMBERED_CHARS_MAX
        }
        _ => false,
    }
}

/// A number, also where it was sent as text.
fn number(fields: &Struct, name: &str) -> Option<f64> {
    let number = match &fields.fields.get(name)?.kind {
        Some(Kind::NumberValue(n)) => *n,
        Some(Kind::StringValue(text)) => text.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_types() {
        let rows = [
            ("Product Viewed", "view"),
            ("product_viewed", "view"),
            ("Product Added", "add_to_cart"),
            ("Product Removed", "remove_from_cart"),
            ("Order Completed", "purchase"),
            ("Products Searched", "search"),
            ("Product List Viewed", "list_view"),
            ("Product Clicked", "click"),
            ("Product Added to Wishlist", "add_to_wishlist"),
            ("Order Refunded", "refund"),
            ("page", "page"),
            ("Screen", "screen"),
            ("signUp", "sign_up"),
            ("HTTPError 404", "http_error_404"),
            ("  Größe -- gewählt!", "größe_gewählt"),
            ("view", "view"),
            ("!!", ""),
        ];
        for (name, expected) in rows {
            assert_eq!(event_type(name), expected, "{name}");
        }
    }

    fn sent(properties: serde_json::Value) -> Event {
        let properties = attune_api::json::to_struct(properties);
        uniform(Sent {
            properties,
            ..Sent::default()
        })
    }

    fn item_of(item_id: &str, quantity: f64, price: f64) -> EventItem {
        EventItem {
            item_id: item_id.into(),
            quantity,
            price,
        }
    }

    #[test]
    fn items_are_found_where_senders_put_them() {
        let rows = [
            (
                serde_json::json!({"product_id": "a"}),
                vec![item_of("a", 1.0, 0.0)],
            ),
            (
                serde_json::json!({"sku": 17, "quantity": "2", "price": 1.5}),
                vec![item_of("17", 2.0, 1.5)],
            ),
            (
                serde_json::json!({"product_id": "x", "products": [
                    {"product_id": "a", "quantity": 3, "price": "2.5"},
                    {"item_id": "b", "quantity": -1},
                    {"name": "no id"},
                ]}),
                vec![item_of("a", 3.0, 2.5), item_of("b", 0.0, 0.0)],
            ),
            (
                serde_json::json!({"items": ["a", "b", null, ""]}),
                vec![item_of("a", 1.0, 0.0), item_of("b", 1.0, 0.0)],
            ),
            (serde_json::json!({"product_id": "x".repeat(129)}), vec![]),
            (serde_json::json!({"product_id": {"a": 1}}), vec![]),
        ];
        for (properties, expected) in rows {
            assert_eq!(sent(properties.clone()).items, expected, "{properties}");
        }
    }

    #[test]
    fn a_recent_event_remembers_scalars_and_nothing_twice() {
        let long = "x".repeat(129);
        let rows = [
            (
                serde_json::json!({"category": "tents", "gift": true, "size": 3}),
                serde_json::json!({"category": "tents", "gift": true, "size": 3}),
            ),
            (
                serde_json::json!({"product_id": "a", "total": "10", "value": 2, "note": long}),
                serde_json::json!({"value": 2}),
            ),
            (
                serde_json::json!({"products": [], "address": {"city": "Graz"}, "gone": null}),
                serde_json::Value::Null,
            ),
        ];
        for (properties, expected) in rows {
            let occurrence = Occurrence::new(Sent {
                name: "view".into(),
                channel: "app".into(),
                properties: attune_api::json::to_struct(properties.clone()),
                ..Sent::default()
            });
            let recent = RecentEvent::decode(occurrence.recent.bytes).unwrap();
            assert_eq!(recent.channel, "app");
            let expected = attune_api::json::to_struct(expected);
            assert_eq!(recent.properties, expected, "{properties}");
        }
    }

    #[test]
    fn of_many_properties_the_first_by_name_are_remembered() {
        let many: serde_json::Map<_, _> = (0..40)
            .map(|n| (format!("p{n:02}"), serde_json::json!(n)))
            .collect();
        let remembered = attune_api::json::to_struct(many.into()).and_then(remembered);
        let names: Vec<_> = remembered.unwrap().fields.into_keys().collect();
        assert_eq!((names.len(), names[15].as_str()), (16, "p15"));
    }

    #[test]
    fn revenue_is_the_first_number_of_its_names() {
        let rows = [
            (serde_json::json!({"revenue": 9.5, "total": 10}), 9.5),
            (serde_json::json!({"total": "10", "value": 1}), 10.0),
            (serde_json::json!({"value": 1}), 1.0),
            (serde_json::json!({"revenue": "a lot"}), 0.0),
            (serde_json::json!({}), 0.0),
        ];
        for (properties, expected) in rows {
            assert_eq!(sent(properties.clone()).revenue, expected, "{properties}");
        }
    }
}
