//! Values as expressions see them: borrowed from whoever holds them, compared by what
//! they mean. Total: what cannot be compared is unequal and unordered, never an error.

mod compare;
mod sum;
mod time;

use std::{borrow::Cow, fmt, ops::ControlFlow, sync::Arc};

use prost_types::{Struct, value::Kind as Proto};
use semver::Version;

pub use sum::Sum;
pub(crate) use time::{
    DURATION_MS_MAX, TIME_MS_RANGE, duration, format_duration, parse_duration, whole_units,
};
pub use time::{format_time, parse_time};

/// A value, or that there is none.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// Nothing is known; no comparison with it holds.
    Missing,
    /// CEL's null, as it is written out. What a scope has as null is missing.
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Number(f64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    /// Milliseconds since the Unix epoch.
    Time(i64),
    /// Milliseconds.
    Duration(i64),
    /// A semantic version.
    Version(Arc<Version>),
    /// What `type(x)` says.
    Type(TypeName),
    Texts(&'a [String]),
    Protos(&'a [prost_types::Value]),
    List(Arc<[Value<'a>]>),
    Struct(&'a Struct),
    /// A map written out, its keys distinct.
    Map(Arc<[(Value<'a>, Value<'a>)]>),
}

/// The types that expressions can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TypeName {
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    List,
    Map,
    Time,
    Duration,
    Version,
    Type,
}

impl TypeName {
    pub(crate) const ALL: [Self; 13] = [
        Self::Null,
        Self::Bool,
        Self::Int,
        Self::Uint,
        Self::Double,
        Self::Text,
        Self::Bytes,
        Self::List,
        Self::Map,
        Self::Time,
        Self::Duration,
        Self::Version,
        Self::Type,
    ];

    /// As CEL writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::Text => "string",
            Self::Bytes => "bytes",
            Self::List => "list",
            Self::Map => "map",
            Self::Time => "google.protobuf.Timestamp",
            Self::Duration => "google.protobuf.Duration",
            Self::Version => "semver",
            Self::Type => "type",
        }
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
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

    pub(crate) fn owned_text(text: impl Into<String>) -> Self {
        Self::Text(Cow::Owned(text.into()))
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

    /// A number of any kind; large integers lose what a double cannot hold.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Int(n) => Some(*n as f64),
            Self::Uint(n) => Some(*n as f64),
            Self::Number(n) => Some(*n),
            _ => None,
        }
    }

    /// As JSON has it: a time in RFC 3339, a duration in seconds as `90s`. None for what
    /// is missing, and for what JSON cannot say.
    pub fn to_proto(&self) -> Option<prost_types::Value> {
        let list = |values: Option<Vec<_>>| {
            Some(Proto::ListValue(prost_types::ListValue { values: values? }))
        };
        let kind = match self {
            Self::Missing | Self::Bytes(_) | Self::Type(_) => return None,
            Self::Null => Proto::NullValue(0),
            Self::Bool(b) => Proto::BoolValue(*b),
            Self::Int(_) | Self::Uint(_) | Self::Number(_) => {
                Proto::NumberValue(self.as_number().filter(|n| n.is_finite())?)
            }
            Self::Text(text) => Proto::StringValue(text.to_string()),
            Self::Time(ms) => Proto::StringValue(format_time(*ms)?),
            Self::Duration(ms) => Proto::StringValue(format_duration(*ms)),
            Self::Version(version) => Proto::StringValue(version.to_string()),
            Self::Texts(_) | Self::Protos(_) | Self::List(_) => {
                list(self.elements()?.iter().map(Self::to_proto).collect())?
            }
            Self::Struct(fields) => Proto::StructValue((*fields).clone()),
            Self::Map(entries) => {
                let field = |(key, value): &(Self, Self)| {
                    Some((key.as_text()?.to_owned(), value.to_proto()?))
                };
                let fields = entries.iter().map(field).collect::<Option<_>>()?;
                Proto::StructValue(Struct { fields })
            }
        };
        Some(prost_types::Value { kind: Some(kind) })
    }

    /// None for what is missing.
    pub fn type_name(&self) -> Option<TypeName> {
        Some(match self {
            Self::Missing => return None,
            Self::Null => TypeName::Null,
            Self::Bool(_) => TypeName::Bool,
            Self::Int(_) => TypeName::Int,
            Self::Uint(_) => TypeName::Uint,
            Self::Number(_) => TypeName::Double,
            Self::Text(_) => TypeName::Text,
            Self::Bytes(_) => TypeName::Bytes,
            Self::Time(_) => TypeName::Time,
            Self::Duration(_) => TypeName::Duration,
            Self::Version(_) => TypeName::Version,
            Self::Type(_) => TypeName::Type,
            Self::Texts(_) | Self::Protos(_) | Self::List(_) => TypeName::List,
            Self::Struct(_) | Self::Map(_) => TypeName::Map,
        })
    }

    /// Number of characters of a text, bytes of bytes, or elements.
    pub fn size(&self) -> Value<'static> {
        let size = match self {
            Self::Text(text) => text.chars().count(),
            Self::Bytes(bytes) => bytes.len(),
            _ => match self.len() {
                Some(len) => len,
                None => return Value::Missing,
            },
        };
        i64::try_from(size).map_or(Value::Missing, Value::Int)
    }

    /// Elements of a list or a map; None for anything else.
    pub(crate) fn len(&self) -> Option<usize> {
        Some(match self {
            Self::Texts(texts) => texts.len(),
            Self::Protos(values) => values.len(),
            Self::List(values) => values.len(),
            Self::Struct(fields) => fields.fields.len(),
            Self::Map(entries) => entries.len(),
            _ => return None,
        })
    }

    /// A field of a map.
    pub fn member(&self, name: &str) -> Value<'a> {
        match self {
            Self::Struct(fields) => fields.fields.get(name).map_or(Value::Missing, Value::from),
            Self::Map(entries) => entries
                .iter()
                .find(|(key, _)| key.as_text() == Some(name))
                .map_or(Value::Missing, |(_, value)| value.clone()),
            _ => Value::Missing,
        }
    }

    /// An element by its number, or a field by its key.
    pub fn index(&self, index: &Value<'_>) -> Value<'a> {
        match (self, index) {
            (Self::Map(entries), _) => entries
                .iter()
                .find(|(key, _)| key.equals(index))
                .map_or(Value::Missing, |(_, value)| value.clone()),
            (_, Value::Text(name)) => self.member(name),
            (_, Value::Int(i)) => usize::try_from(*i).map_or(Value::Missing, |i| self.element(i)),
            (_, Value::Uint(i)) => usize::try_from(*i).map_or(Value::Missing, |i| self.element(i)),
            (_, Value::Number(n)) if n.fract() == 0.0 && *n >= 0.0 => self.element(*n as usize),
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
            Self::Map(entries) => entries.iter().any(|(key, _)| key.equals(needle)),
            _ => false,
        }
    }

    /// The elements of a list, or the keys of a map.
    pub(crate) fn elements(&self) -> Option<Vec<Value<'a>>> {
        let mut elements = Vec::with_capacity(self.len()?);
        self.visit(|element| {
            elements.push(element);
            ControlFlow::Continue(())
        });
        Some(elements)
    }

    /// Shows the elements of a list, or the keys of a map, until told to stop. False
    /// if this is neither.
    pub(crate) fn visit(&self, mut visit: impl FnMut(Value<'a>) -> ControlFlow<()>) -> bool {
        let is_shown = |flow: ControlFlow<()>| flow.is_continue();
        let _ = match self {
            Self::Texts(texts) => texts.iter().all(|t| is_shown(visit(Value::text(t)))),
            Self::Protos(values) => values.iter().all(|v| is_shown(visit(Value::from(v)))),
            Self::List(values) => values.iter().all(|v| is_shown(visit(v.clone()))),
            Self::Struct(fields) => {
                let mut keys = fields.fields.keys();
                keys.all(|key| is_shown(visit(Value::text(key))))
            }
            Self::Map(entries) => entries.iter().all(|(k, _)| is_shown(visit(k.clone()))),
            _ => return false,
        };
        true
    }
}
