//! What is measured of deciding and of what came of it. Names and records; decides
//! nothing, and names no person.

use attune_api::rules::v1::OutcomeType;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram},
};

pub struct Metrics {
    decisions: Counter<u64>,
    fallbacks: Counter<u64>,
    slots: Counter<u64>,
    duration: Histogram<f64>,
    outcomes: Counter<u64>,
    conversion_value: Counter<f64>,
    unstored: Counter<u64>,
}

impl Metrics {
    /// Call after telemetry is set up: instruments made before it record nothing.
    pub fn new() -> Self {
        let meter = opentelemetry::global::meter("attune.rule_engine");
        Self {
            decisions: meter
                .u64_counter("attune.decisions")
                .with_unit("{decision}")
                .with_description("Placements decided")
                .build(),
            fallbacks: meter
                .u64_counter("attune.decisions.fallback")
                .with_unit("{decision}")
                .with_description("Placements for which the fallback was all there was")
                .build(),
            slots: meter
                .u64_counter("attune.decisions.slots")
                .with_unit("{slot}")
                .with_description("Slots filled")
                .build(),
            duration: meter
                .f64_histogram("attune.decide.duration")
                .with_unit("s")
                .with_description("Time to decide all placements of a request")
                .with_boundaries(vec![
                    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.025,
                ])
                .build(),
            outcomes: meter
                .u64_counter("attune.outcomes")
                .with_unit("{outcome}")
                .with_description("Exposures, clicks, dismissals and conversions, each once")
                .build(),
            conversion_value: meter
                .f64_counter("attune.outcomes.conversion_value")
                .with_unit("{currency}")
                .with_description("Value of conversions")
                .build(),
            unstored: meter
                .u64_counter("attune.decisions.unstored")
                .with_unit("{decision}")
                .with_description("Decisions answered but not stored, for the queue was full")
                .build(),
        }
    }

    pub fn decided(&self, placements: usize, fallbacks: usize, slots: usize, seconds: f64) {
        self.decisions.add(placements as u64, &[]);
        self.slots.add(slots as u64, &[]);
        self.duration.record(seconds, &[]);
        if fallbacks > 0 {
            self.fallbacks.add(fallbacks as u64, &[]);
        }
    }

    pub fn recorded(&self, outcome_type: i32, value: f64) {
        let name = match OutcomeType::try_from(outcome_type) {
            Ok(OutcomeType::Exposure) => "exposure",
            Ok(OutcomeType::Click) => "click",
            Ok(OutcomeType::Dismiss) => "dismiss",
            Ok(OutcomeType::Conversion) => "conversion",
            Ok(OutcomeType::Unspecified) | Err(_) => "unknown",
        };
        self.outcomes.add(1, &[KeyValue::new("type", name)]);
        if value > 0.0 {
            self.conversion_value.add(value, &[]);
        }
    }

    pub fn unstored(&self) {
        self.unstored.add(1, &[]);
    }
}
