//! Whether a value is one that its characteristic may have.

use std::collections::HashSet;

use attune_api::catalog::v1::{CharacteristicDefinition, CharacteristicType};
use attune_expr::parse_time;
use prost_types::{Struct, Value, value::Kind};

const TEXT_CHARACTERS_MAX: usize = 4096;
const SET_VALUES_MAX: usize = 256;

/// The rule that the value breaks, if it breaks one.
pub(crate) fn broken_rule(definition: &CharacteristicDefinition, value: &Value) -> Option<String> {
    let Some(kind) = &value.kind else {
        return Some("must have a value".into());
    };
    let rule = match (definition.r#type(), kind) {
        (CharacteristicType::Text, Kind::StringValue(text)) => {
            let fits = text.chars().count() <= TEXT_CHARACTERS_MAX;
            (!fits).then_some("must have at most 4096 characters")
        }
        (CharacteristicType::Number, Kind::NumberValue(number)) => {
            (!number.is_finite()).then_some("must be a finite number")
        }
        (CharacteristicType::Bool, Kind::BoolValue(_)) => None,
        (CharacteristicType::Enum, Kind::StringValue(text)) => {
            return not_among(&definition.enum_values, text);
        }
        (CharacteristicType::TextSet, Kind::ListValue(list)) => set_rule(&list.values),
        (CharacteristicType::Date, Kind::StringValue(text)) => parse_time(text)
            .is_none()
            .then_some("must be a date: `YYYY-MM-DD` or RFC 3339"),
        (CharacteristicType::Geo, Kind::StructValue(place)) => place_rule(place),
        (expected, _) => Some(type_rule(expected)),
    };
    rule.map(str::to_owned)
}

fn type_rule(expected: CharacteristicType) -> &'static str {
    match expected {
        CharacteristicType::Text => "must be a string",
        CharacteristicType::Number => "must be a number",
        CharacteristicType::Bool => "must be true or false",
        CharacteristicType::Enum => "must be a string",
        CharacteristicType::TextSet => "must be an array of strings",
        CharacteristicType::Date => "must be a string with a date",
        CharacteristicType::Geo => "must be an object with `lat` and `lng`",
        CharacteristicType::Unspecified => "has no type",
    }
}

fn not_among(values: &[String], text: &str) -> Option<String> {
    if values.iter().any(|value| value == text) {
        return None;
    }
    let near = super::suggestion(text, values.iter().map(String::as_str));
    Some(format!(
        "must be one of the characteristic's enum_values{near}"
    ))
}

fn set_rule(values: &[Value]) -> Option<&'static str> {
    if values.len() > SET_VALUES_MAX {
        return Some("must have at most 256 values");
    }
    let mut seen = HashSet::with_capacity(values.len());
    for value in values {
        let Some(Kind::StringValue(text)) = &value.kind else {
            return Some("must be an array of strings");
        };
        if text.is_empty() || text.chars().count() > TEXT_CHARACTERS_MAX {
            return Some("must have values of 1 to 4096 characters");
        }
        if !seen.insert(text.as_str()) {
            return Some("must have no value twice");
        }
    }
    None
}

fn place_rule(place: &Struct) -> Option<&'static str> {
    let degrees = |name: &str| match place.fields.get(name)?.kind {
        Some(Kind::NumberValue(n)) => Some(n),
        _ => None,
    };
    let (Some(lat), Some(lng), 2) = (degrees("lat"), degrees("lng"), place.fields.len()) else {
        return Some("must be an object with `lat` and `lng`, numbers both");
    };
    if !(-90.0..=90.0).contains(&lat) || !(-180.0..=180.0).contains(&lng) {
        return Some("must have `lat` in -90..90 and `lng` in -180..180");
    }
    None
}

#[cfg(test)]
mod tests {
    use attune_api::json::to_value;
    use serde_json::{Value as Json, json};

    use super::*;
    use CharacteristicType as T;

    fn broken(kind: CharacteristicType, value: Json) -> bool {
        let definition = CharacteristicDefinition {
            r#type: kind.into(),
            enum_values: vec!["red".into(), "green".into()],
            ..Default::default()
        };
        broken_rule(&definition, &to_value(value)).is_some()
    }

    #[test]
    fn each_type_takes_its_own_values() {
        for (kind, value) in [
            (T::Text, json!("x")),
            (T::Text, json!("")),
            (T::Number, json!(-2.5)),
            (T::Bool, json!(false)),
            (T::Enum, json!("red")),
            (T::TextSet, json!([])),
            (T::TextSet, json!(["a", "b"])),
            (T::Date, json!("2026-02-28")),
            (T::Date, json!("2026-02-28T10:00:00+02:00")),
            (T::Geo, json!({"lat": 47.07, "lng": 15.44})),
        ] {
            assert!(!broken(kind, value.clone()), "{kind:?} {value}");
        }
    }

    #[test]
    fn and_no_others() {
        for (kind, value) in [
            (T::Text, json!(1)),
            (T::Text, json!("x".repeat(4097))),
            (T::Text, json!(null)),
            (T::Number, json!("1")),
            (T::Bool, json!("true")),
            (T::Enum, json!("blue")),
            (T::TextSet, json!("a")),
            (T::TextSet, json!(["a", "a"])),
            (T::TextSet, json!(["a", 1])),
            (T::TextSet, json!(vec!["v"; 257])),
            (T::Date, json!("28.02.2026")),
            (T::Date, json!("2026-02-30")),
            (T::Geo, json!({"lat": 91, "lng": 0})),
            (T::Geo, json!({"lat": 1})),
            (T::Geo, json!({"lat": 1, "lng": 1, "alt": 1})),
        ] {
            assert!(broken(kind, value.clone()), "{kind:?} {value}");
        }
        let definition = CharacteristicDefinition {
            r#type: T::Number.into(),
            ..Default::default()
        };
        let not_finite = Value {
            kind: Some(Kind::NumberValue(f64::INFINITY)),
        };
        assert!(broken_rule(&definition, &not_finite).is_some());
    }
}
