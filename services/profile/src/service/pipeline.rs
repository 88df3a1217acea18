//! The one way into the database: takes what waits, writes it in one transaction, brings
//! memory up to date and only then answers. One batch at a time, so what a batch found
//! in memory is still true when it commits.

use std::{num::NonZeroUsize, sync::Arc};

use attune_storage::{Batcher, BatcherOptions};

use super::{
    Shared,
    ingest::{self, Submission},
    write::InTurn,
};
use crate::Error;

/// Messages in one transaction, unless a single request brings more.
const CHUNK_MESSAGES: usize = 1_024;
const QUEUE_MAX: usize = 4_096;
const BATCH_MAX: NonZeroUsize = match NonZeroUsize::new(1_024) {
    Some(max) => max,
    None => NonZeroUsize::MIN,
};

/// A write that waits for its turn.
pub enum Job {
    Messages(Arc<Submission>),
    /// Anything else; it tells whoever asked itself.
    Other(InTurn),
}

/// What became of a job's messages; nothing for other jobs.
pub type Done = Vec<ingest::Result>;

pub type Writer = Batcher<Job, Result<Done, Error>>;

pub struct Pipeline;

impl Pipeline {
    pub fn spawn(shared: Arc<Shared>) -> Writer {
        let options = BatcherOptions {
            queue_max: QUEUE_MAX,
            batch_max: BATCH_MAX,
        };
        Batcher::new(options, move |jobs| run(shared.clone(), jobs))
    }
}

async fn run(shared: Arc<Shared>, jobs: Vec<Job>) -> Vec<Result<Done, Error>> {
    let mut done = Vec::with_capacity(jobs.len());
    let mut chunk: Vec<Arc<Submission>> = Vec::new();
    let mut messages = 0;
    for job in jobs {
        match job {
            Job::Messages(submission) => {
                let more = submission.messages.len();
                if messages + more > CHUNK_MESSAGES {
                    flush(&shared, &mut chunk, &mut done).await;
                    messages = 0;
                }
                messages += more;
                chunk.push(submission);
            }
            Job::Other(work) => {
                flush(&shared, &mut chunk, &mut done).await;
                messages = 0;
                work(shared.clone()).await;
                done.push(Ok(Vec::new()));
            }
        }
    }
    flush(&shared, &mut chunk, &mut done).await;
    done
}

async fn flush(
    shared: &Arc<Shared>,
    chunk: &mut Vec<Arc<Submission>>,
    done: &mut Vec<Result<Done, Error>>,
) {
    if chunk.is_empty() {
        return;
    }
    let submissions = std::mem::take(chunk);
    done.extend(ingest::write(shared, submissions).await);
}
