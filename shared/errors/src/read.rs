//! Reads a status that came from one of our services back into its parts. Anything
//! not in our domain reads as nothing, so that a proxy's error is never mistaken for ours.

use std::time::Duration;

use tonic::Status;
use tonic_types::StatusExt;

use crate::{DOMAIN, REASON_PREFIX, Reason};

/// Our reason, if the status carries one that this version knows.
pub fn reason_of(status: &Status) -> Option<Reason> {
    let info = status.get_details_error_info()?;
    if info.domain != DOMAIN {
        return None;
    }
    Reason::from_str_name(&format!("{REASON_PREFIX}{}", info.reason))
}

/// Pairs of field path and broken rule; empty when it is no such failure.
pub fn violations_of(status: &Status) -> Vec<(String, String)> {
    status.get_details_bad_request().map_or_else(Vec::new, |b| {
        b.field_violations
            .into_iter()
            .map(|v| (v.field, v.description))
            .collect()
    })
}

/// One entry of the `ErrorInfo`'s metadata.
pub fn metadata_of(status: &Status, key: &str) -> Option<String> {
    status.get_details_error_info()?.metadata.remove(key)
}

/// How long to wait before the call can be tried again.
pub fn retry_after_of(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fault, Violations};
    use tonic::Code;

    #[test]
    fn every_reason_keeps_its_code_and_can_be_read_back() {
        let second = Duration::from_secs(1);
        let rows = [
            (
                Fault::invalid(Violations::of("a", "b")),
                Reason::InvalidFields,
                Code::InvalidArgument,
            ),
            (
                Fault::malformed_body("no JSON"),
                Reason::MalformedBody,
                Code::InvalidArgument,
            ),
            (
                Fault::payload_too_large(9),
                Reason::PayloadTooLarge,
                Code::OutOfRange,
            ),
            (
                Fault::not_found("item", "1"),
                Reason::ResourceNotFound,
                Code::NotFound,
            ),
            (
                Fault::exists("item", "1"),
                Reason::ResourceExists,
                Code::AlreadyExists,
            ),
            (
                Fault::etag_mismatch("item", "1"),
                Reason::EtagMismatch,
                Code::Aborted,
            ),
            (
                Fault::in_use("item", "1", "rule/a"),
                Reason::ResourceInUse,
                Code::FailedPrecondition,
            ),
            (
                Fault::key_missing(),
                Reason::KeyMissing,
                Code::Unauthenticated,
            ),
            (
                Fault::key_invalid(),
                Reason::KeyInvalid,
                Code::Unauthenticated,
            ),
            (
                Fault::scope_insufficient("admin"),
                Reason::ScopeInsufficient,
                Code::PermissionDenied,
            ),
            (
                Fault::rate_limited(second),
                Reason::RateLimited,
                Code::ResourceExhausted,
            ),
            (
                Fault::overloaded(second),
                Reason::Overloaded,
                Code::ResourceExhausted,
            ),
            (
                Fault::deadline_exceeded(),
                Reason::DeadlineExceeded,
                Code::DeadlineExceeded,
            ),
            (
                Fault::unavailable("profile", second),
                Reason::ServiceUnavailable,
                Code::Unavailable,
            ),
            (
                Fault::method_unknown("/x"),
                Reason::MethodUnknown,
                Code::Unimplemented,
            ),
            (
                Fault::token_invalid(Violations::of("a", "b")),
                Reason::TokenInvalid,
                Code::InvalidArgument,
            ),
            (
                Fault::token_expired(Violations::of("a", "b")),
                Reason::TokenExpired,
                Code::InvalidArgument,
            ),
            (
                Fault::shutting_down(second),
                Reason::ShuttingDown,
                Code::Unavailable,
            ),
            (
                Fault::peer_unauthenticated(),
                Reason::PeerUnauthenticated,
                Code::Unauthenticated,
            ),
            (
                Fault::wrong_state("profile", "erased"),
                Reason::WrongState,
                Code::FailedPrecondition,
            ),
            (
                Fault::still_joined("m", &["n", "o"]),
                Reason::StillJoined,
                Code::FailedPrecondition,
            ),
            (
                Fault::position_trimmed(7),
                Reason::PositionTrimmed,
                Code::OutOfRange,
            ),
            (
                Fault::internal(&std::fmt::Error, "r"),
                Reason::Internal,
                Code::Internal,
            ),
        ];
        for (fault, reason, code) in rows {
            let status = Status::from(fault);
            assert_eq!(reason_of(&status), Some(reason));
            assert_eq!(status.code(), code, "{reason:?}");
        }
    }

    #[test]
    fn details_survive_the_wire() {
        let mut found = Violations::new();
        found.push("a", "must be set");
        found.push("b[1].c", "must be positive");
        let status = Status::from(Fault::invalid(found));
        let mut headers = tonic::metadata::MetadataMap::new().into_headers();
        status.add_header(&mut headers).unwrap();
        let status = Status::from_header_map(&headers).unwrap();
        assert_eq!(
            violations_of(&status),
            [
                ("a".to_owned(), "must be set".to_owned()),
                ("b[1].c".to_owned(), "must be positive".to_owned())
            ]
        );
    }

    #[test]
    fn metadata_and_retry_can_be_read_back() {
        let status = Status::from(Fault::unavailable("profile", Duration::from_millis(250)));
        assert_eq!(metadata_of(&status, "service").as_deref(), Some("profile"));
        assert_eq!(retry_after_of(&status), Some(Duration::from_millis(250)));
    }

    #[test]
    fn an_internal_error_does_not_tell_its_cause() {
        let cause = std::io::Error::other("password of the database");
        let status = Status::from(Fault::internal(&cause, "r-1"));
        assert!(!format!("{status:?}").contains("password"));
        assert_eq!(metadata_of(&status, "request_id").as_deref(), Some("r-1"));
    }

    #[test]
    fn a_foreign_status_has_no_reason() {
        assert_eq!(reason_of(&Status::unavailable("proxy")), None);
    }
}
