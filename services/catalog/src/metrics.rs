//! What is measured of the catalog. Names and records; decides nothing.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, UpDownCounter},
};

use crate::domain::item::Change;

pub(crate) struct Metrics {
    writes: Counter<u64>,
    items: UpDownCounter<i64>,
    reads: Counter<u64>,
}

impl Metrics {
    /// Call after telemetry is set up. `items` is how many there are.
    pub fn new(items: i64) -> Self {
        let meter = opentelemetry::global::meter("attune.catalog");
        let metrics = Self {
            writes: meter
                .u64_counter("attune.catalog.item.writes")
                .with_unit("{item}")
                .with_description(
                    "Items that were sent to be stored or deleted, by what came of it",
                )
                .build(),
            items: meter
                .i64_up_down_counter("attune.catalog.items")
                .with_unit("{item}")
                .with_description("Items in the catalog")
                .build(),
            reads: meter
                .u64_counter("attune.catalog.item.cache.misses")
                .with_unit("{item}")
                .with_description("Items that had to be read from the database")
                .build(),
        };
        metrics.items.add(items, &[]);
        metrics
    }

    pub fn written(&self, change: Change, items: usize) {
        if items == 0 {
            return;
        }
        let (name, more) = match change {
            Change::Created => ("created", items as i64),
            Change::Updated => ("updated", 0),
            Change::Unchanged => ("unchanged", 0),
        };
        self.record(name, items as u64, more);
    }

    pub fn deleted(&self) {
        self.record("deleted", 1, -1);
    }

    pub fn missed(&self, items: usize) {
        self.reads.add(items as u64, &[]);
    }

    fn record(&self, change: &'static str, items: u64, more: i64) {
        let attributes = [KeyValue::new("attune.change", change)];
        self.writes.add(items, &attributes);
        self.items.add(more, &[]);
    }
}
