//! The handle a service holds: plain reads from a pool, writes through group commit.
//! Opening it brings the schema up to date; closing it finishes what was queued.

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use sqlx::{PgPool, SqlitePool, postgres::PgPoolOptions, sqlite::SqlitePoolOptions};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Error, Migrations, Options, Row, Sql, Tx, Value,
    connection::Address,
    lane::{Job, Lane, Write},
    metrics::Metrics,
    migrations,
    row::Raw,
    sql::Dialect,
    upkeep::Upkeep,
    value::{postgres_arguments, sqlite_arguments},
};

/// One service's database. Cheap to clone; all clones share the queue of writes.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    address: Address,
    readers: Readers,
    writes: mpsc::Sender<Box<dyn Job>>,
    head: Arc<watch::Sender<i64>>,
    metrics: Arc<Metrics>,
    closing: CancellationToken,
    /// The one that writes, and what works beside it; ending in this order.
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

enum Readers {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.readers {
            Readers::Sqlite(_) => "Database(sqlite)",
            Readers::Postgres(_) => "Database(postgres)",
        })
    }
}

impl Database {
    /// Opens, or creates, the database at `sqlite:///path/file.db` or
    /// `postgres://…[?schema=name]` and applies what migrations are missing.
    pub async fn open(url: &str, migrations: &Migrations) -> Result<Self, Error> {
        Self::open_with(url, migrations, &Options::default()).await
    }

    pub async fn open_with(
        url: &str,
        migrations: &Migrations,
        options: &Options,
    ) -> Result<Self, Error> {
        let address = Address::parse(url)?;
        address.prepare().await?;
        let mut writer = address.connect().await?;
        migrations::run(&mut writer, *migrations).await?;

        let (writes, queue) = mpsc::channel(options.write_queue_max.max(1));
        let (head, _) = watch::channel(0);
        let head = Arc::new(head);
        let metrics = Arc::new(metrics_of(&address));
        let closing = CancellationToken::new();
        let readers = readers(&address, options.read_connections_max.max(1));
        let (upkeep, keeping) = Upkeep::spawn(&address);
        let lane = Lane {
            address: address.clone(),
            tx: Some(Tx::new(writer)),
            queue,
            closing: closing.clone(),
            head: Arc::clone(&head),
            metrics: Arc::clone(&metrics),
            upkeep,
            batch_max: options.write_batch_max.max(1),
        };
        let lane = tokio::spawn(lane.run());
        let database = Self(Arc::new(Inner {
            address,
            readers,
            writes,
            head,
            metrics,
            closing,
            tasks: Mutex::new(vec![lane, keeping]),
        }));
        let newest = database.log_head().await?;
        database.0.head.send_if_modified(|head| {
            *head < newest && {
                *head = newest;
                true
            }
        });
        Ok(database)
    }

    pub async fn fetch_all(
        &self,
        sql: impl Into<Sql>,
        args: Vec<Value>,
    ) -> Result<Vec<Row>, Error> {
        let sql = sql.into();
        if self.is_embedded() {
            return self.fetch(&sql, args).await;
        }
        match self.fetch(&sql, args.clone()).await {
            // A pooled connection may have broken while it was idle.
            Err(error) if error.is_connection_lost() && !self.is_closed() => {
                self.fetch(&sql, args).await
            }
            result => result,
        }
    }

    /// The first row, if there is one.
    pub async fn fetch_optional(
        &self,
        sql: impl Into<Sql>,
        args: Vec<Value>,
    ) -> Result<Option<Row>, Error> {
        Ok(self.fetch_all(sql, args).await?.into_iter().next())
    }

