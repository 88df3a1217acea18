//! One failure on its way out: code, reason, details. Each constructor is a row of the
//! contract's `ErrorReason`; nothing else in the product picks a gRPC code.

use std::{collections::HashMap, error::Error, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::{DOMAIN, REASON_PREFIX, Reason, Violations, violations::Violation};

/// A failure with its reason; becomes a [`Status`] by `into()`.
#[derive(Debug, Clone)]
#[must_use]
pub struct Fault {
    reason: Reason,
    message: String,
    metadata: Vec<(&'static str, String)>,
    detail: Detail,
}

#[derive(Debug, Clone)]
enum Detail {
    None,
    Fields(Vec<Violation>),
    Resource { kind: &'static str, name: String },
    RetryAfter(Duration),
}

impl Fault {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            metadata: Vec::new(),
            detail: Detail::None,
        }
    }

    /// Adds a fact that a program can act on.
    pub fn with(mut self, key: &'static str, value: impl ToString) -> Self {
        self.metadata.push((key, value.to_string()));
        self
    }

    fn resource(mut self, kind: &'static str, name: impl Into<String>) -> Self {
        let name = name.into();
        self.detail = Detail::Resource { kind, name };
        self
    }

    fn retry_after(mut self, delay: Duration) -> Self {
        self.detail = Detail::RetryAfter(delay);
        self
    }

    fn fields(mut self, violations: Violations) -> Self {
        let left_off = violations.left_off();
        self.detail = Detail::Fields(violations.into_list());
        if left_off > 0 {
            self = self.with("violations_left_off", left_off);
        }
        self
    }

    /// Fields that break their rules, all of them.
    pub fn invalid(violations: Violations) -> Self {
        let message = match (violations.len(), violations.iter().next()) {
            (1, Some(only)) if only.field.is_empty() => format!("the request {}", only.rule),
            (1, Some(only)) => format!("{} {}", only.field, only.rule),
            (count, _) => format!("{count} fields are invalid"),
        };
        Self::new(Reason::InvalidFields, message).fields(violations)
    }

    /// A body that is no JSON, or no such message. `problem` says where and why.
    pub fn malformed_body(problem: impl Into<String>) -> Self {
        let problem = problem.into();
        Self::new(
            Reason::MalformedBody,
            format!("the body cannot be read: {problem}"),
        )
        .fields(Violations::of("", problem))
    }

    pub fn payload_too_large(limit_bytes: usize) -> Self {
        Self::new(
            Reason::PayloadTooLarge,
            format!("the message is larger than {limit_bytes} bytes"),
        )
        .with("limit_bytes", limit_bytes)
    }

    /// `kind` in the singular snake case of the contract: "item_type".
    pub fn not_found(kind: &'static str, name: impl Into<String>) -> Self {
        let name = name.into();
        Self::new(
            Reason::ResourceNotFound,
            format!("{kind} \"{name}\" does not exist"),
        )
        .resource(kind, name)
    }

    pub fn exists(kind: &'static str, name: impl Into<String>) -> Self {
        let name = name.into();
        Self::new(
            Reason::ResourceExists,
            format!("{kind} \"{name}\" exists already"),
        )
        .resource(kind, name)
    }

    pub fn etag_mismatch(kind: &'static str, name: impl Into<String>) -> Self {
        let name = name.into();
        Self::new(
            Reason::EtagMismatch,
            format!("{kind} \"{name}\" was changed since it was read"),
        )
        .resource(kind, name)
    }

    /// `referenced_by` names who still needs it: "items", "rule/spring".
    pub fn in_use(
        kind: &'static str,
        name: impl Into<String>,
        referenced_by: impl ToString,
    ) -> Self {
        let name = name.into();
        Self::new(
            Reason::ResourceInUse,
            format!("{kind} \"{name}\" is still in use"),
        )
        .with("referenced_by", referenced_by)
        .resource(kind, name)
    }

    /// `subject` is not in the state that the call needs: `("profile", "erased")`.
    pub fn wrong_state(subject: &'static str, state: impl ToString) -> Self {
        let state = state.to_string();
        Self::new(Reason::WrongState, format!("{subject} is {state}")).with(subject, state)
    }

    /// What undoing a merge would not part; empty `by` where they were joined before merges
    /// were recorded.
    pub fn still_joined(merge_id: impl ToString, by: &[impl ToString]) -> Self {
        let merge_id = merge_id.to_string();
        let by: Vec<_> = by.iter().map(ToString::to_string).collect();
        let others = match by.as_slice() {
            [] => "they were joined before merges were recorded".to_owned(),
            [one] => format!("merge {one} does too, and can be undone with it"),
            _ => format!(
                "merges {} do too, one of which can be undone with it",
                by.join(", ")
            ),
        };
        let message = format!("merge {merge_id} is not all that joins the two: {others}");
        Self::new(Reason::StillJoined, message)
            .with("merge_id", merge_id)
            .with("merge_ids", by.join(","))
    }

    pub fn key_missing() -> Self {
        Self::new(Reason::KeyMissing, "an API key is needed")
    }

    pub fn key_invalid() -> Self {
        Self::new(Reason::KeyInvalid, "the API key is not valid")
    }

    pub fn scope_insufficient(scope: impl ToString) -> Self {
        let scope = scope.to_string();
        Self::new(
            Reason::ScopeInsufficient,
            format!("the API key lacks the scope \"{scope}\""),
        )
        .with("scope", scope)
    }

    pub fn rate_limited(retry_after: Duration) -> Self {
        Self::new(Reason::RateLimited, "the API key's rate limit is used up")
            .retry_after(retry_after)
    }

    pub fn overloaded(retry_after: Duration) -> Self {
        Self::new(Reason::Overloaded, "the service has too much to do").retry_after(retry_after)
    }

    pub fn deadline_exceeded() -> Self {
        Self::new(Reason::DeadlineExceeded, "the deadline has passed")
    }

    pub fn unavailable(service: &str, retry_after: Duration) -> Self {
        Self::new(
            Reason::ServiceUnavailable,
            format!("{service} is not available"),
        )
        .with("service", service)
        .retry_after(retry_after)
    }

    pub fn shutting_down(retry_after: Duration) -> Self {
        Self::new(Reason::ShuttingDown, "the service is shutting down").retry_after(retry_after)
    }

    pub fn method_unknown(method: impl ToString) -> Self {
        let method = method.to_string();
        Self::new(Reason::MethodUnknown, format!("no such method: {method}")).with("method", method)
    }

    /// Tokens that this deployment did not sign, by the fields that hold them.
    pub fn token_invalid(violations: Violations) -> Self {
        Self::new(Reason::TokenInvalid, "a token is not valid").fields(violations)
    }

    /// Tokens that were good once, by the fields that hold them.
    pub fn token_expired(violations: Violations) -> Self {
        Self::new(Reason::TokenExpired, "a token has expired").fields(violations)
    }

    /// A subject token that was never one of ours, or whose person is gone.
    pub fn subject_token_invalid() -> Self {
        Self::new(
            Reason::SubjectTokenInvalid,
            "the subject token is not valid",
        )
    }

    /// A subject token whose time is over.
    pub fn subject_token_expired() -> Self {
        Self::new(Reason::SubjectTokenExpired, "the subject token has expired")
    }

    pub fn peer_unauthenticated() -> Self {
        Self::new(
            Reason::PeerUnauthenticated,
            "the call lacks the internal credential",
        )
    }

    pub fn position_trimmed(oldest_position: i64) -> Self {
        Self::new(
            Reason::PositionTrimmed,
            "the log no longer holds that position",
        )
        .with("oldest_position", oldest_position)
    }

    /// Anything that nobody foresaw. Logs the chain of causes, once, and answers only
    /// the id to find it by; an empty `request_id` is replaced by a fresh one.
    pub fn internal(error: &(dyn Error + 'static), request_id: &str) -> Self {
        let request_id = match request_id {
            "" => uuid::Uuid::now_v7().to_string(),
            known => known.to_owned(),
        };
        tracing::error!(%request_id, error = chain(error), "internal error");
        Self::new(
            Reason::Internal,
            format!("internal error, request {request_id}"),
        )
        .with("request_id", request_id)
    }

    pub fn reason(&self) -> Reason {
        self.reason
    }

    pub fn into_status(self) -> Status {
        self.into()
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let metadata: HashMap<String, String> = fault
            .metadata
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        let name = fault.reason.as_str_name();
        let name = name.strip_prefix(REASON_PREFIX).unwrap_or(name);
        let mut details = ErrorDetails::with_error_info(name, DOMAIN, metadata);
        match fault.detail {
            Detail::None => {}
            Detail::Fields(list) => {
                let list: Vec<_> = list
                    .into_iter()
                    .map(|v| FieldViolation::new(v.field, v.rule))
                    .collect();
                details.set_bad_request(list);
            }
            Detail::Resource { kind, name } => {
                details.set_resource_info(kind, name, "", fault.message.clone());
            }
            Detail::RetryAfter(delay) => {
                details.set_retry_info(Some(delay));
            }
        }
        Status::with_error_details(code_of(fault.reason), fault.message, details)
    }
}

fn code_of(reason: Reason) -> Code {
    match reason {
        Reason::Unspecified | Reason::Internal => Code::Internal,
        Reason::InvalidFields
        | Reason::MalformedBody
        | Reason::TokenInvalid
        | Reason::TokenExpired => Code::InvalidArgument,
        Reason::PayloadTooLarge | Reason::PositionTrimmed => Code::OutOfRange,
        Reason::ResourceNotFound => Code::NotFound,
        Reason::ResourceExists => Code::AlreadyExists,
        Reason::EtagMismatch => Code::Aborted,
        Reason::ResourceInUse | Reason::WrongState | Reason::StillJoined => {
            Code::FailedPrecondition
        }
        Reason::KeyMissing
        | Reason::KeyInvalid
        | Reason::SubjectTokenInvalid
        | Reason::SubjectTokenExpired
        | Reason::PeerUnauthenticated => Code::Unauthenticated,
        Reason::ScopeInsufficient => Code::PermissionDenied,
        Reason::RateLimited | Reason::Overloaded => Code::ResourceExhausted,
        Reason::DeadlineExceeded => Code::DeadlineExceeded,
        Reason::ServiceUnavailable | Reason::ShuttingDown => Code::Unavailable,
        Reason::MethodUnknown => Code::Unimplemented,
    }
}

/// The error and its causes on one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
