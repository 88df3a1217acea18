//! The event log between services: a service serves what it published, others follow
//! it. Carries entries in commit order and at least once; what an entry means is its
//! reader's business, as is remembering its position together with its effects. Beside it,
//! the way to the record of who looked at whose data.

mod access;
mod config;
mod consumer;
mod metrics;
mod server;
mod source;

pub use access::{Access, AccessRecord};
pub use config::Config;
pub use consumer::{Batch, Consumer, Progress};
pub use server::LogServer;
pub use source::LogSource;
