//! Follows this service's own log where other processes write to the same database, and
//! forgets what they changed: now and then for those who read, and at the beginning of
//! each turn for who writes, so that within one memory is as true as where nobody else
//! writes. Never needed on an embedded database.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use attune_rpc::Tasks;
use attune_storage::{Database, Error, StoredEntry};
use parking_lot::Mutex;

use super::Shared;
use crate::{
    domain::ProfileId,
    store::{
        self, Turn,
        outbox::{self, Other},
    },
};

/// How often other processes' changes are looked for.
const POLL: Duration = Duration::from_millis(100);
const BATCH: u32 = 1_000;
/// Own ranges kept; those of commits older than a poll are dropped as they are passed.
const RANGES_MAX: usize = 100_000;

/// What this process knows of what was written.
#[derive(Debug)]
pub struct Follower {
    /// Everything up to here was written by this process, or forgotten.
    position: tokio::sync::Mutex<i64>,
    /// First and last position of each commit of its own after that, in order.
    own: Mutex<VecDeque<(i64, i64)>>,
    /// The last number of its last turn.
    turn: AtomicI64,
}

impl Follower {
    pub fn since(position: i64) -> Self {
        Self {
            position: tokio::sync::Mutex::new(position),
            own: Mutex::default(),
            turn: AtomicI64::new(-1),
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
        let mut own = self.own.lock();
        if own.len() == RANGES_MAX {
            // Forgetting that it is our own costs a reload, nothing else.
            own.pop_front();
        }
        own.push_back((first, last));
    }

    /// After the commit of a turn, whose last number this was, with all that memory
    /// learned from it.
    pub fn leave(&self, turn_last: i64) {
        self.turn.store(turn_last, Ordering::Release);
    }

    /// Where to read on from: own entries need no reading.
    fn past_own(&self, mut position: i64) -> i64 {
        let mut own = self.own.lock();
        while let Some((first, last)) = own.front()
            && *first <= position + 1
        {
            position = position.max(*last);
            own.pop_front();
        }
        position
    }

    /// Whether it is ours. Asked in the order of positions; drops what was passed.
    fn is_own(&self, position: i64) -> bool {
        let mut own = self.own.lock();
        while own.front().is_some_and(|(_, last)| *last < position) {
            own.pop_front();
        }
        own.front().is_some_and(|(first, _)| *first <= position)
    }
}

/// At the beginning of a turn: nobody else writes until it ends, and after this memory
/// holds nothing that somebody else has changed.
pub async fn enter(shared: &Shared, turn: &Turn) -> Result<(), Error> {
    let last = shared.follower.turn.load(Ordering::Acquire);
    if shared.database.is_embedded() || last == turn.before {
        return Ok(());
    }
    catch_up(shared).await
}

/// Until the tasks stop.
pub async fn run(shared: Arc<Shared>, tasks: Tasks) {
    loop {
        if let Err(error) = catch_up(&shared).await {
            warn(&error);
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

/// Forgets what others wrote until now.
async fn catch_up(shared: &Shared) -> Result<(), Error> {
    let mut position = shared.follower.position.lock().await;
    loop {
        *position = shared.follower.past_own(*position);
        let batch = match shared.database.log_read(*position, BATCH).await {
            Ok(batch) => batch,
            Err(Error::Trimmed { .. }) => {
                let head = shared.database.log_head().await?;
                shared.memory.forget_all();
                shared.histories.forget_all();
                shared.settled.forget_all();
                *position = head;
                continue;
            }
            Err(error) => return Err(error),
        };
        if batch.entries.is_empty() {
            return Ok(());
        }
        for entry in &batch.entries {
            if !shared.follower.is_own(entry.position) {
                forget(shared, entry);
            }
            *position = entry.position;
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
    let erased = outbox::erased_in(&entry.entry);
    if matches!(other, Some(Other::Unmerged(_))) || !erased.is_empty() {
        // Identifiers lead to somebody else now, or to nobody, and which is not told.
        shared.memory.forget_owners();
        shared.settled.forget_all();
    }
    let other = other.map(|(Other::Merged(id) | Other::Unmerged(id))| id);
    for id in [entry.key.parse().ok(), other].into_iter().flatten() {
        let id: ProfileId = id;
        let key = shared.memory.profile_key(&entry.workspace, id);
        shared.memory.forget_profile(key);
        shared.histories.forget(key);
    }
    if !erased.is_empty() {
        shared.forget_erased(&Arc::from(entry.workspace.as_str()), &erased);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_entries_are_passed_by_and_others_are_not() {
        let follower = Follower::since(0);
        follower
            .own
            .lock()
            .extend([(1, 3), (4, 4), (7, 9), (12, 12)]);
        assert_eq!(follower.past_own(0), 4);
        // 5 and 6 are somebody else's, and so are 10 and 11.
        assert_eq!(follower.past_own(4), 4);
        let own: Vec<_> = (5..=9).filter(|at| follower.is_own(*at)).collect();
        assert_eq!(own, [7, 8, 9]);
        assert_eq!(follower.past_own(9), 9);
        assert!(!follower.is_own(10) && !follower.is_own(11));
        assert_eq!(follower.past_own(11), 12);
    }
}
