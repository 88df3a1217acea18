//! Follows the catalog's own log where other processes write to the same database, so
//! that memory forgets what they changed. Also has old entries of the log dropped.

use std::{collections::HashMap, time::Duration};

use attune_rpc::Tasks;
use attune_storage::{Error as StorageError, StoredEntry};
use parking_lot::Mutex;

use crate::{Catalog, Error, service::publish::TYPE_KEY_PREFIX};

const READ_ENTRIES_MAX: u32 = 1000;

/// Entries that this process wrote and has not yet met in the log, by key: memory
/// knows of them already.
pub(crate) struct OwnWrites {
    expected: Option<Mutex<HashMap<Box<str>, u32>>>,
}

impl OwnWrites {
    /// Nothing is kept where nobody follows.
    pub fn new(followed: bool) -> Self {
        Self {
            expected: followed.then(Mutex::default),
        }
    }

    pub fn committed(&self, workspace: &str, key: &str) {
        if let Some(expected) = &self.expected {
            let name = format!("{workspace}/{key}").into();
            *expected.lock().entry(name).or_default() += 1;
        }
    }

    /// Whether an entry is one of ours. Where others wrote to the same key, as many
    /// entries are taken for ours as there are, and the rest for theirs: whichever is
    /// which, the last of them is acted upon or was.
    fn met(&self, entry: &StoredEntry) -> bool {
        let Some(expected) = &self.expected else {
            return false;
        };
        let name = format!("{}/{}", entry.workspace, entry.key);
        let mut expected = expected.lock();
        let Some(count) = expected.get_mut(name.as_str()) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            expected.remove(name.as_str());
        }
        true
    }
}

pub(crate) fn start(catalog: &Catalog, tasks: &Tasks) {
    if catalog.0.database.is_shared() {
        tasks.spawn("catalog-follow", follow(catalog.clone(), tasks.clone()));
    }
    if let (Some(log), Some(age)) = (catalog.log(), catalog.0.config.log.retention()) {
        log.trim_older_than(age, tasks);
    }
}

async fn follow(catalog: Catalog, tasks: Tasks) {
    let interval = Duration::from_millis(catalog.0.config.follow_interval_ms.max(1));
    let mut position = catalog.0.memory.opened_at_position;
    while tasks.sleep(interval).await == attune_rpc::Slept::Through {
        match catch_up(&catalog, position).await {
            Ok(reached) => position = reached,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the catalog's log could not be read");
            }
        }
    }
}

/// Reads until the log's end and answers with the position reached.
async fn catch_up(catalog: &Catalog, mut position: i64) -> Result<i64, Error> {
    let memory = &catalog.0.memory;
    loop {
        let batch = match catalog
            .0
            .database
            .log_read(position, READ_ENTRIES_MAX)
            .await
        {
            Ok(batch) => batch,
            Err(StorageError::Trimmed { .. }) => {
                // Too far behind to know what changed.
                let head = catalog.0.database.log_head().await?;
                memory.items.drop_all();
                catalog.reload_types().await?;
                return Ok(head);
            }
            Err(error) => return Err(error.into()),
        };
        let mut types_changed = false;
        for entry in &batch.entries {
            if memory.own_writes.met(entry) {
                continue;
            }
            if entry.key.starts_with(TYPE_KEY_PREFIX) {
                types_changed = true;
            } else {
                memory.items.drop_item(&entry.workspace, &entry.key);
            }
        }
        if types_changed {
            catalog.reload_types().await?;
        }
        match batch.entries.last() {
            Some(last) => position = last.position,
            None => return Ok(position),
        }
    }
}
