//! Follows another service's log: connects, reads, hands over batch by batch, and
//! begins again after the last handled position whenever something fails. Never skips
//! an entry that the log still has.

use std::{error::Error, future::Future, time::Duration};

use attune_api::{
    events::v1::{
        LogEntry, ReadLogRequest, ReadLogResponse, event_log_service_client::EventLogServiceClient,
    },
    time,
};
use attune_errors::{Reason, metadata_of, reason_of};
use attune_rpc::{Channel, MESSAGE_BYTES_MAX, Tasks, system_request};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::metrics::Metrics;

/// Entries in commit order, to be handled together.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Never empty.
    pub entries: Vec<LogEntry>,
    /// The last entry's position: what to remember, in the transaction of the effects.
    pub position: i64,
    /// The newest position in the log when this was read.
    pub head_position: i64,
}

/// A reader of one log.
#[derive(Debug, Clone)]
pub struct Consumer {
    channel: Channel,
    name: &'static str,
    source: &'static str,
}

/// How far a consumer has come. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Progress(watch::Receiver<Place>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    position: i64,
    /// None until the log was reached for the first time.
    head_position: Option<i64>,
}

impl Progress {
    /// The last position that was handled.
    pub fn position(&self) -> i64 {
        self.0.borrow().position
    }

    /// True if everything was handled that the log had when it was last read.
    pub fn is_caught_up(&self) -> bool {
        let place = *self.0.borrow();
        place
            .head_position
            .is_some_and(|head| place.position >= head)
    }

    /// Waits for that; returns at once afterwards, and when the consumer has ended.
    pub async fn caught_up(&mut self) {
        let caught_up = |place: &Place| {
            place
                .head_position
                .is_some_and(|head| place.position >= head)
        };
        // An error says that the consumer was shut down; there is nothing to wait for.
        let _ = self.0.wait_for(caught_up).await;
    }

    /// Waits until this position was handled.
    pub async fn reached(&mut self, position: i64) {
        let _ = self.0.wait_for(|place| place.position >= position).await;
    }
}

const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

impl Consumer {
    /// `name` says in metrics and logs who follows `source` over `channel`.
    pub fn new(channel: Channel, name: &'static str, source: &'static str) -> Self {
        Self {
            channel,
            name,
            source,
        }
    }

    /// Hands every entry after `after_position` to `handle`, until the tasks shut
    /// down. A batch whose handling fails is handed over again after a pause. Entries
    /// that the log has dropped are reported and passed over; those among them that it
    /// keeps for good are not.
    pub fn follow<H, F, E>(self, after_position: i64, tasks: &Tasks, handle: H) -> Progress
    where
        H: FnMut(Batch) -> F + Send + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        let (progress, receiver) = watch::channel(Place {
            position: after_position,
            head_position: None,
        });
        let follower = Follower {
            metrics: Metrics::new(self.name, self.source),
            client: EventLogServiceClient::new(self.channel)
                .max_decoding_message_size(MESSAGE_BYTES_MAX),
            name: self.name,
            source: self.source,
            position: after_position,
            dropped_to: None,
            backoff: BACKOFF_MIN,
            progress,
            stop: tasks.token(),
            handle,
        };
        tasks.spawn("log consumer", follower.run());
        Progress(receiver)
    }
}

struct Follower<H> {
    client: EventLogServiceClient<Channel>,
    metrics: Metrics,
    name: &'static str,
    source: &'static str,
    position: i64,
    /// Entries between the position and this were dropped; what is left of them is read.
    dropped_to: Option<i64>,
    backoff: Duration,
    progress: watch::Sender<Place>,
    stop: CancellationToken,
    handle: H,
}

/// Why reading stopped.
enum Stopped {
    Told,
    /// The log ended the stream, as it does when its service shuts down.
    Ended,
    Read(Status),
    Handler(Box<dyn Error + Send + Sync>),
}

impl<H, F, E> Follower<H>
where
    H: FnMut(Batch) -> F,
    F: Future<Output = Result<(), E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    async fn run(mut self) {
        loop {
            match self.read().await {
                Stopped::Told => return,
                Stopped::Ended => {}
                Stopped::Read(status) => self.report(&status),
                Stopped::Handler(error) => tracing::warn!(
                    consumer = self.name,
                    source = self.source,
                    position = self.position,
                    error = &*error as &dyn Error,
                    "log batch not handled"
                ),
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(self.backoff) => {}
            }
            self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Reads until something fails or it is time to stop. A batch that is being
    /// handled is finished before stopping.
    async fn read(&mut self) -> Stopped {
        let request = system_request(ReadLogRequest {
            source: self.source.to_owned(),
            after_position: self.position,
            batch_size_max: 0,
            despite_trimmed: self.dropped_to.is_some(),
        });
        let opened = tokio::select! {
            () = self.stop.cancelled() => return Stopped::Told,
            opened = self.client.read_log(request) => opened,
        };
        let mut responses = match opened {
            Ok(response) => response.into_inner(),
            Err(status) => return Stopped::Read(status),
        };
        loop {
            let response = tokio::select! {
                () = self.stop.cancelled() => return Stopped::Told,
                response = responses.message() => response,
            };
            match response {
                Ok(Some(response)) => {
                    if let Err(error) = self.hand_over(response).await {
                        return Stopped::Handler(error);
                    }
                }
                Ok(None) => return Stopped::Ended,
                Err(status) => return Stopped::Read(status),
            }
        }
    }

    async fn hand_over(
        &mut self,
        response: ReadLogResponse,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let head_position = response.head_position;
        let count = response.entries.len() as u64;
        let mut delay = None;
        if let Some(last) = response.entries.last() {
            let position = last.position;
            let commit_ms = last.commit_time.as_ref().map(time::to_ms);
            let batch = Batch {
                entries: response.entries,
                position,
                head_position,
            };
            (self.handle)(batch).await.map_err(Into::into)?;
            self.position = position;
            delay = commit_ms.and_then(|ms| u64::try_from(time::now_ms() - ms).ok());
        }
        if let Some(dropped_to) = self.dropped_to
            && (count == 0 || self.position >= dropped_to)
        {
            self.position = self.position.max(dropped_to);
            self.dropped_to = None;
        }
        self.backoff = BACKOFF_MIN;
        let lag = (head_position - self.position).max(0);
        let delay = delay.map(Duration::from_millis);
        self.metrics.handled(count, lag, delay);
        self.progress.send_replace(Place {
            position: self.position,
            head_position: Some(head_position),
        });
        Ok(())
    }

    fn report(&mut self, status: &Status) {
        if reason_of(status) != Some(Reason::PositionTrimmed) {
            tracing::warn!(
                consumer = self.name,
                source = self.source,
                code = ?status.code(),
                "log not readable"
            );
            return;
        }
        let oldest = metadata_of(status, "oldest_position");
        let oldest: Option<i64> = oldest.and_then(|position| position.parse().ok());
        if let Some(oldest) = oldest {
            tracing::error!(
                consumer = self.name,
                source = self.source,
                after_position = self.position,
                oldest_position = oldest,
                "log entries were dropped before they were handled"
            );
            self.dropped_to = Some(oldest - 1);
        }
    }
}
