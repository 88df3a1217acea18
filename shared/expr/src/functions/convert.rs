//! Conversions from one type to another, as CEL defines them. What is out of range or
//! does not parse is missing.

use std::{borrow::Cow, sync::Arc};

use semver::Version;

use crate::value::{
    TIME_MS_RANGE, TypeName, Value, format_duration, format_time, parse_duration, parse_time,
};

/// 2^63 and 2^64; what a double at or above them holds is no integer of ours.
const INT_END: f64 = 9_223_372_036_854_775_808.0;
const UINT_END: f64 = 18_446_744_073_709_551_616.0;

pub(crate) fn to_type(value: Value<'_>, name: TypeName) -> Value<'_> {
    let converted = match name {
        TypeName::Int => to_int(&value).map(Value::Int),
        TypeName::Uint => to_uint(&value).map(Value::Uint),
        TypeName::Double => to_double(&value).map(Value::Number),
        TypeName::Bool => to_bool(&value).map(Value::Bool),
        TypeName::Time => to_time(&value).map(Value::Time),
        TypeName::Duration => to_duration(&value).map(Value::Duration),
        TypeName::Text => to_text(value),
        TypeName::Bytes => to_bytes(value),
        _ => None,
    };
    converted.unwrap_or(Value::Missing)
}

fn to_int(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(n) => Some(*n),
        Value::Uint(n) => i64::try_from(*n).ok(),
        // The ends are out of range, since a double cannot tell them from what is beyond.
        Value::Number(n) if *n > -INT_END && *n < INT_END => Some(*n as i64),
        Value::Text(text) => text.parse().ok(),
        Value::Time(ms) => Some(ms.div_euclid(1000)),
        _ => None,
    }
}

fn to_uint(value: &Value<'_>) -> Option<u64> {
    match value {
        Value::Uint(n) => Some(*n),
        Value::Int(n) => u64::try_from(*n).ok(),
        Value::Number(n) if *n > -1.0 && *n < UINT_END => Some(*n as u64),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    }
}

fn to_double(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Text(text) => text.parse().ok(),
        number => number.as_number(),
    }
}

fn to_bool(value: &Value<'_>) -> Option<bool> {
    match value {
        Value::Bool(b) => Some(*b),
        Value::Text(text) => match text.as_ref() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn to_time(value: &Value<'_>) -> Option<i64> {
    let ms = match value {
        Value::Time(ms) => *ms,
        Value::Int(seconds) => seconds.checked_mul(1000)?,
        // A JSON number is a double.
        Value::Number(seconds) if seconds.abs() < 1e12 => (seconds * 1000.0) as i64,
        Value::Text(text) => parse_time(text)?,
        _ => return None,
    };
    TIME_MS_RANGE.contains(&ms).then_some(ms)
}

fn to_duration(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Duration(ms) => Some(*ms),
        Value::Text(text) => parse_duration(text),
        _ => None,
    }
}

fn to_text(value: Value<'_>) -> Option<Value<'_>> {
    let text = match value {
        Value::Text(_) => return Some(value),
        Value::Bytes(Cow::Borrowed(bytes)) => {
            return std::str::from_utf8(bytes).ok().map(Value::text);
        }
        Value::Bytes(Cow::Owned(bytes)) => String::from_utf8(bytes).ok()?,
        Value::Bool(b) => b.to_string(),
        Value::Int(n) => n.to_string(),
        Value::Uint(n) => n.to_string(),
        Value::Number(n) => n.to_string(),
        Value::Time(ms) => format_time(ms)?,
        Value::Duration(ms) => format_duration(ms),
        Value::Version(version) => version.to_string(),
        _ => return None,
    };
    Some(Value::owned_text(text))
}

fn to_bytes(value: Value<'_>) -> Option<Value<'_>> {
    Some(Value::Bytes(match value {
        Value::Bytes(bytes) => bytes,
        Value::Text(Cow::Borrowed(text)) => Cow::Borrowed(text.as_bytes()),
        Value::Text(Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
        _ => return None,
    }))
}

pub(super) fn version(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Version(_) => value,
        Value::Text(text) => {
            parse_version(&text).map_or(Value::Missing, |version| Value::Version(Arc::new(version)))
        }
        _ => Value::Missing,
    }
}

/// A semantic version. Apps leave out what is zero and put a `v` before it, so `v2.3`
/// is `2.3.0`.
pub(crate) fn parse_version(text: &str) -> Option<Version> {
    let text = text.trim();
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let numbers_end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(numbers_end);
    match numbers.split('.').count() {
        1 => Version::parse(&format!("{numbers}.0.0{rest}")).ok(),
        2 => Version::parse(&format!("{numbers}.0{rest}")).ok(),
        _ => Version::parse(text).ok(),
    }
}
