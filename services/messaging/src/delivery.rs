//! Delivers what is queued: takes due messages from the table under a lease, hands
//! them to the mail server, and writes down how it went. A message is delivered at
//! least once; where a crash makes that twice, both carry the same `Message-ID`.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use attune_api::time::now_ms;
use lettre::message::Mailbox;
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Delivery as Settings,
    domain::{address, mail, message::Message, retry::Next, retry::RetryPolicy},
    metrics::{Attempt, Metrics},
    smtp::{Failure, Pool},
    store::{Claim, Store},
};

/// After the database failed to say what is due.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// What is kept of an error.
const ERROR_LENGTH_MAX: usize = 1_000;

pub(crate) struct Worker {
    pub store: Store,
    pub pool: Pool,
    pub from: Mailbox,
    pub settings: Settings,
    /// Told when this process has queued something.
    pub wake: Arc<Notify>,
    pub metrics: Metrics,
}

/// A message taken from the queue, and until when it is ours.
struct Leased {
    message: Message,
    until_ms: i64,
}

impl Leased {
    fn claim(&self) -> Claim {
        Claim::of(&self.message)
    }
}

impl Worker {
    /// Runs until `stop`; then finishes what is being sent, and gives back the rest.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut taken: VecDeque<Leased> = VecDeque::new();
        let mut sending = JoinSet::new();
        while !stop.is_cancelled() {
            let wait = self.fill(&mut taken).await;
            while sending.len() < self.settings.concurrency_max
                && let Some(leased) = taken.pop_front()
            {
                let worker = Arc::clone(&self);
                sending.spawn(async move { worker.deliver(leased).await });
            }
            tokio::select! {
                () = stop.cancelled() => {}
                Some(_) = sending.join_next() => {}
                () = self.wake.notified(), if taken.is_empty() => {}
                () = tokio::time::sleep(wait), if taken.is_empty() => {}
            }
        }
        for leased in taken {
            let released = self.store.release(leased.claim(), now_ms()).await;
            self.log_unwritten(&leased.message, released);
        }
        while sending.join_next().await.is_some() {}
        self.pool.close().await;
    }

    /// Takes messages where few are at hand. Returns how long there is nothing to do.
    async fn fill(&self, taken: &mut VecDeque<Leased>) -> Duration {
        let poll = Duration::from_millis(self.settings.poll_ms_max);
        if taken.len() >= self.settings.concurrency_max {
            return poll;
        }
        let due_ms = match self.store.next_due_ms().await {
            Ok(Some(due_ms)) => due_ms,
            Ok(None) => return poll,
            Err(error) => return unreadable(&error),
        };
        let now = now_ms();
        if due_ms > now {
            let ms = u64::try_from(due_ms - now).unwrap_or(0);
            return Duration::from_millis(ms).min(poll);
        }
        let until_ms = now.saturating_add(self.settings.lease_ms);
        let count = self.settings.concurrency_max * 2 - taken.len();
        match self.store.claim(now, until_ms, count).await {
            Ok(claimed) => {
                let leased = |message| Leased { message, until_ms };
                taken.extend(claimed.into_iter().map(leased));
                // Others may have been quicker; what is left is soon looked at again.
                Duration::from_millis(10).min(poll)
            }
            Err(error) => unreadable(&error),
        }
    }

    async fn deliver(&self, leased: Leased) {
        let (claim, message) = (leased.claim(), &leased.message);
        if now_ms() >= leased.until_ms {
            // It waited too long for its turn here; another worker may have it by now.
            return;
        }
        let attempted = if message.attempt_count > self.settings.attempts_max {
            // Only a worker that died in the last attempt leaves a message like this.
            let error = "the last attempt was interrupted".to_owned();
            Err(Failure::Permanent(error))
        } else {
            self.attempt(message).await
        };
        let now = now_ms();
        let since_created_ms = now - message.create_ms;
        let (attempt, written) = match attempted {
            Ok(()) => {
                let written = self.store.delivered(claim, now).await;
                (Attempt::Delivered, written)
            }
            Err(Failure::Permanent(error)) => {
                let written = self.store.failed(claim, shorten(error)).await;
                (Attempt::Failed, written)
            }
            Err(Failure::Transient(error)) => self.put_off(message, claim, now, error).await,
        };
        self.metrics.attempted(attempt, since_created_ms);
        tracing::debug!(
            workspace = message.workspace,
            message_id = message.message_id,
            attempt_count = message.attempt_count,
            outcome = ?attempt,
            "message attempted"
        );
        self.log_unwritten(message, written);
    }

    async fn attempt(&self, message: &Message) -> Result<(), Failure> {
        let to = address::parse(&message.to)
            .map_err(|rule| Failure::Permanent(format!("the address {rule}")))?;
        let mail = mail::build(message, &self.from, to).map_err(Failure::Permanent)?;
        self.pool.send(&mail).await
    }

    async fn put_off(
        &self,
        message: &Message,
        claim: Claim,
        now_ms: i64,
        error: String,
    ) -> (Attempt, Result<(), crate::Error>) {
        let policy: RetryPolicy = self.settings.retry_policy();
        let chance = rand::random::<f64>();
        match policy.after_failure(message.attempt_count, now_ms, chance) {
            Next::At(due_ms) => {
                let written = self.store.retry(claim, due_ms, shorten(error)).await;
                // The waiting loop may be asleep for longer than this message.
                self.wake.notify_one();
                (Attempt::WillRetry, written)
            }
            Next::GiveUp => {
                let error = format!("gave up after {} attempts: {error}", message.attempt_count);
                let written = self.store.failed(claim, shorten(error)).await;
                (Attempt::Failed, written)
            }
        }
    }

    /// What could not be written down is tried again when the lease ends.
    fn log_unwritten(&self, message: &Message, written: Result<(), crate::Error>) {
        if let Err(error) = written {
            tracing::warn!(
                workspace = message.workspace,
                message_id = message.message_id,
                %error,
                "the outcome of a delivery could not be stored"
            );
        }
    }
}

fn unreadable(error: &crate::Error) -> Duration {
    tracing::warn!(%error, "the message queue cannot be read");
    STORE_RETRY
}

fn shorten(mut error: String) -> String {
    if error.len() > ERROR_LENGTH_MAX {
        let mut end = ERROR_LENGTH_MAX;
        while !error.is_char_boundary(end) {
            end -= 1;
        }
        error.truncate(end);
    }
    error
}
