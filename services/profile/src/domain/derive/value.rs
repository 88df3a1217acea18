//! What an expression comes to, in the form in which traits are kept: JSON. A time is
//! written as text, a length of time as its seconds; what is not finite is no value.

use attune_expr::{Value, format_time};
use prost_types::{ListValue, Struct, value::Kind};

/// None where there is no value.
pub fn stored(value: &Value<'_>) -> Option<prost_types::Value> {
    let kind = match value {
        Value::Missing | Value::Null => return None,
        Value::Bool(is_true) => Kind::BoolValue(*is_true),
        Value::Int(_) | Value::Uint(_) | Value::Number(_) => {
            let number = value.as_number().filter(|n| n.is_finite())?;
            Kind::NumberValue(number)
        }
        Value::Text(text) => Kind::StringValue(text.to_string()),
        Value::Time(ms) => Kind::StringValue(format_time(*ms)?),
        Value::Duration(ms) => Kind::NumberValue(*ms as f64 / 1_000.0),
        Value::Version(version) => Kind::StringValue(version.to_string()),
        Value::Type(name) => Kind::StringValue(name.name().to_owned()),
        Value::Texts(texts) => list(texts.iter().map(|text| Some(text.clone().into()))),
        Value::Protos(values) => list(values.iter().map(|v| Some(v.clone()))),
        Value::List(values) => list(values.iter().map(stored)),
        Value::Struct(fields) => Kind::StructValue((*fields).clone()),
        Value::Map(entries) => {
            let fields = entries
                .iter()
                .filter_map(|(key, value)| Some((key.as_text()?.to_owned(), stored(value)?)));
            Kind::StructValue(Struct {
                fields: fields.collect(),
            })
        }
        // No trait can be bytes.
        Value::Bytes(_) => return None,
    };
    Some(prost_types::Value { kind: Some(kind) })
}

fn list(values: impl Iterator<Item = Option<prost_types::Value>>) -> Kind {
    Kind::ListValue(ListValue {
        values: values.flatten().collect(),
    })
}
