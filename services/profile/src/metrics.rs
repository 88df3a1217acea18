//! What is measured of the profile service. Names and records; decides nothing.

use opentelemetry::{KeyValue, metrics::Counter};

pub struct Metrics {
    messages: Counter<u64>,
    events: Counter<u64>,
    created: Counter<u64>,
    merged: Counter<u64>,
    refused: Counter<u64>,
    snapshots: Counter<u64>,
    expired: Counter<u64>,
}

impl Metrics {
    /// Call after telemetry is set up: instruments made before it record nothing.
    pub fn new() -> Self {
        let meter = opentelemetry::global::meter("attune.profile");
        let counter = |name: &'static str, unit: &'static str, description: &'static str| {
            let counter = meter.u64_counter(name).with_unit(unit);
            counter.with_description(description).build()
        };
        Self {
            messages: counter(
                "attune.profile.messages",
                "{message}",
                "Messages taken in, by status: accepted or duplicate",
            ),
            events: counter(
                "attune.profile.events",
                "{event}",
                "Events written to the timeline",
            ),
            created: counter(
                "attune.profile.profiles.created",
                "{profile}",
                "Profiles that began",
            ),
            merged: counter(
                "attune.profile.profiles.merged",
                "{profile}",
                "Profiles that turned out to be part of another",
            ),
            expired: counter(
                "attune.profile.retention.dropped",
                "{row}",
                "What was dropped because it was too old, by class of data",
            ),
            refused: counter(
                "attune.profile.merges.refused",
                "{merge}",
                "Profiles and identifiers that were not joined, by reason",
            ),
            snapshots: counter(
                "attune.profile.snapshots.loaded",
                "{snapshot}",
                "Snapshots that were not in memory",
            ),
        }
    }

    pub fn messages(&self, accepted: usize, duplicates: usize) {
        for (status, count) in [("accepted", accepted), ("duplicate", duplicates)] {
            let status = KeyValue::new("attune.profile.message.status", status);
            self.messages.add(count as u64, &[status]);
        }
    }

    pub fn written(&self, events: usize, created: usize, merged: usize) {
        self.events.add(events as u64, &[]);
        self.created.add(created as u64, &[]);
        self.merged.add(merged as u64, &[]);
    }

    pub fn expired(&self, class: &'static str, count: usize) {
        let class = KeyValue::new("attune.profile.retention.class", class);
        self.expired.add(count as u64, &[class]);
    }

    pub fn refused(&self, reason: &'static str) {
        let reason = KeyValue::new("attune.profile.refusal.reason", reason);
        self.refused.add(1, &[reason]);
    }

    pub fn snapshot_loaded(&self) {
        self.snapshots.add(1, &[]);
    }
}
