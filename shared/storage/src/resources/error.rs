//! Why an edit was refused. Each becomes one answer on the wire, in one place.

use attune_errors::{Fault, Violations};

/// What the standard methods answer with other than the resource.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{kind} {id} does not exist")]
    NotFound { kind: &'static str, id: String },
    #[error("{kind} {id} exists")]
    Exists { kind: &'static str, id: String },
    #[error("{kind} {id} was changed by someone else")]
    EtagMismatch { kind: &'static str, id: String },
    #[error("{0}")]
    Invalid(Violations),
    /// Anything else that a service's check finds.
    #[error("refused: {:?}", .0.reason())]
    Refused(Fault),
    #[error("a stored resource cannot be read")]
    Corrupt(#[from] prost::DecodeError),
    #[error(transparent)]
    Storage(#[from] crate::Error),
}

impl From<Violations> for Error {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Refused(fault)
    }
}

impl Error {
    /// The answer to the caller. `service` and `request_id` are for faults of the
    /// database.
    pub fn into_fault(self, service: &str, request_id: &str) -> Fault {
        match self {
            Self::NotFound { kind, id } => Fault::not_found(kind, id),
            Self::Exists { kind, id } => Fault::exists(kind, id),
            Self::EtagMismatch { kind, id } => Fault::etag_mismatch(kind, id),
            Self::Invalid(violations) => Fault::invalid(violations),
            Self::Refused(fault) => fault,
            Self::Corrupt(error) => Fault::internal(&error, request_id),
            Self::Storage(error) => error.to_fault(service, request_id),
        }
    }
}
