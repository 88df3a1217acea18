//! Reads ahead: rows of the file, built, in batches that fit one call. Sends nothing.

use std::collections::HashSet;

use tokio::sync::mpsc;

use super::{
    build::{Builder, Built, Record},
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
    /// Who comes to a list or leaves it with this batch.
    members: HashSet<Identified>,
}

/// Namespace and value of an identifier.
type Identified = (String, String);

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
            let line = read.line();
            let (built, raw) = self.build(read);
            // A call says who comes and who leaves, and not what came first: of one person
            // the later row is for the next.
            if batch.names(&built) && to.blocking_send(Ok(std::mem::take(&mut batch))).is_err() {
                return;
            }
            if index > self.done_rows {
                batch.take(line, raw, built);
            }
            let full = batch.send.len() >= self.size || batch.bytes >= BATCH_BYTES_MAX;
            let long = batch.rows >= 20 * self.size as u64;
            if (full || long) && to.blocking_send(Ok(std::mem::take(&mut batch))).is_err() {
                return;
            }
        }
        let _ = to.blocking_send(Ok(batch));
    }

    /// Rows that were dealt with are built all the same, to know items that come again.
    fn build(&mut self, read: Reading) -> (Built, String) {
        match read {
            Reading::Row(row) => (self.builder.build(&row), row.raw),
            Reading::Broken { raw, why, .. } => (Built::Rejected(why), raw),
        }
    }
}

fn identified(built: &Built) -> Option<Identified> {
    let Built::Send(record) = built else {
        return None;
    };
    match &**record {
        Record::Member(member) => member.identified(),
        Record::Item(_) | Record::Message(_) => None,
    }
}

impl Batch {
    fn names(&self, built: &Built) -> bool {
        identified(built).is_some_and(|who| self.members.contains(&who))
    }

    fn take(&mut self, line: u64, raw: String, built: Built) {
        self.rows += 1;
        self.members.extend(identified(&built));
        match built {
            Built::Skipped => self.counts.skipped += 1,
            Built::Repeated => self.counts.repeated += 1,
            Built::Rejected(reason) => {
                self.counts.rejected += 1;
                self.rejects.push(Reject { line, reason, raw });
            }
            Built::Send(record) => {
                self.bytes += record.encoded_len() + 8;
                self.send.push(Outgoing { line, raw, record });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::{
        mapping::{Mapping, What},
        row::Row,
    };

    #[test]
    fn who_comes_twice_is_in_two_batches() {
        let mapping = r#"
            kind = "members"
            [member]
            segment_id = "vips"
            namespace = "email"
            value = "{mail}"
            remove = [{ column = "out", equals = "yes" }]
        "#;
        let mapping = Mapping::parse(mapping, What::Members).unwrap();
        let names = mapping.columns.names().to_vec();
        let row = move |(mail, out): (&str, &str)| {
            let row = Row::of_texts(&names, &[("mail", mail), ("out", out)]);
            Ok(Reading::Row(row))
        };
        let rows = [
            ("a@x.org", "yes"),
            ("b@x.org", ""),
            ("a@x.org", ""),
            ("c@x.org", ""),
            ("c@x.org", "yes"),
        ];
        let batches = Batches {
            builder: Builder::new(mapping, "f"),
            rows: Box::new(rows.map(row).into_iter()),
            done_rows: 0,
            size: 100,
        };
        let (to, mut from) = mpsc::channel(10);
        batches.run(&to);
        drop(to);
        let mut sizes = Vec::new();
        while let Ok(batch) = from.try_recv() {
            sizes.push(batch.unwrap().send.len());
        }
        assert_eq!(sizes, [2, 2, 1]);
    }
}
