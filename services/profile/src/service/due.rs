//! Looks again at people when time alone changes what is derived of them, at that moment
//! and at no other: a timer sleeps until the earliest of the times that were written with
//! their profiles, and is woken when an earlier one is. With several processes on one
//! database each has its timer; who comes second finds nothing left to do.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use attune_rpc::{Slept, Tasks};
use attune_storage::Tx;
use futures::FutureExt;
use tokio::sync::Notify;

use super::{
    Service, Shared,
    derive::Again,
    write::{self, Written},
};
use crate::{
    Error,
    domain::{ProfileId, derive::Extent, outcome::Outcome},
    store::due,
};

/// People looked at in one turn.
const BATCH: i64 = 200;
/// How often is looked for what other processes wrote.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// When the timer goes off next.
#[derive(Debug)]
pub struct Alarm {
    earliest_ms: AtomicI64,
    earlier: Notify,
}

impl Default for Alarm {
    fn default() -> Self {
        Self {
            earliest_ms: AtomicI64::new(i64::MAX),
            earlier: Notify::new(),
        }
    }
}

impl Alarm {
    /// After a commit: wakes the timer if it would sleep too long.
    pub fn written(&self, outcome: &Outcome) {
        let due = outcome.derivations.due.iter().filter_map(|(_, ms)| *ms);
        if due
            .min()
            .is_some_and(|ms| ms < self.earliest_ms.load(Ordering::Acquire))
        {
            self.earlier.notify_one();
        }
    }
}

/// Until the tasks stop.
pub async fn run(service: Arc<Service>, tasks: Tasks) {
    let token = tasks.token();
    while !token.is_cancelled() {
        let done = tokio::select! {
            done = wait_and_look(&service) => done,
            () = token.cancelled() => return,
        };
        if let Err(error) = done {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "people cannot be looked at when it is time"
            );
            if tasks.sleep(RETRY_AFTER).await == Slept::UntilStopped {
                return;
            }
        }
    }
}

async fn wait_and_look(service: &Service) -> Result<(), Error> {
    let Shared {
        database,
        clock,
        alarm,
        ..
    } = &*service.shared;
    // Whatever is written from here on wakes it, though it may be read here already.
    alarm.earliest_ms.store(i64::MAX, Ordering::Release);
    let earliest_ms = due::earliest(database).await?.unwrap_or(i64::MAX);
    alarm.earliest_ms.store(earliest_ms, Ordering::Release);
    if earliest_ms > clock.now_ms() {
        tokio::select! {
            () = clock.sleep_until(earliest_ms) => {}
            () = alarm.earlier.notified() => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
        return Ok(());
    }
    let mut by_workspace: BTreeMap<Arc<str>, Vec<ProfileId>> = BTreeMap::new();
    for (workspace, id) in due::until(database, clock.now_ms(), BATCH).await? {
        by_workspace.entry(workspace).or_default().push(id);
    }
    let mut failed = Ok(());
    for (workspace, profile_ids) in by_workspace {
        let looked = service
            .in_turn(|shared| async move { look(&shared, workspace, profile_ids).await }.boxed());
        // What one workspace cannot do must not keep the others waiting.
        failed = failed.and(looked.await);
    }
    failed
}

async fn look(
    shared: &Arc<Shared>,
    workspace: Arc<str>,
    profile_ids: Vec<ProfileId>,
) -> Result<(), Error> {
    let tried = shared.clone();
    let again = Arc::new(Again {
        profile_ids,
        extent: Extent::Time,
        ..Again::default()
    });
    let mut written = shared
        .database
        .write(move |tx| {
            let (shared, workspace) = (tried.clone(), workspace.clone());
            let again = again.clone();
            async move { write_looked(&shared, tx, workspace, &again).await }.boxed()
        })
        .await?;
    write::committed(shared, std::slice::from_mut(&mut written)).await;
    Ok(())
}

async fn write_looked(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    workspace: Arc<str>,
    again: &Again,
) -> Result<Written, Error> {
    let mut turn = write::begin(shared, tx, 0).await?;
    write::look_again(shared, tx, &mut turn, workspace, again).await
}
