//! Histories in use: the columns of people about whom windowed questions are asked, held
//! from one write to the next so that an event is added to them and not looked for again.
//! Bounded by weight. Only whose turn it is to write takes them and gives them back, and
//! a write that fails gives nothing back; of whom another process wrote in between, they
//! are forgotten. The timeline is the truth.

use std::sync::Arc;

use attune_expr::Aggregate;
use parking_lot::RwLock;
use quick_cache::{Weighter, sync::Cache};
use rustc_hash::FxHashMap;

use crate::{
    domain::windows::{Column, ColumnKind, Windows},
    memory::Key,
};

/// What an entry takes besides its columns: key, value, slot and table.
const ENTRY_BYTES: u64 = 128;

/// Questions whose columns are known; all are forgotten when there are more.
const QUESTIONS_MAX: usize = 100_000;

#[derive(Debug, Clone, Copy)]
struct Bytes;

impl Weighter<Key, Held> for Bytes {
    fn weight(&self, _: &Key, held: &Held) -> u64 {
        ENTRY_BYTES + held.windows.size() as u64
    }
}

/// The columns of one person.
#[derive(Debug, Clone)]
struct Held {
    windows: Arc<Windows>,
    /// Of the declarations for which they were kept up to date: for others, some write
    /// may have passed them by.
    revision: i64,
}

/// The columns of people in use.
pub struct HeldHistories {
    windows: Cache<Key, Held, Bytes>,
    /// What answers a question; None where only events do.
    columns: RwLock<FxHashMap<Arc<Aggregate>, Option<Column>>>,
}

impl HeldHistories {
    pub fn new(bytes_max: u64) -> Self {
        // A few columns of thirty events take a kilobyte; it only sizes the first table.
        let entries = usize::try_from(bytes_max / 1024).unwrap_or(usize::MAX);
        Self {
            windows: Cache::with_weighter(entries, bytes_max, Bytes),
            columns: RwLock::default(),
        }
    }

    /// What is held of a person, who is then no longer held.
    pub fn take(&self, key: Key, revision: i64) -> Option<Arc<Windows>> {
        let (_, held) = self.windows.remove(&key)?;
        (held.revision == revision).then_some(held.windows)
    }

    /// After the commit of what was taken.
    pub fn give_back(&self, key: Key, revision: i64, windows: Arc<Windows>) {
        self.windows.insert(key, Held { windows, revision });
    }

    /// Events of a person went or came otherwise than by being written.
    pub fn forget(&self, key: Key) {
        self.windows.remove(&key);
    }

    /// Events of anybody may have gone or come.
    pub fn forget_all(&self) {
        self.windows.clear();
    }

    /// The column that answers a question, which people whose columns are held share.
    pub fn column(&self, aggregate: &Arc<Aggregate>) -> Option<Column> {
        if let Some(column) = self.columns.read().get(aggregate) {
            return column.clone();
        }
        let column = aggregate.source().map(|source| Column {
            source: Arc::new(source),
            kind: ColumnKind::of(aggregate.operation()),
        });
        let mut columns = self.columns.write();
        if columns.len() >= QUESTIONS_MAX {
            columns.clear();
        }
        columns.insert(aggregate.clone(), column.clone());
        column
    }
}
