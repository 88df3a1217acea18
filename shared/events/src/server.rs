//! `EventLogService` over the databases of this process. Streams what is committed and
//! then waits for more; changes nothing.

use std::{pin::Pin, time::Duration};

use attune_api::{
    events::v1::{
        LogEntry, ReadLogRequest, ReadLogResponse, event_log_service_server::EventLogService,
    },
    time,
};
use attune_errors::{Fault, Violations};
use attune_storage::{LogBatch, StoredEntry};
use futures::{Stream, stream};
use prost::Message as _;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::LogSource;

const BATCH_DEFAULT: u32 = 500;
const BATCH_MAX: i32 = 5_000;
/// A response stays well below what a message between services may weigh.
const RESPONSE_BYTES_MAX: usize = 4 << 20;
/// How often other processes' commits are looked for; ours are told at once.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Serves the logs of one or more services, chosen by `source`.
#[derive(Debug, Clone)]
pub struct LogServer {
    sources: Vec<LogSource>,
    poll_interval: Duration,
}

impl LogServer {
    pub fn new(sources: Vec<LogSource>) -> Self {
        Self {
            sources,
            poll_interval: POLL_INTERVAL,
        }
    }

    /// How often other processes' commits are looked for, in a database that others can
    /// write to.
    pub fn polling_every(self, poll_interval: Duration) -> Self {
        Self {
            poll_interval,
            ..self
        }
    }

    fn open(&self, request: &ReadLogRequest) -> Result<Reader, Fault> {
        let mut violations = Violations::new();
        if request.after_position < 0 {
            violations.push("after_position", "must not be negative");
        }
        if !(0..=BATCH_MAX).contains(&request.batch_size_max) {
            let rule = format!("must be from 0 to {BATCH_MAX}");
            violations.push("batch_size_max", rule);
        }
        violations.into_result()?;
        let source = self
            .sources
            .iter()
            .find(|source| source.name == request.source)
            .ok_or_else(|| Fault::not_found("log", &request.source))?;
        let mut changes = source.database.log_changes();
        changes.mark_changed();
        let batch_max = match u32::try_from(request.batch_size_max) {
            Ok(0) | Err(_) => BATCH_DEFAULT,
            Ok(max) => max,
        };
        Ok(Reader {
            source: source.clone(),
            poll_interval: self.poll_interval,
            changes,
            position: request.after_position,
            batch_max,
            despite_trimmed: request.despite_trimmed,
            begun: false,
        })
    }
}

type Responses = Pin<Box<dyn Stream<Item = Result<ReadLogResponse, Status>> + Send>>;

#[tonic::async_trait]
impl EventLogService for LogServer {
    type ReadLogStream = Responses;

    async fn read_log(
        &self,
        request: Request<ReadLogRequest>,
    ) -> Result<Response<Responses>, Status> {
        let reader = self.open(request.get_ref())?;
        let responses = stream::try_unfold(reader, async |mut reader| {
            let response = reader.next().await?;
            Ok(response.map(|response| (response, reader)))
        });
        Ok(Response::new(Box::pin(responses)))
    }
}

/// One stream's place in a log.
struct Reader {
    source: LogSource,
    poll_interval: Duration,
    changes: watch::Receiver<i64>,
    position: i64,
    batch_max: u32,
    /// Until it has caught up with what was dropped.
    despite_trimmed: bool,
    begun: bool,
}

impl Reader {
    /// The next entries. The first response comes at once, even without entries: it
    /// tells the follower where the head is.
    async fn next(&mut self) -> Result<Option<ReadLogResponse>, Status> {
        loop {
            // Before the read, so that a commit during it is not slept through.
            self.changes.mark_unchanged();
            let was_behind = self.despite_trimmed;
            let read = self.read().await;
            let batch = read.map_err(|error| error.to_fault(self.source.name, ""))?;
            // Where nothing is left of what was dropped, the follower is told so.
            if !batch.entries.is_empty() || !self.begun || was_behind {
                self.begun = true;
                return self.respond(batch).map(Some);
            }
            if !self.wait().await {
                return Ok(None);
            }
        }
    }

    async fn read(&mut self) -> Result<LogBatch, attune_storage::Error> {
        let database = &self.source.database;
        if !self.despite_trimmed {
            return database.log_read(self.position, self.batch_max).await;
        }
        let left = database.log_left(self.position, self.batch_max).await;
        let (batch, trimmed_position) = left?;
        if batch.entries.is_empty() {
            self.position = self.position.max(trimmed_position);
        }
        // What is dropped from then on is told again.
        self.despite_trimmed = self.position < trimmed_position;
        Ok(batch)
    }

    /// False if the database was closed.
    async fn wait(&mut self) -> bool {
        if self.source.database.is_embedded() {
            return self.changes.changed().await.is_ok();
        }
        tokio::select! {
            changed = self.changes.changed() => changed.is_ok(),
            () = tokio::time::sleep(self.poll_interval) => true,
        }
    }

    fn respond(&mut self, batch: LogBatch) -> Result<ReadLogResponse, Status> {
        let mut entries = Vec::with_capacity(batch.entries.len());
        let mut bytes = 0;
        for stored in batch.entries {
            bytes += stored.entry.len();
            if bytes > RESPONSE_BYTES_MAX && !entries.is_empty() {
                // The rest is read again for the next response.
                break;
            }
            self.position = stored.position;
            entries.push(decode(stored)?);
        }
        Ok(ReadLogResponse {
            entries,
            head_position: batch.head_position,
        })
    }
}

/// What is stored lacks what the log knows itself.
fn decode(stored: StoredEntry) -> Result<LogEntry, Status> {
    let entry = LogEntry::decode(stored.entry)
        .map_err(|error| Fault::internal(&error, "").into_status())?;
    Ok(LogEntry {
        position: stored.position,
        workspace: stored.workspace,
        key: stored.key,
        commit_time: Some(time::from_ms(stored.commit_ms)),
        ..entry
    })
}
