//! The event log between services: a service serves what it published, others follow
//! it. Carries entries in commit order and at least once; what an entry means is its
//! reader's business, as is remembering its position together with its effects.

mod config;
mod consumer;
mod metrics;
mod server;
mod source;

pub use config::Config;
pub use consumer::{Batch, Consumer, Progress};
pub use server::LogServer;
pub use source::LogSource;
