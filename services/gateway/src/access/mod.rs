//! Who may come in: the keys in memory, their limits, and the resources by which
//! people manage them. Knows nothing of what a key opens.

mod keyring;
pub mod rpc;
mod service;

pub use keyring::{Keyring, Principal, Refusal};
pub use service::Access;
