//! A service's own database: SQLite embedded, or a schema in PostgreSQL, behind one
//! handle and one SQL text. Owns pools, migrations, group commit, the outbox and the
//! store of edited resources. Knows nothing of any service's tables.
//!
//! SQL is written once, with `$1` placeholders, types that both databases read
//! (`text`, `bigint`, `double precision`, `boolean`, `bytea`, `jsonb`), and
//! `in list($1)` where a parameter is a list.

mod batcher;
mod config;
mod connection;
mod database;
mod error;
mod insert;
mod lane;
mod log;
mod metrics;
mod migrations;
pub mod resources;
mod row;
mod scrub;
mod sql;
mod tx;
mod upkeep;
mod value;

pub use batcher::{Batcher, BatcherOptions};
pub use config::{Config, Options};
pub use database::Database;
pub use error::Error;
pub use insert::Insert;
pub use log::{KeepEntry, LogBatch, LogRecord, StoredEntry};
pub use migrations::Migrations;
pub use row::{Cell, FromColumn, Row};
pub use sql::Sql;
pub use tx::Tx;
pub use value::{Kind, Nullable, Value};

/// The parameters of one statement: `args![workspace, id, Some(3_i64)]`.
#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::Value::from($value)),*] };
}

/// A service's migrations, embedded, in order: `migrations!["0001_profiles.sql"]`
/// reads `migrations/0001_profiles.sql` of the calling crate. Applied files are
/// never edited.
#[macro_export]
macro_rules! migrations {
    ($($file:literal),* $(,)?) => {
        $crate::Migrations::new(&[$((
            $file,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/", $file)),
        )),*])
    };
}
