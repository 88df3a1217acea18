//! Leaving nothing behind: what was deleted or overwritten is gone from the tables and
//! still in the files until the log is folded back, or everything is written anew. For
//! those who have to destroy data, not only hide it.

use std::time::Duration;

use crate::{Database, Error, args};

/// How often a checkpoint is tried while readers are in its way.
const TRIES_MAX: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

impl Database {
    /// Folds the write-ahead log into the database and empties it, so that what it held
    /// of deleted rows is gone. Deletions overwrite what they delete, so then the files
    /// hold nothing of it. False where readers were in the way all the time; PostgreSQL
    /// recycles its log by itself, and this does nothing.
    pub async fn empty_log_file(&self) -> Result<bool, Error> {
        if !self.is_embedded() {
            return Ok(true);
        }
        for _ in 0..TRIES_MAX {
            let row = self
                .fetch_optional("pragma wal_checkpoint(truncate)", args![])
                .await?;
            let is_busy: i64 = row.map_or(Ok(0), |row| row.get(0))?;
            if is_busy == 0 {
                return Ok(true);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(false)
    }

    /// Writes tables anew, so that no page keeps what was once in them: on SQLite the
    /// whole database, on PostgreSQL those named. Nobody else can use them meanwhile.
    pub async fn rewrite(&self, tables: &[&'static str]) -> Result<(), Error> {
        let mut connection = self.address().connect().await?;
        let mut done = Ok(());
        if self.is_embedded() {
            done = connection.run("vacuum").await;
        } else {
            for table in tables {
                let vacuum = crate::Sql::built(format!("vacuum full {table}"));
                done = done.and(connection.execute(&vacuum, args![]).await.map(drop));
            }
        }
        connection.close().await;
        done?;
        self.empty_log_file().await.map(drop)
    }
}
