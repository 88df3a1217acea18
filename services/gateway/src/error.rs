//! What can go wrong in the gateway's own work, and the one place where it becomes a
//! `Status`. What a peer answered is passed on as it is: it already has its reason.

use attune_errors::{Fault, Violations};
use tonic::Status;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Storage(#[from] attune_storage::Error),
    #[error("{0}")]
    Invalid(#[from] Violations),
    #[error("{resource} {name:?} does not exist")]
    NotFound {
        resource: &'static str,
        name: String,
    },
    #[error("{resource} {name:?} exists already")]
    Exists {
        resource: &'static str,
        name: String,
    },
    /// The key lacks the scope, or is of a workspace that may not.
    #[error("scope {0} is needed")]
    Scope(&'static str),
    /// A peer's refusal that is the caller's own.
    #[error("a peer refused: {0}")]
    Peer(Box<Status>),
    /// The contract's routes cannot be served; only ever at start.
    #[error("the contract cannot be served")]
    Routes(#[from] crate::http::RouteFault),
    #[error("reflection cannot be served")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// What is stored as the key of subject tokens is none; only ever at start.
    #[error("the stored key of subject tokens is not one")]
    SubjectKey,
    /// Settings that only this crate can judge; only ever at start.
    #[error("gateway settings: {0}")]
    Config(Violations),
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Peer(Box::new(status))
    }
}

impl Error {
    pub fn into_status(self, request_id: &str) -> Status {
        match self {
            Self::Storage(e) => e.to_fault("gateway", request_id).into(),
            Self::Invalid(violations) => Fault::invalid(violations).into(),
            Self::NotFound { resource, name } => Fault::not_found(resource, name).into(),
            Self::Exists { resource, name } => Fault::exists(resource, name).into(),
            Self::Scope(scope) => Fault::scope_insufficient(scope).into(),
            Self::Peer(status) => *status,
            Self::Routes(_) | Self::Reflection(_) | Self::SubjectKey | Self::Config(_) => {
                Fault::internal(&self, request_id).into()
            }
        }
    }
}
