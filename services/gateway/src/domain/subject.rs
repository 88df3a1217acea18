//! Subject tokens: what lets customers see and change what is known about themselves.
//! A token says whose it is, what it opens and until when, and is signed, so that no
//! replica has to keep it. Holds no personal value but the profile's id.

use attune_api::gateway::v1::SubjectScope;
use attune_rpc::Workspace;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

/// So that scanners for leaked secrets can know it.
const PREFIX: &str = "attune_subject_";
const VERSION: u8 = 1;
const SIGNATURE_BYTES: usize = blake3::OUT_LEN;
/// Longer texts are not tokens of ours.
const TOKEN_CHARS_MAX: usize = 512;
/// Parts this use of BLAKE3 from every other.
const CONTEXT: &str = "attune.dev gateway subject token v1";

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub workspace: Workspace,
    pub profile_id: String,
    pub scopes: SubjectScopes,
    pub expire_ms: i64,
}

/// A set of scopes, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubjectScopes(u8);

impl SubjectScopes {
    const ALL: [SubjectScope; 4] = [
        SubjectScope::SubjectView,
        SubjectScope::SubjectChange,
        SubjectScope::SubjectExport,
        SubjectScope::SubjectErase,
    ];

    const fn bit(scope: SubjectScope) -> u8 {
        match scope {
            SubjectScope::Unspecified => 0,
            SubjectScope::SubjectView => 1,
            SubjectScope::SubjectChange => 2,
            SubjectScope::SubjectExport => 4,
            SubjectScope::SubjectErase => 8,
        }
    }

    pub fn of(scopes: impl IntoIterator<Item = SubjectScope>) -> Self {
        Self(scopes.into_iter().fold(0, |set, s| set | Self::bit(s)))
    }

    pub fn allow(self, scope: SubjectScope) -> bool {
        self.0 & Self::bit(scope) != 0
    }

    pub fn list(self) -> Vec<SubjectScope> {
        let all = Self::ALL.into_iter();
        all.filter(|scope| self.allow(*scope)).collect()
    }
}

/// Why a text opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    Forged,
    Expired,
}

/// Signs and verifies.
#[derive(Clone)]
pub struct SubjectKey([u8; 32]);

impl SubjectKey {
    /// From 32 bytes that nobody can guess.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(blake3::derive_key(CONTEXT, secret))
    }

    pub fn sign(&self, subject: &Subject) -> String {
        let mut bytes = Vec::with_capacity(160);
        bytes.push(VERSION);
        bytes.push(subject.scopes.0);
        bytes.extend_from_slice(&subject.expire_ms.to_be_bytes());
        // Names of workspaces have at most 64 bytes.
        let workspace = subject.workspace.as_str();
        bytes.push(u8::try_from(workspace.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(workspace.as_bytes());
        bytes.extend_from_slice(subject.profile_id.as_bytes());
        let signature = blake3::keyed_hash(&self.0, &bytes);
        bytes.extend_from_slice(signature.as_bytes());
        format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    pub fn verify(&self, token: &str, now_ms: i64) -> Result<Subject, Refused> {
        let subject = self.read(token).ok_or(Refused::Forged)?;
        if now_ms < subject.expire_ms {
            Ok(subject)
        } else {
            Err(Refused::Expired)
        }
    }

    fn read(&self, token: &str) -> Option<Subject> {
        if token.len() > TOKEN_CHARS_MAX {
            return None;
        }
        let encoded = token.strip_prefix(PREFIX)?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(encoded).ok()?;
        let (said, signature) =
            bytes.split_at_checked(bytes.len().checked_sub(SIGNATURE_BYTES)?)?;
        let signature: [u8; SIGNATURE_BYTES] = signature.try_into().ok()?;
        // Hashes compare in constant time.
        if blake3::keyed_hash(&self.0, said) != blake3::Hash::from(signature) {
            return None;
        }
        let (&[VERSION, scopes], said) = said.split_first_chunk::<2>()? else {
            return None;
        };
        let (expire_ms, said) = said.split_first_chunk::<8>()?;
        let (&[length], said) = said.split_first_chunk::<1>()?;
        let (workspace, profile_id) = said.split_at_checked(length.into())?;
        Some(Subject {
            workspace: Workspace::new(std::str::from_utf8(workspace).ok()?).ok()?,
            profile_id: String::from_utf8(profile_id.to_vec()).ok()?,
            scopes: SubjectScopes(scopes),
            expire_ms: i64::from_be_bytes(*expire_ms),
        })
    }
}

impl std::fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SubjectKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_767_225_600_000;

    fn subject() -> Subject {
        Subject {
            workspace: Workspace::default(),
            profile_id: "0198c2c3-0000-7000-8000-000000000001".to_owned(),
            scopes: SubjectScopes::of([SubjectScope::SubjectView, SubjectScope::SubjectErase]),
            expire_ms: NOW + 1,
        }
    }

    #[test]
    fn a_token_says_what_was_signed_until_it_expires() {
        let key = SubjectKey::new(&[7; 32]);
        let token = key.sign(&subject());
        assert_eq!(key.verify(&token, NOW), Ok(subject()));
        assert_eq!(key.verify(&token, NOW + 1), Err(Refused::Expired));
        let scopes = subject().scopes;
        assert!(scopes.allow(SubjectScope::SubjectErase));
        assert!(!scopes.allow(SubjectScope::SubjectExport));
        assert!(!scopes.allow(SubjectScope::Unspecified));
        assert_eq!(SubjectScopes::of(scopes.list()), scopes);
    }

    #[test]
    fn what_another_key_signed_or_anybody_changed_opens_nothing() {
        let key = SubjectKey::new(&[7; 32]);
        let token = key.sign(&subject());
        let other = SubjectKey::new(&[8; 32]).sign(&subject());
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode(&token[PREFIX.len()..])
            .unwrap();
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            let changed = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(changed));
            assert_eq!(key.verify(&changed, NOW), Err(Refused::Forged), "{index}");
        }
        let id = subject().profile_id;
        for forged in ["", PREFIX, "x", &id, &other, &token[1..], &token[..60]] {
            assert_eq!(key.verify(forged, NOW), Err(Refused::Forged), "{forged}");
        }
    }
}
