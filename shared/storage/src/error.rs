//! What can go wrong between a service and its database. Classifies; never
//! repeats a driver's message to a caller, that is for the log.

use std::{sync::Arc, time::Duration};

use attune_errors::Fault;

/// Cheap to clone, since one failed commit is the answer to many writers.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// SQLite does not say which constraint, so neither does this.
    #[error("a row with this key exists")]
    UniqueViolation,
    #[error("a row that is referred to does not exist, or is still referred to")]
    ForeignKeyViolation,
    /// The queue of writes is full; nothing was written.
    #[error("too many writes are waiting")]
    Overloaded,
    /// The database was closed; nothing was written.
    #[error("the database is closed")]
    Closed,
    /// Busy, deadlock, serialization failure or lost connection; nothing was written.
    #[error("the database is busy or unreachable")]
    Retryable(#[source] Arc<sqlx::Error>),
    /// The connection broke during the commit: it may or may not have happened.
    #[error("the outcome of a commit is unknown")]
    CommitUnknown(#[source] Arc<sqlx::Error>),
    /// The code of a write panicked; nothing was written.
    #[error("a write panicked")]
    Panicked,
    #[error("column {index} is {found}, not {expected}")]
    Column {
        index: usize,
        expected: &'static str,
        found: String,
    },
    /// The log no longer holds entries this old.
    #[error("the log is trimmed up to position {trimmed_position}")]
    Trimmed { trimmed_position: i64 },
    #[error("not a database address: {0}")]
    Url(String),
    #[error("could not bring the database's schema up to date")]
    Migration(#[source] Arc<sqlx::migrate::MigrateError>),
    #[error("the database failed")]
    Database(#[source] Arc<sqlx::Error>),
}

impl Error {
    /// Nothing was written and the same call may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Retryable(_) | Self::Overloaded)
    }

    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::UniqueViolation)
    }

    /// True where the connection can no longer be used.
    pub(crate) fn is_connection_lost(&self) -> bool {
        matches!(self, Self::Retryable(cause) if connection_lost(cause))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if connection_lost(&error) {
            return Self::Retryable(Arc::new(error));
        }
        if matches!(error, sqlx::Error::PoolClosed) {
            return Self::Closed;
        }
        let sqlx::Error::Database(database) = &error else {
            return Self::Database(Arc::new(error));
        };
        match database.kind() {
            sqlx::error::ErrorKind::UniqueViolation => Self::UniqueViolation,
            sqlx::error::ErrorKind::ForeignKeyViolation => Self::ForeignKeyViolation,
            _ if is_contention(database.code().as_deref()) => Self::Retryable(Arc::new(error)),
            _ => Self::Database(Arc::new(error)),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for Error {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        Self::Migration(Arc::new(error))
    }
}

fn connection_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => true,
        // Class 08 is "connection exception"; 57P01 to 57P03 say that the server
        // stops, crashed or starts.
        sqlx::Error::Database(database) => database.code().is_some_and(|code| {
            code.len() == 5
                && (code.starts_with("08") || matches!(&*code, "57P01" | "57P02" | "57P03"))
        }),
        _ => false,
    }
}

fn is_contention(code: Option<&str>) -> bool {
    match code {
        // PostgreSQL: serialization failure, deadlock, lock not available, too many
        // connections.
        Some("40001" | "40P01" | "55P03" | "53300") => true,
        // SQLite's extended codes carry SQLITE_BUSY (5) or SQLITE_LOCKED (6) in the
        // low byte. PostgreSQL's codes are always five characters.
        Some(code) if code.len() < 5 => code
            .parse::<u32>()
            .is_ok_and(|code| matches!(code & 0xff, 5 | 6)),
        _ => false,
    }
}

/// How soon a caller that met a busy database should come back.
const RETRY_AFTER: Duration = Duration::from_millis(200);

impl Error {
    /// The answer to a caller of `service`. Where nobody could help it, the cause is
    /// logged under the request's id.
    pub fn to_fault(&self, service: &str, request_id: &str) -> Fault {
        match self {
            Self::Overloaded => Fault::overloaded(RETRY_AFTER),
            Self::Closed => Fault::shutting_down(RETRY_AFTER),
            Self::Retryable(_) | Self::CommitUnknown(_) => Fault::unavailable(service, RETRY_AFTER),
            Self::Trimmed { trimmed_position } => Fault::position_trimmed(trimmed_position + 1),
            _ => Fault::internal(self, request_id),
        }
    }
}
