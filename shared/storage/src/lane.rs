//! Group commit: one task owns the writing connection and commits whatever writes
//! are waiting together. If one of them fails, the others are run again without it.
//! Nobody is told of success before the commit.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{Error, Tx, connection::Address, metrics::Metrics, upkeep::Upkeep};

/// A write that waits for its commit.
pub(crate) trait Job: Send {
    /// True if it may be committed. May be called again after a rollback.
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, bool>;
    /// The caller has gone away before the write began.
    fn is_abandoned(&self) -> bool;
    /// Tells the caller of the commit.
    fn committed(self: Box<Self>);
    /// Tells the caller why there is none: `cause`, or what the last run returned.
    fn failed(self: Box<Self>, cause: Option<Error>);
}

pub(crate) struct Write<F, C, T, E> {
    body: F,
    committed: C,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, C, T, E> Write<F, C, T, E> {
    pub(crate) fn new(body: F, committed: C) -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (reply, answer) = oneshot::channel();
        let write = Self {
            body,
            committed,
            result: None,
            reply,
        };
        (write, answer)
    }
}

impl<F, C, T, E> Job for Write<F, C, T, E>
where
    F: for<'a> Fn(&'a mut Tx) -> BoxFuture<'a, Result<T, E>> + Send,
    C: FnOnce(&T) + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            // By a unique reference, so that the closure need not be Sync.
            let (body, in_tx) = (&mut self.body, &mut *tx);
            let run = async move { body(in_tx).await };
            let outcome = AssertUnwindSafe(run).catch_unwind().await;
            let result = outcome.unwrap_or_else(|_| Err(E::from(Error::Panicked)));
            self.result = Some(match (result, tx.failure()) {
                (Ok(_), Some(failure)) => Err(E::from(failure.clone())),
                (result, _) => result,
            });
            matches!(self.result, Some(Ok(_)))
        })
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn committed(self: Box<Self>) {
        let this = *self;
        if let Some(result) = this.result {
            if let Ok(value) = &result {
                let committed = this.committed;
                // A panic here must not take the lane down; the commit stands.
                let _ = std::panic::catch_unwind(AssertUnwindSafe(|| committed(value)));
            }
            // A caller that went away does not need the answer.
            let _ = this.reply.send(result);
        }
    }

    fn failed(self: Box<Self>, cause: Option<Error>) {
        let result = match (cause, self.result) {
            (Some(cause), _) => Err(E::from(cause)),
            (None, Some(Err(error))) => Err(error),
            (None, _) => Err(E::from(Error::Closed)),
        };
        let _ = self.reply.send(result);
    }
}

/// How one attempt at a transaction ended, other than by a commit.
enum Failed {
    /// The write at this index failed; everything was rolled back.
    Write(usize, Option<Error>),
    /// The transaction as a whole failed and was rolled back.
    Transaction(Error),
    /// The connection broke during the commit.
    Unknown(Error),
}

pub(crate) struct Lane {
    pub(crate) address: Address,
    pub(crate) tx: Option<Tx>,
    pub(crate) queue: mpsc::Receiver<Box<dyn Job>>,
    pub(crate) closing: CancellationToken,
    pub(crate) head: Arc<watch::Sender<i64>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) upkeep: Upkeep,
    pub(crate) batch_max: usize,
}

/// Failing writes that a batch is repeated without, before the rest run one by one.
const CULPRITS_MAX: usize = 3;
/// Times that something is tried while the database is busy or away.
const ATTEMPTS_MAX: u32 = 5;

