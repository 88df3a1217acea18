//! Keys per person: what is stored about somebody is sealed with a key of their own,
//! which is itself stored wrapped by a master key and destroyed to erase them. Owns the
//! sealed forms, the master keys and the tables `data_keys` and `vault_secrets` of the
//! service that uses it; knows nothing of what is sealed, and logs none of it.
//!
//! The cipher is AES-256-GCM-SIV (RFC 8452), because a repeated nonce costs it nothing
//! but the equality of two messages; the hash is BLAKE3 with a key.

mod config;
mod index;
mod masters;
mod ring;
mod rotate;
mod seal;

pub use config::Config;
pub use index::{Index, IndexOf};
pub use masters::{Masters, MastersError};
pub use ring::{KeyRing, Keys};
pub use rotate::{Rotated, rotate};
pub use seal::VERSION;

/// The error of a sealed value that cannot be had.
fn sealed_column(found: &str) -> attune_storage::Error {
    attune_storage::Error::Column {
        index: 0,
        expected: "a sealed value and its key",
        found: found.to_owned(),
    }
}
