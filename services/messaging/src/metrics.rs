//! What messaging counts and times, by OpenTelemetry. No personal attribute ever.

use std::time::Duration;

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram},
};

use crate::domain::message::EMAIL;

#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    messages: Counter<u64>,
    attempts: Counter<u64>,
    delivery: Histogram<f64>,
    render: Histogram<f64>,
}

/// How one attempt to deliver ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    Delivered,
    WillRetry,
    Failed,
}

impl Attempt {
    fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::WillRetry => "will_retry",
            Self::Failed => "failed",
        }
    }
}

impl Metrics {
    pub fn new() -> Self {
        let meter = global::meter("attune.messaging");
        Self {
            messages: meter
                .u64_counter("attune.messaging.messages")
                .with_unit("{message}")
                .with_description("Messages queued, delivered and failed for good.")
                .build(),
            attempts: meter
                .u64_counter("attune.messaging.attempts")
                .with_unit("{attempt}")
                .with_description("Attempts to deliver, by how they ended.")
                .build(),
            delivery: meter
                .f64_histogram("attune.messaging.delivery.duration")
                .with_unit("s")
                .with_description("From acceptance of a message to its delivery.")
                .with_boundaries(vec![
                    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0,
                    86_400.0,
                ])
                .build(),
            render: meter
                .f64_histogram("attune.messaging.render.duration")
                .with_unit("s")
                .with_description("Rendering of all parts of one message.")
                .build(),
        }
    }

    pub fn queued(&self) {
        self.messages.add(1, &state("queued"));
    }

    pub fn attempted(&self, attempt: Attempt, since_created_ms: i64) {
        let outcome = KeyValue::new("outcome", attempt.as_str());
        self.attempts
            .add(1, &[KeyValue::new("channel", EMAIL), outcome]);
        match attempt {
            Attempt::Delivered => {
                self.messages.add(1, &state("delivered"));
                let seconds = since_created_ms.max(0) as f64 / 1_000.0;
                self.delivery
                    .record(seconds, &[KeyValue::new("channel", EMAIL)]);
            }
            Attempt::Failed => self.messages.add(1, &state("failed")),
            Attempt::WillRetry => {}
        }
    }

    pub fn rendered(&self, took: Duration) {
        self.render.record(took.as_secs_f64(), &[]);
    }
}

fn state(state: &'static str) -> [KeyValue; 2] {
    [
        KeyValue::new("channel", EMAIL),
        KeyValue::new("state", state),
    ]
}
