//! One connection to either database, and how each is opened. The only place, with
//! `row` and `value`, that names the drivers.

use std::{path::Path, time::Duration};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, SqlSafeStr as _,
    SqliteConnection,
    postgres::PgConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::{
    Error, Sql, Value,
    row::{Raw, Row},
    sql::Dialect,
    value::{postgres_arguments, sqlite_arguments},
};

/// Distinct statements per connection that stay prepared.
const STATEMENTS_PREPARED_MAX: usize = 512;
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a database is and with which settings it is opened.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    Sqlite(Box<SqliteConnectOptions>),
    Postgres {
        options: Box<PgConnectOptions>,
        schema: Option<String>,
    },
}

pub(crate) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Address {
    /// Reads `sqlite:///path/file.db` or `postgres://…[?schema=name]`.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        if let Some(path) = url.strip_prefix("sqlite://") {
            return sqlite(Path::new(path));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return postgres(url);
        }
        // The address itself may hold a password and is not repeated.
        Err(Error::Url(
            "it starts with neither sqlite:// nor postgres://".into(),
        ))
    }

    pub(crate) async fn connect(&self) -> Result<Connection, Error> {
        Ok(match self {
            Self::Sqlite(options) => Connection::Sqlite(options.connect().await?),
            Self::Postgres { options, .. } => Connection::Postgres(options.connect().await?),
        })
    }

    /// Makes what must exist before the schema can: the folder, or the schema.
    pub(crate) async fn prepare(&self) -> Result<(), Error> {
        match self {
            Self::Sqlite(options) => {
                let folder = options.get_filename().parent().unwrap_or(Path::new("."));
                std::fs::create_dir_all(folder).map_err(sqlx::Error::Io)?;
            }
            Self::Postgres {
                options,
                schema: Some(schema),
            } => {
                let mut connection = options.connect().await?;
                // The lock, because two processes that create the same schema at once
                // both fail with a unique violation in spite of `if not exists`.
                // The name was checked to be a plain identifier.
                let create = format!(
                    "select pg_advisory_lock(7700); create schema if not exists {schema}; select pg_advisory_unlock(7700)"
                );
                sqlx::raw_sql(AssertSqlSafe(create))
                    .execute(&mut connection)
                    .await?;
                connection.close().await?;
            }
            Self::Postgres { schema: None, .. } => {}
        }
        Ok(())
    }
}

fn sqlite(path: &Path) -> Result<Address, Error> {
    if path.as_os_str().is_empty() {
        return Err(Error::Url("sqlite:// needs a path".into()));
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // Full, because in WAL mode Normal loses acknowledged commits with the power.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(STATEMENTS_PREPARED_MAX)
        // Pages of 4 KiB, so 128 MiB: by then the log was folded into the database beside
        // the writer, but for its end, and this begins it anew.
        .pragma("wal_autocheckpoint", "32768")
        .pragma("journal_size_limit", "67108864")
        .pragma("cache_size", "-32768")
        .pragma("mmap_size", "268435456")
        // What is deleted is overwritten: it may be a person's, or their key.
        .pragma("secure_delete", "on")
        .pragma("temp_store", "memory")
        .disable_statement_logging();
    Ok(Address::Sqlite(Box::new(options)))
}

/// Takes `schema=` out of the address, since it is ours and not the driver's.
fn postgres(url: &str) -> Result<Address, Error> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (schema, others): (Vec<_>, Vec<_>) = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .partition(|pair| pair.starts_with("schema="));
    let schema = schema
        .first()
        .map(|pair| pair["schema=".len()..].to_owned());
    if let Some(schema) = &schema {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let starts_well = schema.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        if !starts_well || !schema.chars().all(plain) || schema.len() > 63 {
            return Err(Error::Url(
                "schema must be lower-case letters, digits and underscores".into(),
            ));
        }
    }
    let url = if others.is_empty() {
        base.to_owned()
    } else {
        format!("{base}?{}", others.join("&"))
    };
    let mut options: PgConnectOptions = url
        .parse()
        .map_err(|_| Error::Url("it is not a valid postgres:// address".into()))?;
    options = options
        .application_name("attune")
        .statement_cache_capacity(STATEMENTS_PREPARED_MAX)
        .disable_statement_logging()
        // A plan kept from when a table was small goes on scanning it as it grows.
        .options([("plan_cache_mode", "force_custom_plan")]);
    if let Some(schema) = &schema {
        options = options.options([("search_path", schema)]);
    }
    Ok(Address::Postgres {
        options: Box::new(options),
        schema,
    })
}

impl Connection {
    pub(crate) async fn execute(&mut self, sql: &Sql, values: Vec<Value>) -> Result<u64, Error> {
        match self {
            Self::Sqlite(c) => {
                let arguments = sqlite_arguments(values)?;
                let query = sqlx::query_with(sql.text(Dialect::Sqlite), arguments);
                Ok(query.execute(c).await?.rows_affected())
            }
            Self::Postgres(c) => {
                let arguments = postgres_arguments(values)?;
                let query = sqlx::query_with(sql.text(Dialect::Postgres), arguments);
                Ok(query.execute(c).await?.rows_affected())
            }
        }
    }

    pub(crate) async fn fetch_all(
        &mut self,
        sql: &Sql,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, Error> {
        match self {
            Self::Sqlite(c) => {
                let arguments = sqlite_arguments(values)?;
                let query = sqlx::query_with(sql.text(Dialect::Sqlite), arguments);
                let rows = query.fetch_all(c).await?;
                Ok(rows.into_iter().map(|r| Row(Raw::Sqlite(r))).collect())
            }
            Self::Postgres(c) => {
                let arguments = postgres_arguments(values)?;
                let query = sqlx::query_with(sql.text(Dialect::Postgres), arguments);
                let rows = query.fetch_all(c).await?;
                Ok(rows.into_iter().map(|r| Row(Raw::Postgres(r))).collect())
            }
        }
    }

    pub(crate) async fn begin(&mut self) -> Result<(), Error> {
        match self {
            // Immediate, because SQLite cannot upgrade a read lock without risking BUSY.
            Self::Sqlite(_) => self.run("begin immediate").await,
            Self::Postgres(_) => self.run("begin").await,
        }
    }

    pub(crate) async fn commit(&mut self) -> Result<(), Error> {
        self.run("commit").await
    }

    pub(crate) async fn rollback(&mut self) -> Result<(), Error> {
        self.run("rollback").await
    }

    /// A statement without parameters or rows.
    pub(crate) async fn run(&mut self, sql: &'static str) -> Result<(), Error> {
        let sql = sql.into_sql_str();
        match self {
            Self::Sqlite(c) => sqlx::raw_sql(sql).execute(c).await.map(drop)?,
            Self::Postgres(c) => sqlx::raw_sql(sql).execute(c).await.map(drop)?,
        }
        Ok(())
    }

    pub(crate) async fn close(self) {
        // Nothing is open on it; a failure to say goodbye changes nothing.
        let _ = match self {
            Self::Sqlite(c) => c.close().await,
            Self::Postgres(c) => c.close().await,
        };
    }
}
