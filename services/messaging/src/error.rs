//! Everything that can go wrong in messaging, and the one place where it becomes an
//! answer.

use attune_errors::{Fault, Violations};
use attune_storage::resources;
use tonic::Status;

use crate::domain::template::RenderError;

/// How this service is named in answers.
const SERVICE: &str = "messaging";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Invalid(Violations),
    #[error("{kind} {name} does not exist")]
    NotFound { kind: &'static str, name: String },
    /// A template that is in order says nothing sensible with this data.
    #[error("template {template_id} cannot be rendered: {part} ({locale}): {cause}")]
    Render {
        template_id: String,
        locale: String,
        part: &'static str,
        cause: RenderError,
    },
    /// A message was to go out through a server that nobody has named.
    #[error("{setting} is not set")]
    NotConfigured { setting: &'static str },
    #[error("messaging.{key}: {problem}")]
    Config { key: &'static str, problem: String },
    #[error(transparent)]
    Resource(#[from] resources::Error),
    #[error(transparent)]
    Storage(#[from] attune_storage::Error),
    /// The profile service did not answer what it was asked.
    #[error("the profile service: {0}")]
    Profile(tonic::Status),
    #[error("a blocking task was lost")]
    TaskLost(#[from] tokio::task::JoinError),
    #[error("a stored message is unreadable: state {0}")]
    StateUnknown(i64),
}

impl From<Violations> for Error {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations)
    }
}

impl Error {
    pub(crate) fn not_found(kind: &'static str, name: impl Into<String>) -> Self {
        Self::NotFound {
            kind,
            name: name.into(),
        }
    }

    /// The answer to the caller.
    pub(crate) fn into_status(self, request_id: &str) -> Status {
        let fault = match self {
            Self::Invalid(violations) => Fault::invalid(violations),
            Self::NotFound { kind, name } => Fault::not_found(kind, name),
            Self::Render {
                template_id,
                locale,
                part,
                cause,
            } => {
                let state = format!("not renderable with this data: {part} ({locale}): {cause}");
                Fault::wrong_state("template", state)
                    .with("template_id", template_id)
                    .with("part", part)
                    .with("locale", locale)
            }
            Self::NotConfigured { setting } => {
                let state = format!("not set up to send e-mail: set {setting}");
                Fault::wrong_state("messaging", state).with("setting", setting)
            }
            Self::Resource(error) => error.into_fault(SERVICE, request_id),
            Self::Storage(error) => error.to_fault(SERVICE, request_id),
            Self::Profile(status) => return status,
            error @ (Self::Config { .. } | Self::TaskLost(_) | Self::StateUnknown(_)) => {
                Fault::internal(&error, request_id)
            }
        };
        fault.into()
    }
}
