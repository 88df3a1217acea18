//! The values that statements take, the same for both databases, and their
//! encoding for each driver.

use std::sync::Arc;

use bytes::Bytes;
use sqlx::{Arguments as _, postgres::PgArguments, sqlite::SqliteArguments, types::Json};

use crate::Error;

/// The type of a column, for nulls and bulk inserts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `bigint`
    Int,
    /// `double precision`
    Real,
    /// `boolean`
    Bool,
    /// `text`
    Text,
    /// `bytea`
    Bytes,
    /// `jsonb`
    Json,
}

/// One parameter. Made by [`crate::args!`].
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null(Kind),
    Int(i64),
    Real(f64),
    Bool(bool),
    Text(String),
    Shared(Arc<str>),
    Bytes(Bytes),
    Json(serde_json::Value),
    /// For `in list($n)`.
    Texts(Vec<String>),
    /// For `in list($n)`.
    Ints(Vec<i64>),
}

impl Value {
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Shared(text) => Some(text),
            _ => None,
        }
    }
}

/// Types that have a null.
pub trait Nullable: Into<Value> {
    const KIND: Kind;
}

macro_rules! value_from {
    ($($type:ty, $kind:ident, $value:ident => $make:expr;)*) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Self { $make }
        }
        impl Nullable for $type {
            const KIND: Kind = Kind::$kind;
        }
    )*};
}
value_from! {
    i64, Int, v => Self::Int(v);
    i32, Int, v => Self::Int(v.into());
    u32, Int, v => Self::Int(v.into());
    f64, Real, v => Self::Real(v);
    bool, Bool, v => Self::Bool(v);
    &str, Text, v => Self::Text(v.to_owned());
    String, Text, v => Self::Text(v);
    &String, Text, v => Self::Text(v.clone());
    Arc<str>, Text, v => Self::Shared(v);
    &Arc<str>, Text, v => Self::Shared(Arc::clone(v));
    Bytes, Bytes, v => Self::Bytes(v);
    &Bytes, Bytes, v => Self::Bytes(v.clone());
    Vec<u8>, Bytes, v => Self::Bytes(v.into());
    &[u8], Bytes, v => Self::Bytes(Bytes::copy_from_slice(v));
    serde_json::Value, Json, v => Self::Json(v);
    &serde_json::Value, Json, v => Self::Json(v.clone());
}

impl<T: Nullable> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null(T::KIND), Into::into)
    }
}

impl From<Vec<String>> for Value {
    fn from(list: Vec<String>) -> Self {
        Self::Texts(list)
    }
}

impl From<Vec<i64>> for Value {
    fn from(list: Vec<i64>) -> Self {
        Self::Ints(list)
    }
}

pub(crate) fn sqlite_arguments(values: Vec<Value>) -> Result<SqliteArguments, Error> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        add_sqlite(&mut arguments, value).map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

pub(crate) fn add_sqlite(
    arguments: &mut SqliteArguments,
    value: Value,
) -> Result<(), sqlx::error::BoxDynError> {
    match value {
        Value::Null(_) => arguments.add(None::<i64>),
        Value::Int(v) => arguments.add(v),
        Value::Real(v) => arguments.add(v),
        Value::Bool(v) => arguments.add(v),
        Value::Text(v) => arguments.add(v),
        Value::Shared(v) => arguments.add(v),
        Value::Bytes(v) => arguments.add(Vec::from(v)),
        Value::Json(v) => arguments.add(v.to_string()),
        // Lists travel as JSON and are unpacked by `json_each`.
        Value::Texts(v) => arguments.add(serde_json::to_string(&v)?),
        Value::Ints(v) => arguments.add(serde_json::to_string(&v)?),
    }
}

pub(crate) fn postgres_arguments(values: Vec<Value>) -> Result<PgArguments, Error> {
    let mut arguments = PgArguments::default();
    arguments.reserve(values.len(), values.len() * 16);
    for value in values {
        add_postgres(&mut arguments, &value).map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

fn add_postgres(
    arguments: &mut PgArguments,
    value: &Value,
) -> Result<(), sqlx::error::BoxDynError> {
    match value {
        Value::Null(kind) => match kind {
            Kind::Int => arguments.add(None::<i64>),
            Kind::Real => arguments.add(None::<f64>),
            Kind::Bool => arguments.add(None::<bool>),
            Kind::Text => arguments.add(None::<&str>),
            Kind::Bytes => arguments.add(None::<&[u8]>),
            Kind::Json => arguments.add(None::<Json<()>>),
        },
        Value::Int(v) => arguments.add(*v),
        Value::Real(v) => arguments.add(*v),
        Value::Bool(v) => arguments.add(*v),
        Value::Text(v) => arguments.add(v.as_str()),
        Value::Shared(v) => arguments.add(&**v),
        Value::Bytes(v) => arguments.add(&**v),
        Value::Json(v) => arguments.add(Json(v)),
        Value::Texts(v) => arguments.add(v.as_slice()),
        Value::Ints(v) => arguments.add(v.as_slice()),
    }
}
