//! Values as expressions see them: borrowed from whoever holds them, compared by what
//! they mean. Total: what cannot be compared is unequal and unordered, never an error.

use std::{borrow::Cow, cmp::Ordering};

use prost_types::{Struct, value::Kind as Proto};

/// A value, or that there is none.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// Nothing is known; no comparison with it holds.
    Missing,
    Bool(bool),
    Int(i64),
    Number(f64),
    Text(Cow<'a, str>),
    /// Milliseconds since the Unix epoch.
    Time(i64),
    /// Milliseconds.
    Duration(i64),
    Texts(&'a [String]),
    Protos(&'a [prost_types::Value]),
    List(Vec<Value<'a>>),
    Struct(&'a Struct),
}

impl<'a> From<&'a prost_types::Value> for Value<'a> {
    fn from(value: &'a prost_types::Value) -> Self {
        match &value.kind {
            // A null says no more than absence does.
            None | Some(Proto::NullValue(_)) => Self::Missing,
            Some(Proto::BoolValue(b)) => Self::Bool(*b),
            Some(Proto::NumberValue(n)) => Self::Number(*n),
            Some(Proto::StringValue(s)) => Self::text(s),
            Some(Proto::ListValue(list)) => Self::Protos(&list.values),
            Some(Proto::StructValue(s)) => Self::Struct(s),
        }
    }
}

impl<'a> Value<'a> {
    pub fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// Protobuf writes an absent text as an empty one.
    pub fn text_or_missing(text: &'a str) -> Self {
        if text.is_empty() {
            Self::Missing
        } else {
            Self::text(text)
        }
    }

    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }

    /// Whether it stands for true; anything but a truth value does not.
    pub fn holds(&self) -> bool {
        matches!(self, Self::Bool(true))
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Number of characters of a text, or of elements.
    pub fn size(&self) -> Value<'static> {
        let size = match self {
            Self::Text(text) => text.chars().count(),
            Self::Texts(texts) => texts.len(),
            Self::Protos(values) => values.len(),
            Self::List(values) => values.len(),
            Self::Struct(fields) => fields.fields.len(),
            _ => return Value::Missing,
        };
        i64::try_from(size).map_or(Value::Missing, Value::Int)
    }

    /// A field of a map.
    pub fn member(&self, name: &str) -> Value<'a> {
        match self {
            Self::Struct(fields) => fields.fields.get(name).map_or(Value::Missing, Value::from),
            _ => Value::Missing,
        }
    }

    /// An element by its number, or a field by its name.
    pub fn index(&self, index: &Value<'_>) -> Value<'a> {
        match index {
            Value::Text(name) => self.member(name),
            Value::Int(i) => usize::try_from(*i).map_or(Value::Missing, |i| self.element(i)),
            Value::Number(n) if n.fract() == 0.0 && *n >= 0.0 => self.element(*n as usize),
            _ => Value::Missing,
        }
    }

    fn element(&self, index: usize) -> Value<'a> {
        match self {
            Self::Texts(texts) => texts.get(index).map_or(Value::Missing, |t| Value::text(t)),
            Self::Protos(values) => values.get(index).map_or(Value::Missing, Value::from),
            Self::List(values) => values.get(index).cloned().unwrap_or(Value::Missing),
            _ => Value::Missing,
        }
    }

    /// Whether a list has an element, or a map a key, equal to `needle`.
    pub fn contains(&self, needle: &Value<'_>) -> bool {
        match self {
            Self::Texts(texts) => needle
                .as_text()
                .is_some_and(|needle| texts.iter().any(|text| text == needle)),
            Self::Protos(values) => values.iter().any(|v| Value::from(v).equals(needle)),
            Self::List(values) => values.iter().any(|value| value.equals(needle)),
            Self::Struct(fields) => needle
                .as_text()
                .is_some_and(|needle| fields.fields.contains_key(needle)),
            _ => false,
        }
    }

    /// Whether any (or, with `all`, every) element passes a test. Missing lists have none.
    pub(crate) fn elements(&self) -> Option<Vec<Value<'a>>> {
        Some(match self {
            Self::Texts(texts) => texts.iter().map(|t| Value::text(t)).collect(),
            Self::Protos(values) => values.iter().map(Value::from).collect(),
            Self::List(values) => values.clone(),
            Self::Struct(fields) => fields.fields.keys().map(|k| Value::text(k)).collect(),
            _ => return None,
        })
    }

    /// False where either is missing or the two cannot be the same.
    pub fn equals(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Struct(a), Value::Struct(b)) => a == b,
            (a, b) if a.is_list() && b.is_list() => a.equals_list(b),
            (a, b) => a.compare(b) == Some(Ordering::Equal),
        }
    }

    fn is_list(&self) -> bool {
        matches!(self, Self::Texts(_) | Self::Protos(_) | Self::List(_))
    }

    fn equals_list(&self, other: &Value<'_>) -> bool {
        match (self.elements(), other.elements()) {
            (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.equals(b)),
            _ => false,
        }
    }

    /// None where either is missing or the two have no order.
    pub fn compare(&self, other: &Value<'_>) -> Option<Ordering> {
        match (self, other) {
            (Value::Text(a), Value::Text(b)) => Some(a.as_ref().cmp(b.as_ref())),
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::Int(a), Value::Int(b))
            | (Value::Time(a), Value::Time(b))
            | (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
            (Value::Number(a), Value::Number(b)) => a.partial_cmp(b),
            (Value::Int(a), Value::Number(b)) => (*a as f64).partial_cmp(b),
            (Value::Number(a), Value::Int(b)) => a.partial_cmp(&(*b as f64)),
            // Traits and characteristics come as JSON, which has no times of its own.
            (Value::Text(a), Value::Time(b)) => Some(parse_time(a)?.cmp(b)),
            (Value::Time(a), Value::Text(b)) => Some(a.cmp(&parse_time(b)?)),
            _ => None,
        }
    }
}

/// Milliseconds of `YYYY-MM-DD` (midnight UTC) or RFC 3339.
pub fn parse_time(text: &str) -> Option<i64> {
    if text.len() == 10 {
        let date: jiff::civil::Date = text.parse().ok()?;
        let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        return Some(midnight.timestamp().as_millisecond());
    }
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(time.as_millisecond())
}
