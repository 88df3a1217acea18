//! The service's log of what it changed: appended by writes, read by followers in
//! commit order, trimmed by age. Carries opaque bytes; what they mean is not known
//! here.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::{Database, Error, Insert, Kind, Tx, Value, args, connection::Connection};

/// Something that happened, to be appended by [`Tx::publish`].
#[derive(Debug, Clone)]
pub struct LogRecord {
    pub workspace: Arc<str>,
    /// What must stay in order: the profile's or item's id.
    pub key: String,
    pub entry: Bytes,
}

/// A record as it lies in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    pub position: i64,
    pub workspace: String,
    pub key: String,
    pub commit_ms: i64,
    pub entry: Bytes,
}

/// What [`Database::log_read`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBatch {
    /// In order of position.
    pub entries: Vec<StoredEntry>,
    /// The newest position in the log when this was read, or the last entry's if that
    /// is newer.
    pub head_position: i64,
}

pub(crate) const TABLE: &str = "log";

const APPEND: Insert = Insert {
    table: TABLE,
    columns: &[
        ("position", Kind::Int),
        ("workspace", Kind::Text),
        ("key", Kind::Text),
        ("commit_ms", Kind::Int),
        ("entry", Kind::Bytes),
    ],
    tail: "",
};

/// Called last in a transaction, so that the head is locked only while its
/// neighbours in the log are written and committed. Returns the new head.
pub(crate) async fn append(
    connection: &mut Connection,
    records: Vec<LogRecord>,
) -> Result<i64, Error> {
    const TAKE: &str =
        "update log_head set position = position + $1 where id = 1 returning position";
    let count = i64::try_from(records.len()).unwrap_or(i64::MAX);
    let taken = connection.fetch_all(&TAKE.into(), args![count]).await?;
    let head: i64 = match taken.first() {
        Some(row) => row.get(0)?,
        None => return Err(sqlx::Error::RowNotFound.into()),
    };
    let commit_ms = now_ms();
    let rows = records
        .into_iter()
        .zip(head - count + 1..)
        .map(|(record, position)| {
            vec![
                Value::Int(position),
                Value::Shared(record.workspace),
                Value::Text(record.key),
                Value::Int(commit_ms),
                Value::Bytes(record.entry),
            ]
        })
        .collect();
    APPEND.execute(connection, rows).await?;
    Ok(head)
}

fn now_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// Whether an entry is to be kept for good.
pub type KeepEntry = fn(&[u8]) -> bool;

impl Database {
    /// Entries after a position, oldest first; [`Error::Trimmed`] if some of them are
    /// no longer kept.
    pub async fn log_read(&self, after_position: i64, limit: u32) -> Result<LogBatch, Error> {
        let (batch, trimmed_position) = self.log_left(after_position, limit).await?;
        if after_position < trimmed_position {
            return Err(Error::Trimmed { trimmed_position });
        }
        Ok(batch)
    }

    /// The same of what is left, and up to where entries may have gone.
    pub async fn log_left(
        &self,
        after_position: i64,
        limit: u32,
    ) -> Result<(LogBatch, i64), Error> {
        const READ: &str = "select position, workspace, key, commit_ms, entry \
             from log where position > $1 order by position limit $2";
        // Entries first: what is trimmed between the two reads is then noticed.
        let rows = self.fetch_all(READ, args![after_position, limit]).await?;
        let (head, trimmed_position) = self.log_bounds().await?;
        let entries = rows
            .iter()
            .map(|row| {
                Ok(StoredEntry {
                    position: row.get(0)?,
                    workspace: row.get(1)?,
                    key: row.get(2)?,
                    commit_ms: row.get(3)?,
                    entry: row.get(4)?,
                })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let batch = LogBatch {
            entries,
            head_position: head,
        };
        Ok((batch, trimmed_position))
    }

    /// The newest position in the log; 0 if nothing was ever published.
    pub async fn log_head(&self) -> Result<i64, Error> {
        Ok(self.log_bounds().await?.0)
    }

    async fn log_bounds(&self) -> Result<(i64, i64), Error> {
        const BOUNDS: &str = "select position, trimmed_position from log_head where id = 1";
        match self.fetch_optional(BOUNDS, args![]).await? {
            Some(row) => Ok((row.get(0)?, row.get(1)?)),
            None => Err(sqlx::Error::RowNotFound.into()),
        }
    }

    /// Changes to the newest position that this process committed. Writers in other
    /// processes are not seen here.
    pub fn log_changes(&self) -> watch::Receiver<i64> {
        self.head_receiver()
    }

    /// Drops entries committed before a moment, but for those that are to be kept for
    /// good; some at a time, so that writers are not held up. Says how many went.
    pub async fn log_trim(&self, before_ms: i64, keep: KeepEntry) -> Result<u64, Error> {
        let mut trimmed = 0;
        loop {
            let step = self
                .write(move |tx: &mut Tx| Box::pin(trim_step(tx, before_ms, keep)))
                .await?;
            match step {
                Some(step) => trimmed += step,
                None => return Ok(trimmed),
            }
        }
    }

    /// How far `consumer` has come in the log of `source`; 0 if it never began.
    pub async fn position(&self, consumer: &str, source: &str) -> Result<i64, Error> {
        const POSITION: &str =
            "select position from consumer_positions where consumer = $1 and source = $2";
        let row = self
            .fetch_optional(POSITION, args![consumer, source])
            .await?;
        row.map_or(Ok(0), |row| row.get(0))
    }
}

/// None where nothing is old enough.
async fn trim_step(tx: &mut Tx, before_ms: i64, keep: KeepEntry) -> Result<Option<u64>, Error> {
    // By position and not by an index on time: the log is in the order of its times.
    const OLDEST: &str = "select position, commit_ms, entry from log \
         where position > (select trimmed_position from log_head where id = 1) \
         order by position limit 1000";
    const MARK: &str = "update log_head set trimmed_position = $1 where id = 1";
    const DROP: &str = "delete from log where position in list($1)";
    let rows = tx.fetch_all(OLDEST, args![]).await?;
    let (mut last, mut dropped) = (None, Vec::new());
    for row in &rows {
        let (position, commit_ms): (i64, i64) = (row.get(0)?, row.get(1)?);
        if commit_ms >= before_ms {
            break;
        }
        last = Some(position);
        if !keep(&row.get::<Bytes>(2)?) {
            dropped.push(position);
        }
    }
    let Some(last) = last else { return Ok(None) };
    tx.execute(MARK, args![last]).await?;
    tx.execute(DROP, args![dropped]).await.map(Some)
}
