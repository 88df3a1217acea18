//! Decisions on their way to the database, behind the answers. Bounded: when the
//! database cannot keep up, answers go on and what is not stored is counted. What is
//! queued is stored before the process ends, and can be asked for meanwhile.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use attune_api::rules::v1::Decision;
use attune_rpc::Tasks;
use attune_storage::{Database, Error, Tx};
use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::{Notify, oneshot};

use super::{
    metrics::Metrics,
    reports::{self, Counts, Reports},
};
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

/// What waits to be stored. A queue of our own, because a channel would wake the
/// writer for every decision, which costs more than deciding.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// A chunk is full, or someone waits for what is queued.
    is_due: Notify,
}

#[derive(Default)]
struct Waiting {
    decisions: VecDeque<Logged>,
    /// Told when everything queued before them is stored.
    flushes: Vec<oneshot::Sender<()>>,
    is_closed: bool,
}

/// The near end of the queue.
pub struct DecisionLog {
    queue: Arc<Queue>,
    queue_max: usize,
    writer: Mutex<Option<Writer>>,
    metrics: Arc<Metrics>,
}

struct Writer {
    queue: Arc<Queue>,
    database: Database,
    reports: Arc<Reports>,
    flush_after: Duration,
}

impl DecisionLog {
    pub fn new(
        database: &Database,
        queue_max: usize,
        flush_after: Duration,
        metrics: &Arc<Metrics>,
        reports: &Arc<Reports>,
    ) -> Self {
        let queue = Arc::new(Queue::default());
        Self {
            queue: Arc::clone(&queue),
            queue_max,
            writer: Mutex::new(Some(Writer {
                queue,
                database: database.clone(),
                reports: Arc::clone(reports),
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
        let mut waiting = self.queue.waiting.lock();
        if waiting.is_closed || waiting.decisions.len() >= self.queue_max {
            drop(waiting);
            self.metrics.unstored();
            return;
        }
        waiting.decisions.push_back(logged);
        let is_full = waiting.decisions.len() == CHUNK_MAX;
        drop(waiting);
        if is_full {
            self.queue.is_due.notify_one();
        }
    }

    /// Returns when everything pushed before is stored.
    pub async fn flush(&self) {
        let (done, is_done) = oneshot::channel();
        {
            let mut waiting = self.queue.waiting.lock();
            if waiting.is_closed || self.writer.lock().is_some() {
                return;
            }
            waiting.flushes.push(done);
        }
        self.queue.is_due.notify_one();
        // Without an answer the writer has ended, and has stored what it had.
        let _ = is_done.await;
    }
}

impl Writer {
    async fn run(self, tasks: Tasks) {
        let stop = tasks.token();
        while !stop.is_cancelled() {
            tokio::select! {
                () = self.queue.is_due.notified() => {}
                () = tokio::time::sleep(self.flush_after) => {}
                () = stop.cancelled() => {}
            }
            self.store_all(&tasks).await;
        }
        self.queue.waiting.lock().is_closed = true;
        self.store_all(&tasks).await;
    }

    /// Stores chunk by chunk until nothing waits.
    async fn store_all(&self, tasks: &Tasks) {
        loop {
            let (batch, flushes) = {
                let mut waiting = self.queue.waiting.lock();
                let count = waiting.decisions.len().min(CHUNK_MAX);
                let batch: Vec<Logged> = waiting.decisions.drain(..count).collect();
                let is_last = waiting.decisions.is_empty();
                let flushes = is_last.then(|| std::mem::take(&mut waiting.flushes));
                (batch, flushes)
            };
            self.store(batch, tasks).await;
            let Some(flushes) = flushes else { continue };
            for waiter in flushes {
                // Whoever asked may have gone.
                let _ = waiter.send(());
            }
            return;
        }
    }

    async fn store(&self, batch: Vec<Logged>, tasks: &Tasks) {
        if batch.is_empty() {
            return;
        }
        // Off the reactor: encoding a full chunk is milliseconds of work.
        let encoded = tokio::task::spawn_blocking(move || chunks(batch.into_iter()));
        let Ok(chunks) = encoded.await else {
            return;
        };
        for tries in 1.. {
            let Err(error) = self.insert(&chunks).await else {
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

    /// Stores chunks together with what they add to the counts.
    async fn insert(&self, chunks: &Encoded) -> Result<(), Error> {
        let mut fitting = Vec::with_capacity(chunks.len());
        for (chunk, counts) in chunks {
            fitting.push((chunk.clone(), self.reports.fit(counts.clone()).await?));
        }
        let fitting = Arc::new(fitting);
        let inserting = Arc::clone(&fitting);
        self.database
            .write(move |tx: &mut Tx| {
                let chunks = Arc::clone(&inserting);
                Box::pin(async move { insert(tx, &chunks).await })
            })
            .await?;
        for (_, counts) in fitting.iter() {
            self.reports.note(counts);
        }
        Ok(())
    }
}

/// Chunks with what their decisions add to the counts.
type Encoded = Vec<(Chunk, Counts)>;

async fn insert(tx: &mut Tx, encoded: &Encoded) -> Result<(), Error> {
    let chunks: Vec<Chunk> = encoded.iter().map(|(chunk, _)| chunk.clone()).collect();
    let new = store::decisions::insert(tx, &chunks).await?;
    // Chunks are in the order of their workspaces, and so are their counts.
    let counted = encoded
        .iter()
        .filter(|(chunk, _)| new.contains(&chunk.last_id));
    let counts = counted.flat_map(|(_, counts)| counts);
    store::reports::add(tx, counts).await
}

/// What is collected of one workspace.
#[derive(Default)]
struct Collected {
    data: BytesMut,
    ids: Vec<uuid::Uuid>,
    counts: Counts,
}

/// One chunk per workspace.
fn chunks(batch: impl Iterator<Item = Logged>) -> Encoded {
    let mut by_workspace: BTreeMap<Arc<str>, Collected> = BTreeMap::new();
    for logged in batch {
        let Logged {
            workspace,
            header,
            plan,
            decided,
        } = logged;
        let collected = by_workspace.entry(Arc::clone(&workspace)).or_default();
        let record = answer::record(&header, &plan, &decided).into_bytes();
        prost::encoding::encode_varint(record.len() as u64, &mut collected.data);
        collected.data.extend_from_slice(&record);
        collected.ids.push(header.decision_id);
        let channel = header.request.channel.as_str().into();
        let (id, counts) = (header.decision_id, &mut collected.counts);
        reports::count_decision(counts, &workspace, id, &channel, &plan, &decided);
    }
    let chunks = by_workspace.into_iter();
    let chunks = chunks.filter_map(|(workspace, Collected { data, ids, counts })| {
        let chunk = Chunk {
            workspace,
            first_id: ids.iter().min()?.to_string(),
            last_id: ids.iter().max()?.to_string(),
            count: ids.len() as i64,
            data: data.freeze(),
        };
        Some((chunk, counts))
    });
    chunks.collect()
}

/// Finds a decision in a chunk.
pub fn find(chunk: Bytes, decision_id: &str) -> Option<Decision> {
    let is_it = |key: &Key| key.decision_id == decision_id;
    let record = records(chunk).find(|(key, _)| is_it(key))?.1;
    Decision::decode(record).ok()
}

/// What decisions are looked for by; the tags are the contract's.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Key {
    #[prost(string, tag = "1")]
    pub decision_id: String,
    #[prost(string, tag = "3")]
    pub profile_id: String,
    #[prost(string, tag = "5")]
    pub placement: String,
}

/// The records of a chunk as bytes, each with its key.
pub fn records(mut chunk: Bytes) -> impl Iterator<Item = (Key, Bytes)> {
    std::iter::from_fn(move || {
        if !chunk.has_remaining() {
            return None;
        }
        let length = prost::encoding::decode_varint(&mut chunk).ok()?;
        let length = usize::try_from(length).ok()?;
        if length > chunk.len() {
            return None;
        }
        let record = chunk.split_to(length);
        Some((Key::decode(record.clone()).ok()?, record))
    })
}
