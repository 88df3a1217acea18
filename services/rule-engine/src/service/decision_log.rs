//! Decisions on their way to the database, behind the answers. Bounded: when the
//! database cannot keep up, answers go on and what is not stored is counted. What is
//! queued is stored before the process ends, and can be asked for meanwhile.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use attune_api::rules::v1::Decision;
use attune_rpc::Tasks;
use attune_storage::{Database, Error, Tx};
use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::{mpsc, oneshot};

use super::metrics::Metrics;
use crate::{
    convert::answer::{self, Header},
    domain::{decide::Decided, plan::PlacementPlan},
    store::{self, decisions::Chunk},
};

const CHUNK_MAX: usize = 512;
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// While the database refuses, decisions pile up in the queue, which is bounded; a
/// batch that is refused this often at shutdown is given up.
const LAST_TRIES_MAX: usize = 10;

/// One decision, not yet in the shape in which it is stored.
pub struct Logged {
    pub workspace: Arc<str>,
    pub header: Header,
    pub plan: Arc<PlacementPlan>,
    pub decided: Decided,
}

enum Entry {
    Decision(Box<Logged>),
    /// Answered when everything before it is stored.
    Flush(oneshot::Sender<()>),
}

/// The near end of the queue.
pub struct DecisionLog {
    queue: mpsc::Sender<Entry>,
    writer: Mutex<Option<Writer>>,
    metrics: Arc<Metrics>,
}

struct Writer {
    entries: mpsc::Receiver<Entry>,
    database: Database,
    flush_after: Duration,
}

impl DecisionLog {
    pub fn new(
        database: &Database,
        queue_max: usize,
        flush_after: Duration,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let (queue, entries) = mpsc::channel(queue_max.max(1));
        Self {
            queue,
            writer: Mutex::new(Some(Writer {
                entries,
                database: database.clone(),
                flush_after,
            })),
            metrics: Arc::clone(metrics),
        }
    }

    /// Begins to store; what was queued before is not lost.
    pub fn start(&self, tasks: &Tasks) {
        if let Some(writer) = self.writer.lock().take() {
            tasks.spawn("decision log", writer.run(tasks.clone()));
        }
    }

    pub fn push(&self, logged: Logged) {
        if self
            .queue
            .try_send(Entry::Decision(Box::new(logged)))
            .is_err()
        {
            self.metrics.unstored();
        }
    }

    /// Returns when everything pushed before is stored.
    pub async fn flush(&self) {
        if self.writer.lock().is_some() {
            return;
        }
        let (done, is_done) = oneshot::channel();
        if self.queue.send(Entry::Flush(done)).await.is_ok() {
            // Without an answer the writer has ended, and has stored what it had.
            let _ = is_done.await;
        }
    }
}

impl Writer {
    async fn run(mut self, tasks: Tasks) {
        let stop = tasks.token();
        let mut batch = Vec::with_capacity(CHUNK_MAX);
        loop {
            let first = tokio::select! {
                biased;
                first = self.entries.recv() => first,
                () = stop.cancelled() => break,
            };
            let Some(first) = first else { break };
            let waiters = self.gather(first, &mut batch, &stop).await;
            self.store(&mut batch, &tasks).await;
            for waiter in waiters {
                // Whoever asked may have gone.
                let _ = waiter.send(());
            }
        }
        self.entries.close();
        while let Some(first) = self.entries.recv().await {
            let waiters = self.gather(first, &mut batch, &stop).await;
            self.store(&mut batch, &tasks).await;
            drop(waiters);
        }
    }

    /// Fills a batch until it is full, old enough, or someone waits for it.
    async fn gather(
        &mut self,
        first: Entry,
        batch: &mut Vec<Logged>,
        stop: &tokio_util::sync::CancellationToken,
    ) -> Vec<oneshot::Sender<()>> {
        let until = tokio::time::Instant::from_std(Instant::now() + self.flush_after);
        let mut waiters = Vec::new();
        let mut next = Some(first);
        loop {
            match next {
                Some(Entry::Decision(logged)) => batch.push(*logged),
                Some(Entry::Flush(waiter)) => waiters.push(waiter),
                None => return waiters,
            }
            if batch.len() >= CHUNK_MAX {
                return waiters;
            }
            let is_urgent = !waiters.is_empty() || stop.is_cancelled();
            next = if is_urgent {
                self.entries.try_recv().ok()
            } else {
                tokio::select! {
                    next = self.entries.recv() => next,
                    () = tokio::time::sleep_until(until) => None,
                    () = stop.cancelled() => None,
                }
            };
        }
    }

    async fn store(&self, batch: &mut Vec<Logged>, tasks: &Tasks) {
        if batch.is_empty() {
            return;
        }
        let chunks = Arc::new(chunks(batch.drain(..)));
        for tries in 1.. {
            let Err(error) = insert(&self.database, &chunks).await else {
                return;
            };
            tracing::warn!(%error, tries, "decisions could not be stored");
            if tasks.token().is_cancelled() && tries >= LAST_TRIES_MAX {
                tracing::error!("decisions were given up at shutdown");
                return;
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }
}

async fn insert(database: &Database, chunks: &Arc<Vec<Chunk>>) -> Result<(), Error> {
    let chunks = Arc::clone(chunks);
    database
        .write(move |tx: &mut Tx| {
            let chunks = Arc::clone(&chunks);
            Box::pin(async move { store::decisions::insert(tx, &chunks).await })
        })
        .await
}

/// One chunk per workspace.
fn chunks(batch: impl Iterator<Item = Logged>) -> Vec<Chunk> {
    let mut by_workspace: BTreeMap<Arc<str>, (BytesMut, Vec<uuid::Uuid>)> = BTreeMap::new();
    for logged in batch {
        let (data, ids) = by_workspace.entry(logged.workspace).or_default();
        let record = answer::record(&logged.header, &logged.plan, &logged.decided);
        // A growable buffer always has room.
        let _ = record.encode_length_delimited(data);
        ids.push(logged.header.decision_id);
    }
    let chunks = by_workspace.into_iter();
    let chunks = chunks.filter_map(|(workspace, (data, ids))| {
        Some(Chunk {
            workspace,
            first_id: ids.iter().min()?.to_string(),
            last_id: ids.iter().max()?.to_string(),
            count: ids.len() as i64,
            data: data.freeze(),
        })
    });
    chunks.collect()
}

/// Finds a decision in a chunk.
pub fn find(mut chunk: Bytes, decision_id: &str) -> Option<Decision> {
    while chunk.has_remaining() {
        let decision = Decision::decode_length_delimited(&mut chunk).ok()?;
        if decision.decision_id == decision_id {
            return Some(decision);
        }
    }
    None
}
