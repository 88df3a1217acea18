//! What sealed values are found by: a keyed hash of them, which says nothing to those
//! who do not have the secret. The secret is made once and never changes, since what is
//! stored under it could not be found again.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// 128 bits of a hash: two of 2^40 values are the same with a chance of 2^-49.
const HASH_LEN: usize = 16;

/// Hashes under one service's secret. Cheap to clone.
#[derive(Clone)]
pub struct Index(Zeroizing<[u8; 32]>);

impl Index {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// For many values of one kind in one workspace.
    pub fn of(&self, workspace: &str, kind: &str) -> IndexOf {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        // Neither holds a zero, so the two cannot run into each other.
        hasher.update(workspace.as_bytes()).update(&[0]);
        hasher.update(kind.as_bytes());
        IndexOf(Zeroizing::new(*hasher.finalize().as_bytes()))
    }
}

/// Hashes of one kind of values in one workspace.
#[derive(Clone)]
pub struct IndexOf(Zeroizing<[u8; 32]>);

impl IndexOf {
    /// 22 characters of `A-Z a-z 0-9 - _`.
    pub fn hash(&self, value: &str) -> String {
        let hash = blake3::keyed_hash(&self.0, value.as_bytes());
        URL_SAFE_NO_PAD.encode(&hash.as_bytes()[..HASH_LEN])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_differ_by_value_kind_workspace_and_secret() {
        let hash = |secret: u8, workspace: &str, kind: &str, value: &str| {
            Index::new([secret; 32]).of(workspace, kind).hash(value)
        };
        let first = hash(1, "a", "identity", "email:ann@example.org");
        assert_eq!(first, hash(1, "a", "identity", "email:ann@example.org"));
        assert_eq!(first.len(), 22);
        for other in [
            hash(2, "a", "identity", "email:ann@example.org"),
            hash(1, "b", "identity", "email:ann@example.org"),
            hash(1, "a", "message", "email:ann@example.org"),
            hash(1, "a", "identity", "email:ann@example.com"),
        ] {
            assert_ne!(first, other);
        }
    }
}
