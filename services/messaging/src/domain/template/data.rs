//! What a template can see, turned into Liquid's own values: `profile`, `items`,
//! `context` and `params`.

use liquid_core::{Object, Value};
use serde_json::Value as Json;

/// One person and one decision. The JSON values are objects.
#[derive(Debug, Clone, Default)]
pub struct RenderData {
    pub profile: Json,
    pub items: Vec<Item>,
    pub context: Json,
    pub params: Json,
}

/// One decided item, in words.
#[derive(Debug, Clone, Default)]
pub struct Item {
    pub item_id: String,
    pub title: String,
    pub description: String,
    pub url: String,
    pub image_url: String,
    pub price: String,
    pub reason: String,
}

/// Ready to render with.
#[derive(Debug)]
pub struct Globals(pub(super) Object);

impl RenderData {
    pub(super) fn into_globals(self) -> Globals {
        let items = self.items.into_iter().map(Item::into_value).collect();
        let mut globals = Object::new();
        globals.insert("profile".into(), to_value(self.profile));
        globals.insert("items".into(), Value::Array(items));
        globals.insert("context".into(), to_value(self.context));
        globals.insert("params".into(), to_value(self.params));
        Globals(globals)
    }
}

impl Item {
    fn into_value(self) -> Value {
        let fields = [
            ("item_id", self.item_id),
            ("title", self.title),
            ("description", self.description),
            ("url", self.url),
            ("image_url", self.image_url),
            ("price", self.price),
            ("reason", self.reason),
        ];
        // What is empty is missing, so that `{% if item.price %}` does what it says.
        let present = fields.into_iter().filter(|(_, text)| !text.is_empty());
        Value::Object(
            present
                .map(|(name, text)| (name.into(), Value::scalar(text)))
                .collect(),
        )
    }
}

fn to_value(json: Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(b) => Value::scalar(b),
        Json::Number(n) => match n.as_i64() {
            Some(whole) => Value::scalar(whole),
            None => Value::scalar(n.as_f64().unwrap_or_default()),
        },
        Json::String(s) => Value::scalar(s),
        Json::Array(values) => Value::Array(values.into_iter().map(to_value).collect()),
        Json::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| (name.into(), to_value(value)))
                .collect(),
        ),
    }
}
