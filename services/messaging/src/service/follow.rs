//! Following the profile's log: who is erased there is forgotten here.

use std::sync::atomic::{AtomicI64, Ordering};

use attune_api::events::v1::{LogEntry, log_entry::Change};
use attune_events::Batch;
use attune_storage::Error;

use crate::store::{Store, erasure::Erased};

/// Entries that say nothing to us until how far we read is written down again: most of
/// what the log tells is of no concern here, and reading it twice costs little.
const UNWRITTEN_MAX: i64 = 10_000;

/// Takes in what the log tells, and remembers how far it was read.
pub(crate) struct Following {
    store: Store,
    written: AtomicI64,
}

impl Following {
    pub fn new(store: Store, position: i64) -> Self {
        Self {
            store,
            written: AtomicI64::new(position),
        }
    }

    pub async fn take(&self, batch: Batch) -> Result<(), Error> {
        let erased: Vec<_> = batch.entries.iter().filter_map(erased_in).collect();
        let unwritten = batch.position - self.written.load(Ordering::Relaxed);
        if !erased.is_empty() || unwritten >= UNWRITTEN_MAX {
            self.store.erase(erased, batch.position).await?;
            self.written.store(batch.position, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn erased_in(entry: &LogEntry) -> Option<Erased> {
    match &entry.change {
        Some(Change::ProfileErased(erased)) => Some(Erased {
            workspace: entry.workspace.clone(),
            profile_ids: erased.profile_ids.clone(),
        }),
        _ => None,
    }
}
