//! Bulk insert: many rows with few round trips and few distinct statement texts.
//! PostgreSQL unnests one array per column; SQLite takes rows of parameters in
//! blocks of fixed sizes, so that the statements stay prepared.

use sqlx::{Arguments as _, postgres::PgArguments};

use crate::{Error, Row, Sql, Value, connection::Connection, row::Raw, sql::Dialect, value::Kind};

/// An insert of many rows. A `const` beside its caller:
/// `Insert { table: "events", columns: &[("workspace", Kind::Text), …], tail: "on conflict do nothing" }`.
#[derive(Debug, Clone, Copy)]
pub struct Insert {
    pub table: &'static str,
    pub columns: &'static [(&'static str, Kind)],
    /// `on conflict …` and `returning …`, or empty.
    pub tail: &'static str,
}

/// Rows per statement on SQLite. Few sizes, so few statements to prepare.
const BLOCKS: [usize; 4] = [256, 32, 4, 1];
/// Rows per statement on PostgreSQL.
const ROWS_MAX: usize = 10_000;
/// SQLite takes 32,766 parameters in a statement.
const PARAMETERS_MAX: usize = 32_766;

impl Insert {
    pub(crate) async fn execute(
        &self,
        connection: &mut Connection,
        rows: Vec<Vec<Value>>,
    ) -> Result<u64, Error> {
        self.check(&rows)?;
        let mut changed = 0;
        match connection {
            Connection::Sqlite(_) => {
                for (sql, values) in self.sqlite_blocks(rows) {
                    changed += connection.execute(&sql, values).await?;
                }
            }
            Connection::Postgres(c) => {
                let sql = self.postgres_text();
                for rows in chunks(rows, ROWS_MAX) {
                    let arguments = self.postgres_arguments(rows)?;
                    let query = sqlx::query_with(sql.text(Dialect::Postgres), arguments);
                    changed += query.execute(&mut *c).await?.rows_affected();
                }
            }
        }
        Ok(changed)
    }

    pub(crate) async fn fetch_all(
        &self,
        connection: &mut Connection,
        rows: Vec<Vec<Value>>,
    ) -> Result<Vec<Row>, Error> {
        self.check(&rows)?;
        let mut returned = Vec::new();
        match connection {
            Connection::Sqlite(_) => {
                for (sql, values) in self.sqlite_blocks(rows) {
                    returned.extend(connection.fetch_all(&sql, values).await?);
                }
            }
            Connection::Postgres(c) => {
                let sql = self.postgres_text();
                for rows in chunks(rows, ROWS_MAX) {
                    let arguments = self.postgres_arguments(rows)?;
                    let query = sqlx::query_with(sql.text(Dialect::Postgres), arguments);
                    let rows = query.fetch_all(&mut *c).await?;
                    returned.extend(rows.into_iter().map(|row| Row(Raw::Postgres(row))));
                }
            }
        }
        Ok(returned)
    }

    fn check(&self, rows: &[Vec<Value>]) -> Result<(), Error> {
        let width = self.columns.len();
        if width > 0 && rows.iter().all(|row| row.len() == width) {
            return Ok(());
        }
        let fault = format!("every row for {} must have {width} values", self.table);
        Err(sqlx::Error::Encode(fault.into()).into())
    }

