//! What a database that grows needs now and then, done beside the writer so that no
//! commit waits for it: SQLite's write-ahead log is folded into the database, and
//! PostgreSQL's planner is told how large tables have become. Changes no row; where this
//! falls behind or fails, the database does it itself, later.

use rustc_hash::FxHashMap;
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    Error, Sql, args,
    connection::{Address, Connection},
};

/// Rows written between two checkpoints; some 32 MiB of log. The writer makes one itself
/// at `wal_autocheckpoint`, see `connection`.
const CHECKPOINT_ROWS: u64 = 16_384;

/// Rows inserted into a table since the start at which its statistics are renewed. Without
/// any, the planner takes a workspace for a small part of a table and reads all of it for
/// each list of keys; autovacuum looks once a minute, by when an import has suffered.
const ANALYZE_ROWS: [u64; 4] = [500, 5_000, 50_000, 500_000];

const WAITING_MAX: usize = 64;

/// What a transaction changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Also those of updates.
    pub(crate) rows: u64,
    pub(crate) inserted: Vec<(&'static str, u64)>,
}

#[derive(Debug, Clone, Copy)]
enum Work {
    Checkpoint,
    Analyze(&'static str),
}

/// What the writer holds of it. The task ends when this is dropped.
pub(crate) struct Upkeep {
    work: mpsc::Sender<Work>,
    is_sqlite: bool,
    rows: u64,
    inserted: FxHashMap<&'static str, u64>,
}

impl Upkeep {
    pub(crate) fn spawn(address: &Address) -> (Self, JoinHandle<()>) {
        let (work, queue) = mpsc::channel(WAITING_MAX);
        let task = tokio::spawn(run(address.clone(), queue));
        let upkeep = Self {
            work,
            is_sqlite: matches!(address, Address::Sqlite(_)),
            rows: 0,
            inserted: FxHashMap::default(),
        };
        (upkeep, task)
    }

    /// After a commit.
    pub(crate) fn committed(&mut self, changes: &Changes) {
        if self.is_sqlite {
            self.rows += changes.rows;
            if self.rows >= CHECKPOINT_ROWS {
                self.rows = 0;
                self.ask(Work::Checkpoint);
            }
            return;
        }
        for (table, rows) in &changes.inserted {
            let inserted = self.inserted.entry(table).or_default();
            let before = *inserted;
            *inserted += rows;
            let passed = before + 1..=*inserted;
            if ANALYZE_ROWS.iter().any(|at| passed.contains(at)) {
                self.ask(Work::Analyze(table));
            }
        }
    }

    fn ask(&self, work: Work) {
        // Where so much waits, the database is helped by less, not by more.
        let _ = self.work.try_send(work);
    }
}

async fn run(address: Address, mut queue: mpsc::Receiver<Work>) {
    let mut connection = None;
    while let Some(work) = queue.recv().await {
        if let Err(error) = done(&address, &mut connection, work).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                ?work,
                "the database's upkeep failed"
            );
        }
    }
    if let Some(connection) = connection {
        connection.close().await;
    }
}

async fn done(
    address: &Address,
    connection: &mut Option<Connection>,
    work: Work,
) -> Result<(), Error> {
    let mut opened = match connection.take() {
        Some(opened) => opened,
        None => address.connect().await?,
    };
    let sql = match work {
        Work::Checkpoint => Sql::from("pragma wal_checkpoint(passive)"),
        Work::Analyze(table) => Sql::built(format!("analyze {table}")),
    };
    // One that broke is not used again.
    opened.fetch_all(&sql, args![]).await?;
    *connection = Some(opened);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(is_sqlite: bool, commits: &[(&'static str, u64)]) -> Vec<String> {
        let (work, mut queue) = mpsc::channel(WAITING_MAX);
        let mut upkeep = Upkeep {
            work,
            is_sqlite,
            rows: 0,
            inserted: FxHashMap::default(),
        };
        for (table, rows) in commits {
            upkeep.committed(&Changes {
                rows: *rows,
                inserted: vec![(table, *rows)],
            });
        }
        std::iter::from_fn(|| queue.try_recv().ok())
            .map(|work| format!("{work:?}"))
            .collect()
    }

    #[test]
    fn work_is_asked_for_as_tables_grow_and_not_with_every_commit() {
        let grown = [("a", 499), ("a", 1), ("b", 10), ("a", 4_499), ("b", 60_000)];
        let analyzed = ["a", "b"].map(|table| format!("Analyze({table:?})"));
        assert_eq!(asked(false, &grown), analyzed);
        assert_eq!(asked(false, &[("a", 500), ("a", 4_500)]).len(), 2);
        assert_eq!(asked(true, &grown), ["Checkpoint"]);
        assert_eq!(asked(true, &grown[..4]), Vec::<String>::new());
    }
}
