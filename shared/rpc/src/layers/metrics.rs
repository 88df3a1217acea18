//! How long calls take and how they end, by OpenTelemetry's conventions for RPC:
//! `rpc.server.call.duration` and `rpc.client.call.duration`, in seconds.

use std::time::Instant;

use http::Request;
use opentelemetry::{KeyValue, global, metrics::Histogram};
use tonic::Code;

use super::{Observation, Observer};
use crate::{Call, Method};

/// From a call within a process to one that has run into its deadline.
const BOUNDARIES_SECONDS: [f64; 16] = [
    0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005,
    0.01, 0.05, 0.1, 0.5, 1.0, 10.0,
];

/// Measures calls on one side.
#[derive(Debug, Clone)]
pub struct Metrics {
    duration: Histogram<f64>,
}

impl Metrics {
    pub fn server() -> Self {
        Self::named("rpc.server.call.duration", "How long answering took.")
    }

    pub fn client() -> Self {
        Self::named("rpc.client.call.duration", "How long the answer took.")
    }

    fn named(name: &'static str, description: &'static str) -> Self {
        let meter = global::meter("attune-rpc");
        let duration = meter
            .f64_histogram(name)
            .with_unit("s")
            .with_description(description)
            .with_boundaries(BOUNDARIES_SECONDS.to_vec())
            .build();
        Self { duration }
    }
}

impl Observer for Metrics {
    type Watch = Measurement;

    fn begin<B>(&self, request: &mut Request<B>) -> Measurement {
        let (method, start) = match Call::of(request.extensions()) {
            Some(call) => (call.method, call.begin),
            None => (Method::at(request.uri().path()), Instant::now()),
        };
        Measurement {
            duration: self.duration.clone(),
            method,
            start,
        }
    }
}

pub struct Measurement {
    duration: Histogram<f64>,
    method: &'static Method,
    start: Instant,
}

impl Observation for Measurement {
    fn end(self, code: Code) {
        let seconds = self.start.elapsed().as_secs_f64();
        if code == Code::Ok {
            self.duration.record(seconds, &self.method.attributes_ok);
            return;
        }
        let [system, method, _] = self.method.attributes_ok.clone();
        let code = code_name(code);
        let status = KeyValue::new("rpc.response.status_code", code);
        let error = KeyValue::new("error.type", code);
        self.duration
            .record(seconds, &[system, method, status, error]);
    }
}

/// A code as the conventions spell it.
pub(super) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
