//! Background work and who waits for it: every task is spawned here, told to stop here
//! and joined here. Knows names; never what a task does.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The tasks of one process. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    token: CancellationToken,
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

/// Tasks that did not stop in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("still running: {}", names.join(", "))]
pub struct Unfinished {
    pub names: Vec<&'static str>,
}

impl Tasks {
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `work` until it ends. It is expected to end soon after [`Tasks::token`] is
    /// cancelled; a panic ends it alone, and is logged.
    pub fn spawn<F>(&self, name: &'static str, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        *self.running.lock().entry(name).or_default() += 1;
        let running = self.running.clone();
        self.tracker.spawn(async move {
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                tracing::error!(task = name, "background task panicked");
            }
            let mut running = running.lock();
            if let Some(count) = running.get_mut(name) {
                *count -= 1;
            }
        });
    }

    /// Cancelled when the tasks are to stop.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Sleeps, unless it is time to stop; tells which.
    pub async fn sleep(&self, duration: Duration) -> Slept {
        tokio::select! {
            () = tokio::time::sleep(duration) => Slept::Through,
            () = self.token.cancelled() => Slept::UntilStopped,
        }
    }

    /// Tells all tasks to stop, and waits for them, `at_most` so long.
    pub async fn shutdown(&self, at_most: Duration) -> Result<(), Unfinished> {
        self.token.cancel();
        self.tracker.close();
        timeout(at_most, self.tracker.wait()).await.map_err(|_| {
            let running = self.running.lock();
            let unfinished = running.iter().filter(|(_, count)| **count > 0);
            let names = unfinished.map(|(name, _)| *name).collect();
            Unfinished { names }
        })
    }
}

/// How a [`Tasks::sleep`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slept {
    Through,
    UntilStopped,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shutdown_joins_tasks_and_names_those_that_stay() {
        let tasks = Tasks::new();
        let token = tasks.token();
        tasks.spawn("obedient", async move { token.cancelled().await });
        tasks.spawn("broken", async { panic!("on purpose") });
        assert_eq!(tasks.shutdown(Duration::from_secs(5)).await, Ok(()));

        let tasks = Tasks::new();
        tasks.spawn("stubborn", std::future::pending());
        let names = vec!["stubborn"];
        let waited = tasks.shutdown(Duration::from_millis(10)).await;
        assert_eq!(waited, Err(Unfinished { names }));
    }
}
