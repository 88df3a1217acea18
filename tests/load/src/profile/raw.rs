//! The yardstick of taking events in: the rows that the service wrote, byte for byte,
//! inserted into tables of the same shape by the database's own driver, in batches of
//! the same size, each committed before the next. Knows of no service.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rusqlite::{Connection, params_from_iter, types::Value};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

/// Rows in one transaction: as many messages as the service puts in one.
pub const BATCH_ROWS: usize = 1_000;

/// An SQLite file of its own, set as the service sets its own.
pub struct Sqlite {
    connection: Connection,
    service: PathBuf,
}

impl Sqlite {
    /// With the service's events table and its indexes, and no rows.
    pub fn beside(service: &Path) -> Result<Self> {
        let connection = Connection::open(service.with_extension("raw.db"))?;
        connection.execute_batch(
            "pragma journal_mode = wal; pragma synchronous = full; \
             pragma wal_autocheckpoint = 8192; pragma cache_size = -32768; \
             pragma mmap_size = 268435456; pragma temp_store = memory;",
        )?;
        let theirs = Connection::open(service)?;
        let mut shape = theirs.prepare(
            "select sql from sqlite_master where tbl_name = 'events' and sql is not null \
             order by type desc",
        )?;
        for sql in shape.query_map([], |row| row.get::<_, String>(0))? {
            connection.execute_batch(&sql?)?;
        }
        Ok(Self {
            connection,
            service: service.to_owned(),
        })
    }

    /// Inserts what the service has beyond a sequence number; the time that took, and
    /// how many rows there were.
    pub fn insert_after(&mut self, sequence: i64) -> Result<(Duration, usize)> {
        let rows = self.rows_after(sequence)?;
        let width = rows.first().context("the service wrote no events")?.len();
        let marks = vec!["?"; width].join(", ");
        let sql = format!("insert into events values ({marks})");
        let begin = Instant::now();
        for batch in rows.chunks(BATCH_ROWS) {
            let transaction = self.connection.transaction()?;
            let mut insert = transaction.prepare_cached(&sql)?;
            for row in batch {
                insert.execute(params_from_iter(row))?;
            }
            drop(insert);
            transaction.commit()?;
        }
        Ok((begin.elapsed(), rows.len()))
    }

    fn rows_after(&self, sequence: i64) -> Result<Vec<Vec<Value>>> {
        let theirs = Connection::open(&self.service)?;
        let mut select =
            theirs.prepare("select * from events where sequence > ? order by sequence")?;
        let width = select.column_count();
        let rows =
            select.query_map([sequence], |row| (0..width).map(|at| row.get(at)).collect())?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// A schema of its own in the service's PostgreSQL.
pub struct Postgres {
    connection: PgConnection,
    /// Where the service's tables are.
    schema: String,
    columns: Vec<(String, String)>,
}

/// One column of many rows, as `unnest` takes it.
enum Column {
    Texts(Vec<Option<String>>),
    Ints(Vec<Option<i64>>),
    Bools(Vec<Option<bool>>),
    Bytes(Vec<Option<Vec<u8>>>),
}

impl Postgres {
    pub async fn beside(url: &str, schema: &str) -> Result<Self> {
        let mut connection = PgConnection::connect(url).await?;
        let create = format!(
            "create schema {schema}_raw; \
             create table {schema}_raw.events (like {schema}.events including all)"
        );
        sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&mut connection)
            .await?;
        let columns = sqlx::query(
            "select column_name::text, data_type::text from information_schema.columns \
             where table_schema = $1 and table_name = 'events' order by ordinal_position",
        )
        .bind(schema)
        .fetch_all(&mut connection)
        .await?;
        let columns = columns.iter().map(|row| (row.get(0), row.get(1))).collect();
        Ok(Self {
            connection,
            schema: schema.to_owned(),
            columns,
        })
    }

    pub async fn insert_after(&mut self, sequence: i64) -> Result<(Duration, usize)> {
        let batches = self.batches_after(sequence).await?;
        let arrays: Vec<_> = self
            .columns
            .iter()
            .zip(1..)
            .map(|((_, kind), at)| format!("${at}::{kind}[]"))
            .collect();
        let sql = format!(
            "insert into {}_raw.events select * from unnest({})",
            self.schema,
            arrays.join(", ")
        );
        let mut rows = 0;
        let begin = Instant::now();
        for batch in batches {
            let mut insert = sqlx::query(AssertSqlSafe(sql.as_str()));
            for column in batch {
                insert = match column {
                    Column::Texts(values) => insert.bind(values),
                    Column::Ints(values) => insert.bind(values),
                    Column::Bools(values) => insert.bind(values),
                    Column::Bytes(values) => insert.bind(values),
                };
            }
            let done = insert.execute(&mut self.connection).await?;
            rows += usize::try_from(done.rows_affected())?;
        }
        Ok((begin.elapsed(), rows))
    }

    async fn batches_after(&mut self, sequence: i64) -> Result<Vec<Vec<Column>>> {
        let select = format!(
            "select * from {}.events where sequence > $1 order by sequence",
            self.schema
        );
        let rows = sqlx::query(AssertSqlSafe(select))
            .bind(sequence)
            .fetch_all(&mut self.connection)
            .await?;
        rows.chunks(BATCH_ROWS)
            .map(|batch| {
                let columns = self.columns.iter().enumerate();
                columns
                    .map(|(at, (name, kind))| {
                        Ok(match kind.as_str() {
                            "text" => Column::Texts(batch.iter().map(|r| r.get(at)).collect()),
                            "bigint" => Column::Ints(batch.iter().map(|r| r.get(at)).collect()),
                            "boolean" => Column::Bools(batch.iter().map(|r| r.get(at)).collect()),
                            "bytea" => Column::Bytes(batch.iter().map(|r| r.get(at)).collect()),
                            other => bail!("column {name} is of type {other}"),
                        })
                    })
                    .collect()
            })
            .collect()
    }

    /// Takes away all that the run left, the service's schema too.
    pub async fn drop_all(mut self) -> Result<()> {
        let schema = &self.schema;
        let drop = format!("drop schema {schema} cascade; drop schema {schema}_raw cascade");
        sqlx::raw_sql(AssertSqlSafe(drop))
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }
}
