//! Reads ahead: rows of the file, built, in batches that fit one call. Sends nothing.

use tokio::sync::mpsc;

use super::{
    build::{Builder, Built},
    reader::{self, Reading},
    rejects::Reject,
    send::Outgoing,
    state::Counts,
};

/// Below the default limit of a request, with room for what is around the rows.
const BATCH_BYTES_MAX: usize = 900 << 10;

/// Some rows of the file, in its order.
#[derive(Default)]
pub struct Batch {
    pub send: Vec<Outgoing>,
    pub bytes: usize,
    /// Of rows that are not sent.
    pub counts: Counts,
    pub rejects: Vec<Reject>,
    pub rows: u64,
}

/// Reads and builds; runs on a thread of its own.
pub struct Batches {
    pub builder: Builder,
    pub rows: reader::Rows,
    pub done_rows: u64,
    pub size: usize,
}

impl Batches {
    /// Until the file ends, or nobody takes batches any more.
    pub fn run(mut self, to: &mpsc::Sender<anyhow::Result<Batch>>) {
        let mut batch = Batch::default();
        let mut index = 0;
        while let Some(read) = self.rows.next() {
            let read = match read {
                Ok(read) => read,
                Err(error) => {
                    // What came before the fault is sent; the fault ends the import.
                    let _ = to.blocking_send(Ok(batch));
                    let _ = to.blocking_send(Err(error.context("the file cannot be read on")));
                    return;
                }
            };
            index += 1;
            self.take(read, index > self.done_rows, &mut batch);
            let full = batch.send.len() >= self.size || batch.bytes >= BATCH_BYTES_MAX;
            let long = batch.rows >= 20 * self.size as u64;
            if (full || long) && to.blocking_send(Ok(std::mem::take(&mut batch))).is_err() {
                return;
            }
        }
        let _ = to.blocking_send(Ok(batch));
    }

    /// Rows that were dealt with are built all the same, to know items that come again.
    fn take(&mut self, read: Reading, is_new: bool, batch: &mut Batch) {
        let line = read.line();
        let (built, raw) = match read {
            Reading::Row(row) => (self.builder.build(&row), row.raw),
            Reading::Broken { raw, why, .. } => (Built::Rejected(why), raw),
        };
        if !is_new {
            return;
        }
        batch.rows += 1;
        match built {
            Built::Skipped => batch.counts.skipped += 1,
            Built::Repeated => batch.counts.repeated += 1,
            Built::Rejected(reason) => {
                batch.counts.rejected += 1;
                batch.rejects.push(Reject { line, reason, raw });
            }
            Built::Send(record) => {
                batch.bytes += record.encoded_len() + 8;
                batch.send.push(Outgoing { line, raw, record });
            }
        }
    }
}
