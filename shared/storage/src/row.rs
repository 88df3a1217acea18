//! Rows as both databases give them. Reads a column as what the caller asks for, or
//! says what it is instead; never guesses.

use std::sync::Arc;

use bytes::Bytes;
use sqlx::{
    Decode, Postgres, Row as _, Sqlite, TypeInfo as _, ValueRef as _,
    postgres::{PgRow, PgValueRef},
    sqlite::{SqliteRow, SqliteValueRef},
};

use crate::Error;

/// One row of an answer.
#[derive(Debug)]
pub struct Row(pub(crate) Raw);

pub(crate) enum Raw {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Rows hold personal data, which must not reach a log by way of `{:?}`.
        f.write_str("Row")
    }
}

/// A column's content, borrowed from its row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'r> {
    Null,
    Int(i64),
    Real(f64),
    Bool(bool),
    Text(&'r str),
    Bytes(&'r [u8]),
    Json(&'r [u8]),
}

/// What a column can be read as. Newtypes of ids implement it by way of the type
/// they wrap.
pub trait FromColumn: Sized {
    /// How an error names it.
    const EXPECTED: &'static str;
    /// None if the content is something else.
    fn from_cell(cell: Cell<'_>) -> Option<Self>;
}

impl Row {
    /// The column at `index`, counted from 0.
    pub fn get<T: FromColumn>(&self, index: usize) -> Result<T, Error> {
        let cell = self.cell(index)?;
        T::from_cell(cell).ok_or_else(|| Error::Column {
            index,
            expected: T::EXPECTED,
            found: kind_of(cell).to_owned(),
        })
    }

    fn cell(&self, index: usize) -> Result<Cell<'_>, Error> {
        match &self.0 {
            Raw::Sqlite(row) => sqlite_cell(index, row.try_get_raw(index)?),
            Raw::Postgres(row) => postgres_cell(index, row.try_get_raw(index)?),
        }
    }
}

fn kind_of(cell: Cell<'_>) -> &'static str {
    match cell {
        Cell::Null => "null",
        Cell::Int(_) => "an integer",
        Cell::Real(_) => "a real number",
        Cell::Bool(_) => "a boolean",
        Cell::Text(_) => "text",
        Cell::Bytes(_) => "bytes",
        Cell::Json(_) => "json",
    }
}

fn sqlite_cell(index: usize, value: SqliteValueRef<'_>) -> Result<Cell<'_>, Error> {
    if value.is_null() {
        return Ok(Cell::Null);
    }
    let kind = value.type_info().into_owned();
    match kind.name() {
        "INTEGER" | "BOOLEAN" => read::<i64, Sqlite>(value).map(Cell::Int),
        "REAL" => read::<f64, Sqlite>(value).map(Cell::Real),
        "TEXT" => read::<&str, Sqlite>(value).map(Cell::Text),
        "BLOB" => read::<&[u8], Sqlite>(value).map(Cell::Bytes),
        other => Err(unsupported(index, other)),
    }
}

// PostgreSQL's own numbers for its built-in types.
const BOOL: u32 = 16;
const BYTEA: u32 = 17;
const NAME: u32 = 19;
const INT8: u32 = 20;
const INT2: u32 = 21;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const JSON: u32 = 114;
const FLOAT4: u32 = 700;
const FLOAT8: u32 = 701;
const UNKNOWN: u32 = 705;
const BPCHAR: u32 = 1042;
const VARCHAR: u32 = 1043;
const NUMERIC: u32 = 1700;
const JSONB: u32 = 3802;

fn postgres_cell(index: usize, value: PgValueRef<'_>) -> Result<Cell<'_>, Error> {
    if value.is_null() {
        return Ok(Cell::Null);
    }
    let info = value.type_info().into_owned();
    let undecodable = |e| Error::from(sqlx::Error::Decode(e));
    match info.oid().map_or(0, |oid| oid.0) {
        INT8 => read::<i64, Postgres>(value).map(Cell::Int),
        INT4 => read::<i32, Postgres>(value).map(|v| Cell::Int(v.into())),
        INT2 => read::<i16, Postgres>(value).map(|v| Cell::Int(v.into())),
        FLOAT8 => read::<f64, Postgres>(value).map(Cell::Real),
        FLOAT4 => read::<f32, Postgres>(value).map(|v| Cell::Real(v.into())),
        BOOL => read::<bool, Postgres>(value).map(Cell::Bool),
        BYTEA => read::<&[u8], Postgres>(value).map(Cell::Bytes),
        TEXT | VARCHAR | BPCHAR | NAME | UNKNOWN => {
            value.as_str().map(Cell::Text).map_err(undecodable)
        }
        JSON => value.as_bytes().map(Cell::Json).map_err(undecodable),
        // The first byte is the version of the encoding.
        JSONB => value
            .as_bytes()
            .map(|bytes| Cell::Json(bytes.get(1..).unwrap_or_default()))
            .map_err(undecodable),
        NUMERIC => value.as_bytes().map(numeric).map_err(undecodable),
        _ => Err(unsupported(index, info.name())),
    }
}

fn read<'r, T, D>(value: <D as sqlx::Database>::ValueRef<'r>) -> Result<T, Error>
where
    D: sqlx::Database,
    T: Decode<'r, D>,
{
    T::decode(value).map_err(|e| sqlx::Error::Decode(e).into())
}

fn unsupported(index: usize, found: &str) -> Error {
    Error::Column {
        index,
        expected: "a type that both databases have",
        found: found.to_owned(),
    }
}

/// `sum` over `bigint` is NUMERIC on PostgreSQL and an integer on SQLite; without
/// this every such query would need a cast. Whole numbers come out as integers.
fn numeric(bytes: &[u8]) -> Cell<'static> {
    let word = |i: usize| {
        bytes
            .get(i * 2..i * 2 + 2)
            .map_or(0, |b| i16::from_be_bytes([b[0], b[1]]))
    };
    let (digits, weight, negative) = (word(0), word(1), word(2) == 0x4000);
    let digit = |i: i16| -> i64 {
        if (0..digits).contains(&i) {
            word(4 + usize::try_from(i).unwrap_or(0)).into()
        } else {
            0
        }
    };
    let whole = (0..=weight).try_fold(0_i64, |sum, i| {
        sum.checked_mul(10_000)?.checked_add(digit(i))
    });
    if let (Some(whole), true) = (whole, digits <= weight + 1) {
        return Cell::Int(if negative { -whole } else { whole });
    }
    let magnitude: f64 = (0..digits)
        .map(|i| digit(i) as f64 * 10_000_f64.powi(i32::from(weight) - i32::from(i)))
        .sum();
    Cell::Real(if negative { -magnitude } else { magnitude })
}

macro_rules! from_cell {
    ($($type:ty, $expected:literal, $($cell:pat => $make:expr),+;)*) => {$(
        impl FromColumn for $type {
            const EXPECTED: &'static str = $expected;
            fn from_cell(cell: Cell<'_>) -> Option<Self> {
                match cell {
                    $($cell => $make,)+
                    _ => None,
                }
            }
        }
    )*};
}
from_cell! {
    i64, "an integer", Cell::Int(v) => Some(v);
    i32, "an integer of 32 bits", Cell::Int(v) => v.try_into().ok();
    u32, "an unsigned integer of 32 bits", Cell::Int(v) => v.try_into().ok();
    f64, "a number", Cell::Real(v) => Some(v), Cell::Int(v) => Some(v as f64);
    bool, "a boolean", Cell::Bool(v) => Some(v), Cell::Int(v) => Some(v != 0);
    String, "text", Cell::Text(v) => Some(v.to_owned());
    Arc<str>, "text", Cell::Text(v) => Some(v.into());
    Vec<u8>, "bytes", Cell::Bytes(v) => Some(v.to_vec());
    Bytes, "bytes", Cell::Bytes(v) => Some(Bytes::copy_from_slice(v));
    serde_json::Value, "json",
        Cell::Json(v) => serde_json::from_slice(v).ok(),
        Cell::Text(v) => serde_json::from_str(v).ok(),
        // SQLite turns JSON that is a bare number into a number.
        Cell::Int(v) => Some(v.into()),
        Cell::Real(v) => Some(v.into());
}

impl<T: FromColumn> FromColumn for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Null => Some(None),
            cell => T::from_cell(cell).map(Some),
        }
    }
}
