//! How far a follower is behind. Names and records; decides nothing.

use std::time::Duration;

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram},
};

pub(crate) struct Metrics {
    lag: Gauge<i64>,
    delay: Histogram<f64>,
    entries: Counter<u64>,
    attributes: [KeyValue; 2],
}

impl Metrics {
    pub(crate) fn new(consumer: &'static str, source: &'static str) -> Self {
        let meter = opentelemetry::global::meter("attune.events");
        Self {
            lag: meter
                .i64_gauge("attune.events.consumer.lag")
                .with_unit("{entry}")
                .with_description("Entries in the log that the consumer has not handled")
                .build(),
            delay: meter
                .f64_histogram("attune.events.consumer.delay")
                .with_unit("s")
                .with_description("From an entry's commit until the consumer handled it")
                .with_boundaries(vec![
                    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0, 60.0,
                ])
                .build(),
            entries: meter
                .u64_counter("attune.events.consumer.entries")
                .with_unit("{entry}")
                .with_description("Entries handled")
                .build(),
            attributes: [
                KeyValue::new("attune.events.consumer", consumer),
                KeyValue::new("attune.events.source", source),
            ],
        }
    }

    pub(crate) fn handled(&self, entries: u64, lag: i64, delay: Option<Duration>) {
        self.lag.record(lag, &self.attributes);
        self.entries.add(entries, &self.attributes);
        if let Some(delay) = delay {
            self.delay.record(delay.as_secs_f64(), &self.attributes);
        }
    }
}
