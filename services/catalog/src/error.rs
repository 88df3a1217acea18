//! What can go wrong in the catalog, and the one place that says it to callers.

use attune_errors::Violations;
use attune_storage::resources;
use tonic::Status;

/// How this service is named in answers.
pub(crate) const SERVICE: &str = "catalog";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Missing, present, outdated, invalid or in use; or the database failed.
    #[error(transparent)]
    Edit(#[from] resources::Error),
    /// Others kept changing what this write depends on.
    #[error("others kept changing what was written")]
    Contended,
    #[error("work was cut short")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl Error {
    pub(crate) fn item_not_found(item_id: &str) -> Self {
        let (kind, id) = ("item", item_id.to_owned());
        Self::Edit(resources::Error::NotFound { kind, id })
    }

    pub(crate) fn item_exists(item_id: &str) -> Self {
        let (kind, id) = ("item", item_id.to_owned());
        Self::Edit(resources::Error::Exists { kind, id })
    }

    pub(crate) fn item_outdated(item_id: &str) -> Self {
        let (kind, id) = ("item", item_id.to_owned());
        Self::Edit(resources::Error::EtagMismatch { kind, id })
    }

    pub(crate) fn into_status(self, request_id: &str) -> Status {
        match self {
            Self::Edit(error) => error.into_fault(SERVICE, request_id),
            Self::Contended => attune_errors::Fault::unavailable(SERVICE, RETRY_AFTER),
            Self::Interrupted(error) => attune_errors::Fault::internal(&error, request_id),
        }
        .into()
    }
}

const RETRY_AFTER: std::time::Duration = std::time::Duration::from_millis(200);

impl From<attune_storage::Error> for Error {
    fn from(error: attune_storage::Error) -> Self {
        Self::Edit(error.into())
    }
}

impl From<Violations> for Error {
    fn from(violations: Violations) -> Self {
        Self::Edit(violations.into())
    }
}

impl From<prost::DecodeError> for Error {
    fn from(error: prost::DecodeError) -> Self {
        Self::Edit(error.into())
    }
}
