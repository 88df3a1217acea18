//! Follows this service's own log where other processes write to the same database, and
//! forgets what they changed. Never needed on an embedded database.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use attune_rpc::Tasks;
use attune_storage::{Database, Error, StoredEntry};
use parking_lot::Mutex;

use super::Shared;
use crate::{
    domain::ProfileId,
    store::{
        self,
        outbox::{self, Other},
    },
};

/// How often other processes' changes are looked for.
const POLL: Duration = Duration::from_millis(100);
const BATCH: u32 = 1_000;
/// Own ranges kept; those of commits older than a poll are dropped as they are passed.
const RANGES_MAX: usize = 100_000;

/// Positions in the log that this process wrote itself, and already knows about.
#[derive(Debug)]
pub struct OwnEntries {
    since: i64,
    /// First and last position of each commit, in order.
    ranges: Mutex<VecDeque<(i64, i64)>>,
}

impl OwnEntries {
    pub fn since(position: i64) -> Self {
        Self {
            since: position,
            ranges: Mutex::new(VecDeque::new()),
        }
    }

    /// After a commit by the one writer of this process, which gave `count` entries
    /// the positions up to the log's head as this process knows it.
    pub fn committed(&self, database: &Database, count: usize) {
        if database.is_embedded() || count == 0 {
            return;
        }
        let last = *database.log_changes().borrow();
        let first = last - i64::try_from(count).unwrap_or(i64::MAX) + 1;
        let mut ranges = self.ranges.lock();
        if ranges.len() == RANGES_MAX {
            // Forgetting that it is our own costs a reload, nothing else.
            ranges.pop_front();
        }
        ranges.push_back((first, last));
    }

    /// Whether it is ours. Asked in the order of positions; drops what was passed.
    fn contains(&self, position: i64) -> bool {
        let mut ranges = self.ranges.lock();
        while ranges.front().is_some_and(|(_, last)| *last < position) {
            ranges.pop_front();
        }
        ranges.front().is_some_and(|(first, _)| *first <= position)
    }
}

/// Until the tasks stop.
pub async fn run(shared: Arc<Shared>, tasks: Tasks) {
    let mut position = shared.own.since;
    loop {
        match shared.database.log_read(position, BATCH).await {
            Ok(batch) => {
                for entry in &batch.entries {
                    position = entry.position;
                    if !shared.own.contains(position) {
                        forget(&shared, entry);
                    }
                }
                if !batch.entries.is_empty() {
                    continue;
                }
            }
            Err(Error::Trimmed { .. }) => {
                shared.memory.forget_all();
                shared.settled.forget_all();
                match shared.database.log_head().await {
                    Ok(head) => position = head,
                    Err(error) => warn(&error),
                }
            }
            Err(error) => warn(&error),
        }
        match store::revision(&shared.database).await {
            Ok(revision) => shared.declared.raise(revision),
            Err(error) => warn(&error),
        }
        if tasks.sleep(POLL).await == attune_rpc::Slept::UntilStopped {
            return;
        }
    }
}

fn warn(error: &Error) {
    tracing::warn!(
        error = error as &dyn std::error::Error,
        "own log cannot be followed"
    );
}

fn forget(shared: &Shared, entry: &StoredEntry) {
    let other = outbox::other_in(&entry.entry);
    if let Some(Other::Unmerged(_)) = other {
        // Identifiers lead to the other of the two now, and which is not told.
        shared.memory.forget_owners();
        shared.settled.forget_all();
    }
    let other = other.map(|(Other::Merged(id) | Other::Unmerged(id))| id);
    for id in [entry.key.parse().ok(), other].into_iter().flatten() {
        let id: ProfileId = id;
        shared
            .memory
            .forget_profile(shared.memory.profile_key(&entry.workspace, id));
    }
    let erased = outbox::erased_in(&entry.entry);
    if !erased.is_empty() {
        shared.forget_erased(&Arc::from(entry.workspace.as_str()), &erased);
    }
}
