//! What can go wrong in the profile service, and the one conversion into a status.

use std::time::Duration;

use attune_errors::{Fault, Violations};
use attune_storage::resources;
use tonic::Status;

/// How this service is named in answers.
const SERVICE: &str = "profile";

/// How long a caller waits before trying again.
const RETRY_AFTER: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("invalid fields: {0}")]
    Invalid(Violations),
    #[error("no such profile")]
    ProfileNotFound(String),
    #[error("too many messages are waiting")]
    Overloaded,
    /// An edit of what is declared, or a merge that cannot be undone.
    #[error("refused: {:?}", .0.reason())]
    Refused(Fault),
    #[error("the database failed")]
    Storage(#[from] attune_storage::Error),
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Refused(fault)
    }
}

impl From<Violations> for Error {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations)
    }
}

impl From<resources::Error> for Error {
    fn from(error: resources::Error) -> Self {
        use resources::Error as Edit;
        match error {
            Edit::Invalid(violations) => Self::Invalid(violations),
            Edit::Refused(fault) => Self::Refused(fault),
            Edit::Storage(error) => Self::Storage(error),
            Edit::NotFound { kind, id } => Self::Refused(Fault::not_found(kind, id)),
            Edit::Exists { kind, id } => Self::Refused(Fault::exists(kind, id)),
            Edit::EtagMismatch { kind, id } => Self::Refused(Fault::etag_mismatch(kind, id)),
            Edit::Corrupt(_) => Self::Storage(attune_storage::Error::Column {
                index: 0,
                expected: "a stored resource",
                found: "other bytes".to_owned(),
            }),
        }
    }
}

impl Error {
    /// Whether it is over when there is room again.
    pub fn is_overload(&self) -> bool {
        matches!(
            self,
            Self::Overloaded | Self::Storage(attune_storage::Error::Overloaded)
        )
    }

    pub fn segment_not_found(id: &str) -> Self {
        Self::Refused(Fault::not_found("segment", id))
    }

    /// As the check of an edit says it.
    pub fn into_edit(self) -> resources::Error {
        match self {
            Self::Invalid(violations) => violations.into(),
            Self::Storage(error) => error.into(),
            Self::Refused(fault) => fault.into(),
            Self::ProfileNotFound(id) => Fault::not_found("profile", id).into(),
            Self::Overloaded => Fault::overloaded(RETRY_AFTER).into(),
        }
    }

    /// The answer to a caller; `request_id` is what an unforeseen fault is logged under.
    pub fn into_status(self, request_id: &str) -> Status {
        use attune_storage::Error as Storage;
        let fault = match self {
            Self::Invalid(violations) => Fault::invalid(violations),
            Self::Refused(fault) => fault,
            Self::ProfileNotFound(id) => Fault::not_found("profile", id),
            Self::Overloaded | Self::Storage(Storage::Overloaded) => Fault::overloaded(RETRY_AFTER),
            Self::Storage(Storage::Closed) => Fault::shutting_down(RETRY_AFTER),
            Self::Storage(Storage::Retryable(cause)) => {
                tracing::warn!(
                    error = &*cause as &dyn std::error::Error,
                    "database not available"
                );
                Fault::unavailable(SERVICE, RETRY_AFTER)
            }
            Self::Storage(error) => Fault::internal(&error, request_id),
        };
        fault.into()
    }
}