impl Lane {
    /// Until all senders are gone, or closing; what is queued by then is still done.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(self.batch_max);
        loop {
            let received = tokio::select! {
                biased;
                () = self.closing.cancelled(), if !self.queue.is_closed() => {
                    self.queue.close();
                    continue;
                }
                received = self.queue.recv_many(&mut batch, self.batch_max) => received,
            };
            if received == 0 {
                break;
            }
            let jobs = batch.drain(..).filter(|job| !job.is_abandoned()).collect();
            self.batch(jobs).await;
        }
        if let Some(tx) = self.tx.take() {
            tx.close().await;
        }
    }

    async fn batch(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        let mut culprits = Vec::new();
        let mut attempt = 1;
        while jobs.len() > 1 && culprits.len() < CULPRITS_MAX {
            match self.attempt(&mut jobs).await {
                Ok(()) => jobs.drain(..).for_each(|job| job.committed()),
                Err(Failed::Write(index, _)) => culprits.push(jobs.remove(index)),
                Err(Failed::Transaction(error)) if error.is_retryable() => {
                    if attempt == ATTEMPTS_MAX {
                        // Not one by one: each would wait as long in vain.
                        culprits.append(&mut jobs);
                        return fail(culprits, &error);
                    }
                    pause(attempt).await;
                    attempt += 1;
                }
                Err(Failed::Transaction(_)) => break,
                Err(Failed::Unknown(error)) => fail(std::mem::take(&mut jobs), &error),
            }
        }
        for job in jobs.into_iter().chain(culprits) {
            self.alone(job).await;
        }
    }

    async fn alone(&mut self, job: Box<dyn Job>) {
        let mut only = [job];
        let mut attempt = 1;
        let failed = loop {
            let (retryable, failed) = match self.attempt(&mut only).await {
                Ok(()) => break None,
                Err(Failed::Write(_, statement)) => {
                    (statement.is_some_and(|e| e.is_retryable()), None)
                }
                Err(Failed::Transaction(error)) => (error.is_retryable(), Some(error)),
                Err(Failed::Unknown(error)) => (false, Some(error)),
            };
            if !retryable || attempt == ATTEMPTS_MAX {
                break Some(failed);
            }
            pause(attempt).await;
            attempt += 1;
        };
        let [job] = only;
        match failed {
            None => job.committed(),
            Some(cause) => job.failed(cause),
        }
    }

    /// Runs the writes in one transaction and commits it.
    async fn attempt(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), Failed> {
        let started = Instant::now();
        let mut tx = self.open().await.map_err(Failed::Transaction)?;
        match transact(&mut tx, jobs).await {
            Ok(head) => {
                self.upkeep.committed(tx.changes());
                self.tx = Some(tx);
                if let Some(head) = head {
                    self.head.send_replace(head);
                }
                let waiting = self.queue.len();
                self.metrics
                    .committed(jobs.len(), started.elapsed(), waiting);
                Ok(())
            }
            // The connection is dropped and with it whatever was open on it.
            Err(Failed::Unknown(error)) => Err(Failed::Unknown(error)),
            Err(failed) => {
                if tx.rollback().await.is_ok() {
                    self.tx = Some(tx);
                }
                Err(failed)
            }
        }
    }

    /// A begun transaction, on a new connection if the last one broke.
    async fn open(&mut self) -> Result<Tx, Error> {
        if let Some(mut tx) = self.tx.take() {
            match tx.begin().await {
                Ok(()) => return Ok(tx),
                Err(error) if error.is_connection_lost() => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "database connection lost"
                    );
                }
                Err(error) => {
                    self.tx = Some(tx);
                    return Err(error);
                }
            }
        }
        let mut tx = Tx::new(self.address.connect().await?);
        tx.begin().await?;
        Ok(tx)
    }
}

fn fail(jobs: Vec<Box<dyn Job>>, cause: &Error) {
    for job in jobs {
        job.failed(Some(cause.clone()));
    }
}

async fn pause(attempt: u32) {
    tokio::time::sleep(Duration::from_millis(10 << attempt)).await;
}

async fn transact(tx: &mut Tx, jobs: &mut [Box<dyn Job>]) -> Result<Option<i64>, Failed> {
    for (index, job) in jobs.iter_mut().enumerate() {
        if !job.run(tx).await {
            return Err(Failed::Write(index, tx.failure().cloned()));
        }
    }
    let head = tx.append_published().await.map_err(Failed::Transaction)?;
    match tx.commit().await {
        Ok(()) => Ok(head),
        Err(Error::Retryable(cause)) if Error::Retryable(cause.clone()).is_connection_lost() => {
            Err(Failed::Unknown(Error::CommitUnknown(cause)))
        }
        Err(error) => Err(Failed::Transaction(error)),
    }
}