    fn head(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|(name, _)| *name).collect();
        format!("insert into {} ({}) ", self.table, names.join(", "))
    }

    fn sqlite_blocks(&self, rows: Vec<Vec<Value>>) -> Vec<(Sql, Vec<Value>)> {
        let width = self.columns.len();
        let mut statements = Vec::new();
        let mut rows = rows.into_iter();
        for block in BLOCKS {
            if block > 1 && block * width > PARAMETERS_MAX || rows.len() < block {
                continue;
            }
            let sql = Sql::built(self.sqlite_text(block));
            while rows.len() >= block {
                let values = rows.by_ref().take(block).flatten().collect();
                statements.push((sql.clone(), values));
            }
        }
        statements
    }

    fn sqlite_text(&self, rows: usize) -> String {
        let width = self.columns.len();
        let mut text = self.head();
        if self.tail.is_empty() {
            // A failure ends the whole transaction anyway; without this, SQLite copies
            // each page that a statement of many rows changes, to undo it alone.
            text.insert_str("insert ".len(), "or fail ");
        }
        text.push_str("values ");
        for row in 0..rows {
            text.push_str(if row == 0 { "(" } else { ", (" });
            for column in 0..width {
                // Without a number: SQLite keeps numbered parameters as names, in a list
                // that it searches for each of them, and thousands of them took more
                // time than the insert.
                text.push_str(if column == 0 { "?" } else { ", ?" });
            }
            text.push(')');
        }
        text.push(' ');
        text.push_str(self.tail);
        text
    }

    fn postgres_text(&self) -> Sql {
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (index, (_, kind)) in self.columns.iter().enumerate() {
            let element = match kind {
                Kind::Int => "bigint",
                Kind::Real => "double precision",
                Kind::Bool => "boolean",
                Kind::Text => "text",
                Kind::Bytes => "bytea",
                Kind::Json => "jsonb",
            };
            arrays.push(format!("${}::{element}[]", index + 1));
        }
        let (head, arrays) = (self.head(), arrays.join(", "));
        // `where true`, since `on` after a bare `from` could begin a join.
        Sql::built(format!(
            "{head}select * from unnest({arrays}) where true {}",
            self.tail
        ))
    }

    fn postgres_arguments(&self, rows: Vec<Vec<Value>>) -> Result<PgArguments, Error> {
        let mut arguments = PgArguments::default();
        for (index, (name, kind)) in self.columns.iter().enumerate() {
            let column = rows.iter().map(|row| &row[index]);
            let added = match kind {
                Kind::Int => add(&mut arguments, column, |v| match v {
                    Value::Int(v) => Some(*v),
                    _ => None,
                }),
                Kind::Real => add(&mut arguments, column, |v| match v {
                    Value::Real(v) => Some(*v),
                    Value::Int(v) => Some(*v as f64),
                    _ => None,
                }),
                Kind::Bool => add(&mut arguments, column, |v| match v {
                    Value::Bool(v) => Some(*v),
                    _ => None,
                }),
                Kind::Text => add(&mut arguments, column, Value::as_str),
                Kind::Bytes => add(&mut arguments, column, |v| match v {
                    Value::Bytes(v) => Some(&**v),
                    _ => None,
                }),
                Kind::Json => add(&mut arguments, column, |v| match v {
                    Value::Json(v) => Some(sqlx::types::Json(v)),
                    _ => None,
                }),
            };
            if !added {
                let fault = format!("column {name} has values that are not {kind:?}");
                return Err(sqlx::Error::Encode(fault.into()).into());
            }
        }
        Ok(arguments)
    }
}

/// False if a value is not of the column's kind.
fn add<'r, T>(
    arguments: &mut PgArguments,
    column: impl Iterator<Item = &'r Value>,
    read: impl Fn(&'r Value) -> Option<T>,
) -> bool
where
    Vec<Option<T>>: sqlx::Encode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    let values: Option<Vec<Option<T>>> = column
        .map(|value| match value {
            Value::Null(_) => Some(None),
            value => read(value).map(Some),
        })
        .collect();
    values.is_some_and(|values| arguments.add(values).is_ok())
}

fn chunks(rows: Vec<Vec<Value>>, size: usize) -> impl Iterator<Item = Vec<Vec<Value>>> {
    let mut rows = rows.into_iter();
    std::iter::from_fn(move || {
        let chunk: Vec<_> = rows.by_ref().take(size).collect();
        (!chunk.is_empty()).then_some(chunk)
    })
}