    async fn fetch(&self, sql: &Sql, args: Vec<Value>) -> Result<Vec<Row>, Error> {
        match &self.0.readers {
            Readers::Sqlite(pool) => {
                let arguments = sqlite_arguments(args)?;
                let query = sqlx::query_with(sql.text(Dialect::Sqlite), arguments);
                let rows = query.fetch_all(pool).await?;
                Ok(rows.into_iter().map(|r| Row(Raw::Sqlite(r))).collect())
            }
            Readers::Postgres(pool) => {
                let arguments = postgres_arguments(args)?;
                let query = sqlx::query_with(sql.text(Dialect::Postgres), arguments);
                let rows = query.fetch_all(pool).await?;
                Ok(rows.into_iter().map(|r| Row(Raw::Postgres(r))).collect())
            }
        }
    }

    /// Runs `body` in a transaction shared with other waiting writes and returns after
    /// the commit. `body` may run more than once, so it must have no effect outside
    /// `tx`. A statement that fails fails the write.
    pub async fn write<F, T, E>(&self, body: F) -> Result<T, E>
    where
        F: for<'a> Fn(&'a mut Tx) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.write_then(body, |_| {}).await
    }

    /// Like [`Database::write`], and calls `committed` after the commit and before
    /// returning, for all writes in the order of their commits: the place to bring
    /// memory up to date. It must be short and must not wait.
    pub async fn write_then<F, C, T, E>(&self, body: F, committed: C) -> Result<T, E>
    where
        F: for<'a> Fn(&'a mut Tx) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
        C: FnOnce(&T) + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (write, answer) = Write::new(body, committed);
        match self.0.writes.try_send(Box::new(write)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.0.metrics.refused();
                return Err(Error::Overloaded.into());
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Error::Closed.into()),
        }
        answer.await.unwrap_or_else(|_| Err(Error::Closed.into()))
    }

    pub(crate) fn address(&self) -> &Address {
        &self.0.address
    }

    pub(crate) fn head_receiver(&self) -> watch::Receiver<i64> {
        self.0.head.subscribe()
    }

    /// Whether other processes may write to it too.
    pub fn is_shared(&self) -> bool {
        !self.is_embedded()
    }

    /// True where this process alone writes to it, so that what it remembers stays true.
    pub fn is_embedded(&self) -> bool {
        matches!(self.0.readers, Readers::Sqlite(_))
    }

    fn is_closed(&self) -> bool {
        self.0.closing.is_cancelled()
    }

    /// Refuses new writes, commits those that are queued and closes all connections.
    pub async fn close(&self) {
        self.0.closing.cancel();
        let tasks = std::mem::take(&mut *self.0.tasks.lock());
        for task in tasks {
            // It ends by itself; a panic in it was logged where it happened.
            let _ = task.await;
        }
        match &self.0.readers {
            Readers::Sqlite(pool) => pool.close().await,
            Readers::Postgres(pool) => pool.close().await,
        }
    }
}

fn readers(address: &Address, connections_max: u32) -> Readers {
    match address {
        Address::Sqlite(options) => Readers::Sqlite(
            SqlitePoolOptions::new()
                .max_connections(connections_max)
                // A round trip per read, to ask a file whether it is still there.
                .test_before_acquire(false)
                .connect_lazy_with(options.as_ref().clone().pragma("query_only", "on")),
        ),
        Address::Postgres { options, .. } => Readers::Postgres(
            PgPoolOptions::new()
                .max_connections(connections_max)
                // `fetch_all` tries again instead, when a connection turns out broken.
                .test_before_acquire(false)
                .connect_lazy_with(options.as_ref().clone()),
        ),
    }
}

fn metrics_of(address: &Address) -> Metrics {
    match address {
        Address::Sqlite(options) => {
            let name = options.get_filename().file_stem();
            let name = name.map_or_else(String::new, |n| n.to_string_lossy().into_owned());
            Metrics::new("sqlite", name)
        }
        Address::Postgres { options, schema } => {
            let database = options.get_database().unwrap_or_default();
            let schema = schema.as_deref().unwrap_or("public");
            Metrics::new("postgresql", format!("{database}|{schema}"))
        }
    }
}
