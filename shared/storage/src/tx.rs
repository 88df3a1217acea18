//! What a write may do inside its transaction. Statements run one after the other;
//! a statement that failed fails the whole write, whatever its code returns.

use crate::{
    Error, Insert, LogRecord, Row, Sql, Value, connection::Connection, log, upkeep::Changes,
};

/// A transaction, shared by the writes of one batch. Handed to the closure of
/// [`crate::Database::write`].
pub struct Tx {
    connection: Connection,
    published: Vec<LogRecord>,
    failure: Option<Error>,
    changes: Changes,
}

impl Tx {
    pub(crate) fn new(connection: Connection) -> Self {
        Self {
            connection,
            published: Vec::new(),
            failure: None,
            changes: Changes::default(),
        }
    }

    /// Runs a statement and says how many rows it changed.
    pub async fn execute(&mut self, sql: impl Into<Sql>, args: Vec<Value>) -> Result<u64, Error> {
        let done = self.connection.execute(&sql.into(), args).await;
        self.changes.rows += done.as_ref().copied().unwrap_or(0);
        self.note(done)
    }

    pub async fn fetch_all(
        &mut self,
        sql: impl Into<Sql>,
        args: Vec<Value>,
    ) -> Result<Vec<Row>, Error> {
        let rows = self.connection.fetch_all(&sql.into(), args).await;
        self.note(rows)
    }

    /// The first row, if there is one.
    pub async fn fetch_optional(
        &mut self,
        sql: impl Into<Sql>,
        args: Vec<Value>,
    ) -> Result<Option<Row>, Error> {
        let rows = self.fetch_all(sql, args).await?;
        Ok(rows.into_iter().next())
    }

    /// Inserts many rows with few statements and says how many were changed. With
    /// `do update`, no two rows may have the same key.
    pub async fn insert_many(
        &mut self,
        insert: &Insert,
        rows: Vec<Vec<Value>>,
    ) -> Result<u64, Error> {
        let changed = insert.execute(&mut self.connection, rows).await;
        self.inserted(insert.table, changed.as_ref().copied().unwrap_or(0));
        self.note(changed)
    }

    /// Like [`Tx::insert_many`], for an insert whose tail ends in `returning …`.
    pub async fn insert_many_returning(
        &mut self,
        insert: &Insert,
        rows: Vec<Vec<Value>>,
    ) -> Result<Vec<Row>, Error> {
        let returned = insert.fetch_all(&mut self.connection, rows).await;
        self.note(returned)
    }

    /// Appends to the service's log, committed together with the rest of this write.
    /// It gets its position just before the commit, in the order of publishing.
    pub async fn publish(&mut self, record: LogRecord) -> Result<(), Error> {
        self.published.push(record);
        Ok(())
    }

    /// Remembers how far `consumer` has come in the log of `source`, together with
    /// the effects of what it read.
    pub async fn set_position(
        &mut self,
        consumer: &str,
        source: &str,
        position: i64,
    ) -> Result<(), Error> {
        const SET: &str = "insert into consumer_positions (consumer, source, position) \
             values ($1, $2, $3) \
             on conflict (consumer, source) do update set position = excluded.position";
        self.execute(SET, crate::args![consumer, source, position])
            .await
            .map(drop)
    }

    fn note<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &result {
            self.failure.get_or_insert_with(|| error.clone());
        }
        result
    }

    /// What was changed since `begin`, the log included; about, since rows that come back
    /// to the caller are not counted.
    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    fn inserted(&mut self, table: &'static str, rows: u64) {
        self.changes.rows += rows;
        self.changes.inserted.push((table, rows));
    }

    /// The first statement that failed. PostgreSQL would turn the commit after it
    /// into a rollback without saying so.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }

    pub(crate) async fn begin(&mut self) -> Result<(), Error> {
        self.published.clear();
        self.failure = None;
        self.changes = Changes::default();
        self.connection.begin().await
    }

    /// Gives the published records their positions. Returns the log's new head.
    pub(crate) async fn append_published(&mut self) -> Result<Option<i64>, Error> {
        if self.published.is_empty() {
            return Ok(None);
        }
        let records = std::mem::take(&mut self.published);
        self.inserted(log::TABLE, records.len() as u64);
        log::append(&mut self.connection, records).await.map(Some)
    }

    pub(crate) async fn commit(&mut self) -> Result<(), Error> {
        self.connection.commit().await
    }

    pub(crate) async fn rollback(&mut self) -> Result<(), Error> {
        self.published.clear();
        self.connection.rollback().await
    }

    pub(crate) async fn close(self) {
        self.connection.close().await;
    }
}
