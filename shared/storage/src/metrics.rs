//! What is measured of a database: commits, batches and the queue before them.
//! Names and records; decides nothing.

use std::time::Duration;

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram},
};

pub(crate) struct Metrics {
    commit_duration: Histogram<f64>,
    batch_size: Histogram<u64>,
    queue_depth: Gauge<u64>,
    refused: Counter<u64>,
    attributes: [KeyValue; 2],
}

impl Metrics {
    /// Call after telemetry is set up: instruments made before it record nothing.
    pub(crate) fn new(system: &'static str, name: String) -> Self {
        let meter = opentelemetry::global::meter("attune.storage");
        Self {
            commit_duration: meter
                .f64_histogram("attune.storage.commit.duration")
                .with_unit("s")
                .with_description("From the start of a batch to its commit")
                .with_boundaries(vec![
                    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0,
                ])
                .build(),
            batch_size: meter
                .u64_histogram("attune.storage.batch.size")
                .with_unit("{write}")
                .with_description("Writes that shared one transaction")
                .with_boundaries(vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0])
                .build(),
            queue_depth: meter
                .u64_gauge("attune.storage.queue.depth")
                .with_unit("{write}")
                .with_description("Writes that wait for the database")
                .build(),
            refused: meter
                .u64_counter("attune.storage.queue.refused")
                .with_unit("{write}")
                .with_description("Writes refused because the queue was full")
                .build(),
            attributes: [
                KeyValue::new("db.system.name", system),
                KeyValue::new("db.namespace", name),
            ],
        }
    }

    pub(crate) fn committed(&self, writes: usize, took: Duration, waiting: usize) {
        self.commit_duration
            .record(took.as_secs_f64(), &self.attributes);
        self.batch_size.record(writes as u64, &self.attributes);
        self.queue_depth.record(waiting as u64, &self.attributes);
    }

    pub(crate) fn refused(&self) {
        self.refused.add(1, &self.attributes);
    }
}
