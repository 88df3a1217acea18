//! A log that this process can serve: a name and the database that holds it. Trims
//! it by age.

use std::time::Duration;

use attune_api::time::now_ms;
use attune_rpc::{Slept, Tasks};
use attune_storage::{Database, KeepEntry};

/// The log of one service.
#[derive(Debug, Clone)]
pub struct LogSource {
    /// `profile`, `catalog`, …
    pub name: &'static str,
    pub database: Database,
    keep: KeepEntry,
}

const TRIM_INTERVAL: Duration = Duration::from_secs(60);

impl LogSource {
    pub fn new(name: &'static str, database: Database) -> Self {
        let keep: KeepEntry = |_| false;
        Self {
            name,
            database,
            keep,
        }
    }

    /// With entries that are never dropped, however old: readers that were away for long
    /// must not miss them.
    pub fn keeping(self, keep: KeepEntry) -> Self {
        Self { keep, ..self }
    }

    /// Drops entries that are older than `age`, until the tasks shut down.
    pub fn trim_older_than(&self, age: Duration, tasks: &Tasks) {
        let (source, tasks_of) = (self.clone(), tasks.clone());
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        tasks.spawn("log trimming", async move {
            loop {
                source.trim(now_ms().saturating_sub(age_ms)).await;
                if tasks_of.sleep(TRIM_INTERVAL).await == Slept::UntilStopped {
                    return;
                }
            }
        });
    }

    async fn trim(&self, before_ms: i64) {
        match self.database.log_trim(before_ms, self.keep).await {
            Ok(0) => {}
            Ok(entries) => tracing::info!(source = self.name, entries, "log trimmed"),
            Err(error) => tracing::warn!(
                source = self.name,
                error = &error as &dyn std::error::Error,
                "log not trimmed"
            ),
        }
    }
}
