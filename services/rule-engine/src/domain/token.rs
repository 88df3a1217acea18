//! Slot tokens: everything an outcome needs to know about the slot it is about (whose,
//! where, and which rules had a say), signed, so that no lookup is needed when it is
//! reported, by whichever replica. Holds no trait of a person, only
//! the profile's id.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;
use uuid::Uuid;

const VERSION: u8 = 2;
/// Of before tokens told where they were shown and which rules had a say.
const VERSION_BARE: u8 = 1;
const SIGNATURE_LENGTH: usize = 16;
const HAS_UUID_PROFILE: u8 = 1;
/// Longer texts are not tokens of ours.
const TOKEN_LENGTH_MAX: usize = 4096;
/// Rules that a token names: those that moved the slot most.
const RULES_MAX: usize = 16;

/// What a token says. The time of the decision is in its id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    pub workspace: String,
    pub decision_id: Uuid,
    /// 1 is the first slot.
    pub position: u16,
    pub item_id: String,
    /// Empty for a stranger.
    pub profile_id: String,
    pub placement: String,
    pub strategy: String,
    pub channel: String,
    /// Rules that touched the slot, the strongest first.
    pub rule_ids: Vec<String>,
}

/// What the tokens of one decision have in common.
#[derive(Debug, Clone, Copy)]
pub struct Decision<'a> {
    pub workspace: &'a str,
    pub id: Uuid,
    pub profile_id: &'a str,
    pub placement: &'a str,
    pub strategy: &'a str,
    pub channel: &'a str,
}

/// Signs and verifies.
#[derive(Clone)]
pub struct TokenKey([u8; 32]);

impl TokenKey {
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// A writer for the slots of one decision.
    pub fn tokens(&self, decision: &Decision<'_>) -> Tokens<'_> {
        let mut buffer = Vec::with_capacity(192);
        let profile = Uuid::try_parse(decision.profile_id).ok();
        // Only a spelling that comes back the same may be shortened.
        let profile = profile.filter(|id| {
            let mut spelling = Uuid::encode_buffer();
            &*id.hyphenated().encode_lower(&mut spelling) == decision.profile_id
        });
        buffer.push(VERSION);
        buffer.push(profile.map_or(0, |_| HAS_UUID_PROFILE));
        buffer.extend_from_slice(decision.id.as_bytes());
        put_text(&mut buffer, decision.workspace);
        match profile {
            Some(id) => buffer.extend_from_slice(id.as_bytes()),
            None => put_text(&mut buffer, decision.profile_id),
        }
        for text in [decision.placement, decision.strategy, decision.channel] {
            put_text(&mut buffer, text);
        }
        Tokens {
            key: self,
            common: buffer.len(),
            buffer,
            text: Vec::new(),
        }
    }

    /// None where this key did not sign it.
    pub fn verify(&self, token: &str) -> Option<Claims> {
        if token.len() > TOKEN_LENGTH_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (payload, signature) =
            bytes.split_at_checked(bytes.len().checked_sub(SIGNATURE_LENGTH)?)?;
        if !bool::from(self.sign(payload).ct_eq(signature)) {
            return None;
        }
        read_claims(payload)
    }

    fn sign(&self, payload: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        let mut signature = [0; SIGNATURE_LENGTH];
        let hash = blake3::keyed_hash(&self.0, payload);
        signature.copy_from_slice(&hash.as_bytes()[..SIGNATURE_LENGTH]);
        signature
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// Writes tokens that share all but the slot.
pub struct Tokens<'a> {
    key: &'a TokenKey,
    buffer: Vec<u8>,
    common: usize,
    text: Vec<u8>,
}

impl Tokens<'_> {
    /// The token, which is text. `position` counts from 1; of the rules, the strongest
    /// first, a bounded number is told.
    pub fn token<'r>(
        &mut self,
        position: u16,
        item_id: &str,
        rule_ids: impl Iterator<Item = &'r str>,
    ) -> &[u8] {
        self.buffer.truncate(self.common);
        self.buffer.extend_from_slice(&position.to_be_bytes());
        put_text(&mut self.buffer, item_id);
        for rule_id in rule_ids.take(RULES_MAX) {
            put_text(&mut self.buffer, rule_id);
        }
        let signature = self.key.sign(&self.buffer);
        self.buffer.extend_from_slice(&signature);
        // Four letters for three bytes, and room for a last group that is not full.
        self.text.resize(4 * self.buffer.len().div_ceil(3), 0);
        let length = URL_SAFE_NO_PAD.encode_slice(&self.buffer, &mut self.text);
        // It always fits.
        &self.text[..length.unwrap_or(0)]
    }
}

/// Lengths fit two bytes: ids are bounded far below that.
fn put_text(buffer: &mut Vec<u8>, text: &str) {
    let length = text.len().min(usize::from(u16::MAX));
    buffer.extend_from_slice(&(length as u16).to_be_bytes());
    buffer.extend_from_slice(&text.as_bytes()[..length]);
}

