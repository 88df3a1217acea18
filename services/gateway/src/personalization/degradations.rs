//! What an answer had to do without, and the line between a peer's trouble, which is
//! noted, and the caller's mistake, which is the answer.

use attune_api::gateway::v1::Degradation;
use attune_errors::reason_of;
use opentelemetry::{KeyValue, global, metrics::Counter};
use tonic::{Code, Status};

use crate::Error;

/// A peer by the name that answers and metrics give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Profile,
    RuleEngine,
    Catalog,
    Messaging,
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::RuleEngine => "rule-engine",
            Self::Catalog => "catalog",
            Self::Messaging => "messaging",
        }
    }
}

/// Counts degradations by service and reason.
pub struct Metrics(Counter<u64>);

impl Metrics {
    pub fn new() -> Self {
        let counter = global::meter("attune.gateway")
            .u64_counter("attune.personalize.degradations")
            .with_description("Parts of answers that a fallback stood in for")
            .build();
        Self(counter)
    }
}

/// The degradations of one answer, each service and reason once.
pub struct Degradations<'a> {
    metrics: &'a Metrics,
    list: Vec<Degradation>,
}

impl<'a> Degradations<'a> {
    pub fn new(metrics: &'a Metrics) -> Self {
        let list = Vec::new();
        Self { metrics, list }
    }

    /// Notes the peer's trouble, or gives back the caller's mistake.
    pub fn note(&mut self, peer: Peer, status: Status) -> Result<(), Error> {
        if is_callers(status.code()) {
            return Err(status.into());
        }
        self.note_always(peer, &status);
        Ok(())
    }

    /// Notes trouble that no caller could have avoided.
    pub fn note_always(&mut self, peer: Peer, status: &Status) {
        let reason = reason(status);
        let labels = [
            KeyValue::new("attune.service", peer.name()),
            KeyValue::new("attune.reason", reason.clone()),
        ];
        self.metrics.0.add(1, &labels);
        tracing::debug!(service = peer.name(), reason, "answer degraded");
        let known = self
            .list
            .iter()
            .any(|d| d.service == peer.name() && d.reason == reason);
        if !known {
            self.list.push(Degradation {
                service: peer.name().to_owned(),
                reason,
            });
        }
    }

    pub fn into_list(self) -> Vec<Degradation> {
        self.list
    }
}

/// Codes that name what was asked for, and not who was asked.
fn is_callers(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Aborted
            | Code::PermissionDenied
    )
}

fn reason(status: &Status) -> String {
    if let Some(reason) = reason_of(status) {
        let name = reason.as_str_name();
        return name
            .strip_prefix("ERROR_REASON_")
            .unwrap_or(name)
            .to_owned();
    }
    let reason = match status.code() {
        Code::DeadlineExceeded | Code::Cancelled => "DEADLINE_EXCEEDED",
        Code::ResourceExhausted => "OVERLOADED",
        Code::Unavailable => "SERVICE_UNAVAILABLE",
        _ => "INTERNAL",
    };
    reason.to_owned()
}
