//! Reads the little of JSON Schema that `schemars` writes for settings: objects,
//! scalars with bounds, choices, lists and maps. Knows schemas; never sees a value.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value};

/// The schema of `T`, without references.
pub(crate) fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>().into()
}

/// What a value may be, once "or nothing" is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    /// Nothing that could be checked here.
    Any,
}

impl Kind {
    pub fn of(schema: &Value) -> Self {
        let schema = strip_null(schema);
        let name = match &schema["type"] {
            Value::String(name) => name.as_str(),
            Value::Array(names) => names
                .iter()
                .filter_map(Value::as_str)
                .find(|name| *name != "null")
                .unwrap_or_default(),
            _ if choices(schema).is_some() => "string",
            _ => "",
        };
        match name {
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => Self::Any,
        }
    }

    pub fn noun(self) -> &'static str {
        match self {
            Self::Object => "a table",
            Self::Array => "a list",
            Self::String => "text",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::Any => "anything",
        }
    }
}

/// `Option<T>` of a type with its own schema is "any of T and null".
pub(crate) fn strip_null(schema: &Value) -> &Value {
    let Some(options) = schema["anyOf"].as_array() else {
        return schema;
    };
    let mut options = options.iter().filter(|option| option["type"] != "null");
    match (options.next(), options.next()) {
        (Some(only), None) => only,
        _ => schema,
    }
}

/// The texts that an enum allows.
pub(crate) fn choices(schema: &Value) -> Option<Vec<&str>> {
    let schema = strip_null(schema);
    if let Some(list) = schema["enum"].as_array() {
        return Some(list.iter().filter_map(Value::as_str).collect());
    }
    let list = schema["oneOf"].as_array()?;
    let mut names = Vec::new();
    for option in list {
        match (&option["const"], &option["enum"]) {
            (Value::String(name), _) => names.push(name.as_str()),
            (_, Value::Array(list)) => names.extend(list.iter().filter_map(Value::as_str)),
            _ => return None,
        }
    }
    Some(names)
}

/// An object's keys, in the order in which the type declares them where known.
pub(crate) fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    strip_null(schema)["properties"].as_object()
}

pub(crate) fn is_secret(schema: &Value) -> bool {
    strip_null(schema)[crate::secret::MARK] == true
}

/// The schema of the values of a map with free keys.
pub(crate) fn entries(schema: &Value) -> Option<&Value> {
    let entries = &strip_null(schema)["additionalProperties"];
    entries.is_object().then_some(entries)
}
