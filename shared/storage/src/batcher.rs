//! Coalesces concurrent calls into one: whatever waits while a batch is handled is
//! the next batch. Bounded; knows nothing of what the items are.

use std::{future::Future, num::NonZeroUsize, panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt as _;
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::Error;

#[derive(Debug, Clone, Copy)]
pub struct BatcherOptions {
    /// Items that may wait; more are refused with [`Error::Overloaded`].
    pub queue_max: usize,
    /// Items in one batch at most.
    pub batch_max: NonZeroUsize,
}

impl Default for BatcherOptions {
    fn default() -> Self {
        const BATCH_MAX: NonZeroUsize = match NonZeroUsize::new(1_024) {
            Some(max) => max,
            None => NonZeroUsize::MIN,
        };
        Self {
            queue_max: 8_192,
            batch_max: BATCH_MAX,
        }
    }
}

/// Cheap to clone. Its task ends when the last clone is gone or after `close`.
pub struct Batcher<I, O> {
    queue: mpsc::Sender<Item<I, O>>,
    closing: CancellationToken,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

type Item<I, O> = (I, oneshot::Sender<O>);

impl<I, O> Clone for Batcher<I, O> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            closing: self.closing.clone(),
            task: Arc::clone(&self.task),
        }
    }
}

impl<I: Send + 'static, O: Send + 'static> Batcher<I, O> {
    /// `handle` gets one batch at a time and answers with one output per item, in
    /// their order. An item without an answer (too few outputs, or a panic) is
    /// [`Error::Panicked`] to its caller.
    pub fn new<H, F>(options: BatcherOptions, handle: H) -> Self
    where
        H: Fn(Vec<I>) -> F + Send + Sync + 'static,
        F: Future<Output = Vec<O>> + Send + 'static,
    {
        let (queue, items) = mpsc::channel(options.queue_max.max(1));
        let closing = CancellationToken::new();
        let task = tokio::spawn(run(items, closing.clone(), options.batch_max.get(), handle));
        Self {
            queue,
            closing,
            task: Arc::new(Mutex::new(Some(task))),
        }
    }

    /// Waits until the batch with this item was handled.
    pub async fn submit(&self, item: I) -> Result<O, Error> {
        let (reply, answer) = oneshot::channel();
        match self.queue.try_send((item, reply)) {
            Ok(()) => answer.await.map_err(|_| Error::Panicked),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Error::Overloaded),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Error::Closed),
        }
    }

    /// Refuses new items and waits until those that are queued were handled.
    pub async fn close(&self) {
        self.closing.cancel();
        let task = self.task.lock().take();
        if let Some(task) = task {
            // It catches the panics of `handle`, so there is nothing to tell.
            let _ = task.await;
        }
    }
}

async fn run<I, O, H, F>(
    mut items: mpsc::Receiver<Item<I, O>>,
    closing: CancellationToken,
    batch_max: usize,
    handle: H,
) where
    H: Fn(Vec<I>) -> F,
    F: Future<Output = Vec<O>>,
{
    let mut received = Vec::with_capacity(batch_max);
    loop {
        let count = tokio::select! {
            biased;
            () = closing.cancelled(), if !items.is_closed() => {
                items.close();
                continue;
            }
            count = items.recv_many(&mut received, batch_max) => count,
        };
        if count == 0 {
            return;
        }
        let (batch, replies): (Vec<_>, Vec<_>) = received.drain(..).unzip();
        let handled = AssertUnwindSafe(async { handle(batch).await })
            .catch_unwind()
            .await;
        // Dropping a reply tells its caller that there is no answer.
        for (reply, output) in replies.into_iter().zip(handled.unwrap_or_default()) {
            let _ = reply.send(output);
        }
    }
}
