//! API keys: how they are made, how they are recognised without being kept, and what
//! they allow. The secret itself is never part of anything here that is stored.

use std::sync::LazyLock;

use attune_api::r#type::v1::Scope;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

/// What a key is found by. A fast hash will do, since our secrets are 256 random bits:
/// there is no dictionary of them to try.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

/// Parts this use of BLAKE3 from every other.
static DOMAIN: LazyLock<[u8; 32]> =
    LazyLock::new(|| blake3::derive_key("attune.dev gateway api key v1", b""));

impl KeyHash {
    pub fn of(secret: &str) -> Self {
        Self(*blake3::keyed_hash(&DOMAIN, secret.as_bytes()).as_bytes())
    }
}

impl std::fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

/// A new secret; begins so that scanners for leaked secrets can know it.
pub fn new_secret() -> String {
    let random: [u8; 32] = rand::random();
    format!("attune_{}", BASE64_URL_SAFE_NO_PAD.encode(random))
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    pub const ADMIN: Self = Self(Self::bit(Scope::Admin));

    const fn bit(scope: Scope) -> u8 {
        match scope {
            // No key speaks for a customer.
            Scope::Unspecified | Scope::Subject => 0,
            Scope::Write => 1,
            Scope::Read => 2,
            Scope::Admin => 4,
        }
    }

    pub fn of(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self(scopes.into_iter().fold(0, |set, s| set | Self::bit(s)))
    }

    /// An admin key may call everything that keys may. Nothing allows what needs no known
    /// scope, or a subject token.
    pub fn allow(self, scope: Scope) -> bool {
        let needed = Self::bit(scope);
        needed != 0 && self.0 & (needed | Self::bit(Scope::Admin)) != 0
    }

    pub fn list(self) -> Vec<Scope> {
        [Scope::Write, Scope::Read, Scope::Admin]
            .into_iter()
            .filter(|s| self.0 & Self::bit(*s) != 0)
            .collect()
    }

    /// As stored.
    pub fn bits(self) -> i64 {
        self.0.into()
    }

    /// Bits that this version does not know are dropped.
    pub fn from_bits(bits: i64) -> Self {
        Self((bits & 7) as u8)
    }
}

/// The word for a scope in failures: "admin".
pub fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Unspecified => "none",
        Scope::Write => "write",
        Scope::Read => "read",
        Scope::Admin => "admin",
        Scope::Subject => "subject",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_allows_its_scopes_and_an_admin_key_all() {
        let rows = [
            (vec![Scope::Write], [true, false, false]),
            (vec![Scope::Read], [false, true, false]),
            (vec![Scope::Write, Scope::Read], [true, true, false]),
            (vec![Scope::Admin], [true, true, true]),
            (vec![], [false, false, false]),
        ];
        for (scopes, expected) in rows {
            let set = Scopes::of(scopes.clone());
            let allowed = [Scope::Write, Scope::Read, Scope::Admin].map(|s| set.allow(s));
            assert_eq!(allowed, expected, "{scopes:?}");
            assert_eq!(set.list(), scopes);
            assert_eq!(Scopes::from_bits(set.bits()), set);
            assert!(!set.allow(Scope::Unspecified));
            assert!(!set.allow(Scope::Subject));
        }
    }

    #[test]
    fn secrets_are_not_alike_and_hash_to_themselves() {
        let (one, other) = (new_secret(), new_secret());
        assert_ne!(one, other);
        assert_eq!(KeyHash::of(&one), KeyHash::of(&one));
        assert_ne!(KeyHash::of(&one), KeyHash::of(&other));
    }
}
