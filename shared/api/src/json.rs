//! `google.protobuf.Struct` to and from JSON, and messages of the contract as one.

use bytes::Bytes;
use prost_reflect::{DynamicMessage, SerializeOptions};
use prost_types::{ListValue, Struct, Value, value::Kind};
use serde_json::{Map, Value as Json};

use crate::DESCRIPTORS;

/// A message on the wire as protobuf's JSON mapping writes it: what HTTP clients see, as a
/// Struct. None where the contract has no message of this full name, or it is not one.
pub fn of_message(full_name: &str, wire: Bytes) -> Option<Struct> {
    let descriptor = DESCRIPTORS.get_message_by_name(full_name)?;
    let message = DynamicMessage::decode(descriptor, wire).ok()?;
    let options = SerializeOptions::new();
    let json = message.serialize_with_options(serde_json::value::Serializer, &options);
    to_struct(json.ok()?)
}

/// A JSON object as a Struct; anything else is None.
pub fn to_struct(json: Json) -> Option<Struct> {
    match json {
        Json::Object(map) => Some(Struct {
            fields: map.into_iter().map(|(k, v)| (k, to_value(v))).collect(),
        }),
        _ => None,
    }
}

/// Numbers become doubles, as protobuf's JSON mapping has it.
pub fn to_value(json: Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(b) => Kind::BoolValue(b),
        Json::Number(n) => Kind::NumberValue(n.as_f64().unwrap_or(f64::NAN)),
        Json::String(s) => Kind::StringValue(s),
        Json::Array(values) => Kind::ListValue(ListValue {
            values: values.into_iter().map(to_value).collect(),
        }),
        Json::Object(map) => Kind::StructValue(Struct {
            fields: map.into_iter().map(|(k, v)| (k, to_value(v))).collect(),
        }),
    };
    Value { kind: Some(kind) }
}

/// A Struct as a JSON object; a number that is not finite becomes null.
pub fn from_struct(fields: &Struct) -> Json {
    Json::Object(
        fields
            .fields
            .iter()
            .map(|(k, v)| (k.clone(), from_value(v)))
            .collect::<Map<_, _>>(),
    )
}

/// A number that is not finite becomes null; a whole one is written without a point.
pub fn from_value(value: &Value) -> Json {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(b)) => Json::Bool(*b),
        Some(Kind::NumberValue(n)) => number(*n),
        Some(Kind::StringValue(s)) => Json::String(s.clone()),
        Some(Kind::ListValue(list)) => Json::Array(list.values.iter().map(from_value).collect()),
        Some(Kind::StructValue(s)) => from_struct(s),
    }
}

fn number(n: f64) -> Json {
    // 2^53: beyond it a double no longer tells neighbouring integers apart.
    if n.fract() == 0.0 && n.abs() <= 9_007_199_254_740_992.0 {
        Json::from(n as i64)
    } else {
        serde_json::Number::from_f64(n).map_or(Json::Null, Json::Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_struct_survives_the_way_there_and_back() {
        let json = serde_json::json!({"a": 1, "b": [true, null, "x"], "c": {"d": 1.5}});
        let there = to_struct(json.clone()).unwrap();
        assert_eq!(from_struct(&there), json);
    }

    #[test]
    fn a_message_is_shown_as_http_clients_see_it() {
        let message = crate::profile::v1::Consent {
            purpose: "analytics".to_owned(),
            granted: true,
            policy_version: "3".to_owned(),
            time: Some(crate::time::from_ms(1_767_225_600_000)),
            ..Default::default()
        };
        let wire = Bytes::from(prost::Message::encode_to_vec(&message));
        let shown = of_message("attune.profile.v1.Consent", wire.clone()).unwrap();
        let expected = serde_json::json!({
            "purpose": "analytics",
            "granted": true,
            "policyVersion": "3",
            "time": "2026-01-01T00:00:00Z",
        });
        assert_eq!(from_struct(&shown), expected);
        assert_eq!(of_message("attune.profile.v1.Nothing", wire), None);
    }

    #[test]
    fn a_number_that_is_not_finite_becomes_null() {
        let value = Value {
            kind: Some(Kind::NumberValue(f64::NAN)),
        };
        assert_eq!(from_value(&value), Json::Null);
    }
}
