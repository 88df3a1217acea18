//! The use cases, one file for each way in: reading items, writing them, editing their
//! types, and following what other processes write.

pub(crate) mod batch;
pub(crate) mod follow;
pub(crate) mod publish;
pub(crate) mod read;
pub(crate) mod types;
pub(crate) mod write;