fn read_claims(payload: &[u8]) -> Option<Claims> {
    let mut rest = payload;
    let head = take(&mut rest, 2)?;
    if ![VERSION, VERSION_BARE].contains(&head[0]) {
        return None;
    }
    let decision_id = Uuid::from_slice(take(&mut rest, 16)?).ok()?;
    let workspace = take_text(&mut rest)?;
    let profile_id = if head[1] == HAS_UUID_PROFILE {
        Uuid::from_slice(take(&mut rest, 16)?).ok()?.to_string()
    } else {
        take_text(&mut rest)?
    };
    let mut claims = Claims {
        workspace,
        decision_id,
        profile_id,
        ..Claims::default()
    };
    if head[0] == VERSION {
        claims.placement = take_text(&mut rest)?;
        claims.strategy = take_text(&mut rest)?;
        claims.channel = take_text(&mut rest)?;
    }
    claims.position = u16::from_be_bytes(take(&mut rest, 2)?.try_into().ok()?);
    claims.item_id = take_text(&mut rest)?;
    while head[0] == VERSION && !rest.is_empty() {
        claims.rule_ids.push(take_text(&mut rest)?);
    }
    rest.is_empty().then_some(claims)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    let length = u16::from_be_bytes(take(rest, 2)?.try_into().ok()?);
    String::from_utf8(take(rest, length.into())?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(profile_id: &str) -> Claims {
        Claims {
            workspace: "default".into(),
            decision_id: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001),
            position: 3,
            item_id: "tent-2p".into(),
            profile_id: profile_id.into(),
            placement: "home".into(),
            strategy: "default".into(),
            channel: "web".into(),
            rule_ids: vec!["summer".into(), "tents".into()],
        }
    }

    fn tokens<'a>(key: &'a TokenKey, c: &Claims) -> Tokens<'a> {
        key.tokens(&Decision {
            workspace: &c.workspace,
            id: c.decision_id,
            profile_id: &c.profile_id,
            placement: &c.placement,
            strategy: &c.strategy,
            channel: &c.channel,
        })
    }

    fn token(key: &TokenKey, c: &Claims) -> String {
        let rule_ids = c.rule_ids.iter().map(String::as_str);
        let mut tokens = tokens(key, c);
        let token = tokens.token(c.position, &c.item_id, rule_ids);
        String::from_utf8(token.to_vec()).unwrap()
    }

    #[test]
    fn claims_come_back_whatever_the_profile_is_called() {
        let key = TokenKey::new([7; 32]);
        let uuid = "0190c0de-0000-7000-8000-000000000001";
        for profile_id in ["", "household 1", uuid, &uuid.to_uppercase()] {
            let claims = claims(profile_id);
            assert_eq!(key.verify(&token(&key, &claims)), Some(claims));
        }
    }

    #[test]
    fn one_writer_serves_every_slot() {
        let key = TokenKey::new([7; 32]);
        let base = claims("p");
        let mut tokens = tokens(&key, &base);
        for position in 1..4 {
            let item = format!("item-{position}");
            let rules = ["a", "b", "c"].into_iter().take(position.into());
            let token = tokens.token(position, &item, rules.clone());
            let found = key.verify(std::str::from_utf8(token).unwrap()).unwrap();
            assert_eq!((found.position, found.item_id), (position, item));
            assert!(found.rule_ids.iter().eq(rules));
        }
    }

    #[test]
    fn of_many_rules_the_strongest_are_told_and_the_longest_names_fit() {
        let key = TokenKey::new([7; 32]);
        let long = Claims {
            workspace: "w".repeat(64),
            item_id: "é".repeat(128),
            profile_id: "p".repeat(64),
            placement: "p".repeat(64),
            strategy: "s".repeat(64),
            channel: "é".repeat(64),
            rule_ids: (10..40).map(|n| format!("{n}{}", "r".repeat(62))).collect(),
            ..claims("")
        };
        let found = key.verify(&token(&key, &long)).unwrap();
        assert_eq!(found.rule_ids, long.rule_ids[..RULES_MAX]);
        assert_eq!(found.channel, long.channel);
    }

    #[test]
    fn a_token_of_before_still_counts() {
        let key = TokenKey::new([7; 32]);
        let claims = claims("p");
        let mut old = vec![VERSION_BARE, 0];
        old.extend_from_slice(claims.decision_id.as_bytes());
        put_text(&mut old, &claims.workspace);
        put_text(&mut old, &claims.profile_id);
        old.extend_from_slice(&claims.position.to_be_bytes());
        put_text(&mut old, &claims.item_id);
        let signature = key.sign(&old);
        old.extend_from_slice(&signature);
        let bare = Claims {
            placement: String::new(),
            strategy: String::new(),
            channel: String::new(),
            rule_ids: Vec::new(),
            ..claims
        };
        assert_eq!(key.verify(&URL_SAFE_NO_PAD.encode(old)), Some(bare));
    }

    #[test]
    fn a_token_that_was_not_signed_here_is_refused() {
        let key = TokenKey::new([7; 32]);
        let good = token(&key, &claims("p"));
        let foreign = token(&TokenKey::new([8; 32]), &claims("p"));
        let mut altered = good.clone().into_bytes();
        altered[30] = if altered[30] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).unwrap();
        let long = "A".repeat(TOKEN_LENGTH_MAX + 4);
        for bad in [
            "",
            "AAAA",
            "not base64!",
            &foreign,
            &altered,
            &good[..40],
            &long,
        ] {
            assert_eq!(key.verify(bad), None, "{bad}");
        }
    }
}
