//! Everything that can go wrong in the rule-engine, and the one place where it becomes
//! an answer.

use attune_errors::{Fault, Violations};
use attune_rpc::Caller;
use attune_storage::resources;
use tonic::Status;

/// Why a use case failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Invalid(Violations),
    /// Some of the violations are tokens that were not signed here.
    #[error("{0}")]
    TokenInvalid(Violations),
    /// Some of the violations are tokens that are no longer taken.
    #[error("{0}")]
    TokenExpired(Violations),
    #[error("{kind} {id} does not exist")]
    NotFound { kind: &'static str, id: String },
    #[error(transparent)]
    Resource(#[from] resources::Error),
    /// The caller's deadline passed, or another service is not available.
    #[error("refused: {:?}", .0.reason())]
    Refused(Fault),
    #[error(transparent)]
    Storage(#[from] attune_storage::Error),
    #[error("a stored {what} cannot be read")]
    Corrupt { what: &'static str },
    #[error("rule_engine.token_key must be 64 hexadecimal digits")]
    TokenKey,
}

impl From<Violations> for Error {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations)
    }
}

/// This service's name in answers, logs and positions.
pub const SERVICE: &str = "rule-engine";

impl Error {
    pub fn into_status(self, caller: &Caller) -> Status {
        let request_id = caller.request_id.as_str();
        let fault = match self {
            Self::Invalid(violations) => Fault::invalid(violations),
            Self::TokenInvalid(violations) => Fault::token_invalid(violations),
            Self::TokenExpired(violations) => Fault::token_expired(violations),
            Self::NotFound { kind, id } => Fault::not_found(kind, id),
            Self::Resource(error) => error.into_fault(SERVICE, request_id),
            Self::Refused(fault) => fault,
            Self::Storage(error) => error.to_fault(SERVICE, request_id),
            Self::Corrupt { .. } | Self::TokenKey => Fault::internal(&self, request_id),
        };
        fault.into_status()
    }
}
