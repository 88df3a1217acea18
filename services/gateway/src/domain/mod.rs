//! The gateway's ideas, pure and synchronous: keys and tokens and what they allow,
//! deadlines and how they are spent. Knows no transport, no database and no clock of
//! its own.

pub mod budget;
pub mod key;
pub mod subject;
