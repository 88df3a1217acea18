//! What is personal, and where to look for it: in every column of every table of a
//! database, and in its files.

#![allow(dead_code)] // Each test binary uses its own part of it.

use std::path::PathBuf;

use attune_storage::{Database, Sql, args};
use attune_testkit::TestDatabase;

/// Everything personal that tests of privacy send.
pub const PERSONAL: [&str; 12] = [
    "ann-the-user",
    "ann@example.org",
    "+436641234567",
    "Annabel",
    "Quellenhof",
    "left-handed scissors",
    "203.0.113.77",
    "message-of-ann",
    "Mozilla/5.0",
    "browser-of-ann",
    "annual-club",
    "favourite-colour-teal",
];

/// Where a database of SQLite lies.
pub fn folder_of(database: &TestDatabase) -> PathBuf {
    let path = database.url().trim_start_matches("sqlite://");
    PathBuf::from(path).parent().unwrap().to_owned()
}

/// Table, column and type of every column of every table.
pub async fn columns(database: &Database, system: &str) -> Vec<(String, String, String)> {
    const SQLITE: &str = "select m.name, c.name, lower(c.type) from sqlite_master m, \
         pragma_table_info(m.name) c where m.type = 'table' order by m.name, c.cid";
    const POSTGRES: &str = "select table_name::text, column_name::text, data_type::text \
         from information_schema.columns where table_schema = current_schema() \
         order by table_name, ordinal_position";
    let sql = if system == "sqlite" { SQLITE } else { POSTGRES };
    let rows = database.fetch_all(sql, args![]).await.unwrap();
    rows.iter()
        .map(|row| {
            (
                row.get(0).unwrap(),
                row.get(1).unwrap(),
                row.get(2).unwrap(),
            )
        })
        .collect()
}

/// Columns that hold the value, within whatever else they hold.
pub async fn found_in_tables(database: &Database, system: &str, value: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (table, column, kind) in columns(database, system).await {
        let held = match (system, kind.as_str()) {
            ("sqlite", _) => format!("instr(cast({column} as blob), cast($1 as blob)) > 0"),
            (_, "bytea") => format!("position(convert_to($1, 'UTF8') in {column}) > 0"),
            _ => format!("position($1 in {column}::text) > 0"),
        };
        let sql = format!("select count(*) from {table} where {held}");
        let rows = database
            .fetch_all(Sql::built(sql), args![value])
            .await
            .unwrap();
        if rows[0].get::<i64>(0).unwrap() > 0 {
            found.push(format!("{table}.{column}"));
        }
    }
    found
}
