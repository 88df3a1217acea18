//! Identifiers of a person: which namespaces there are, how a value is normalised in
//! each, which values name nobody, and which of several is the strongest. Never decides
//! who holds one.

use std::{str::FromStr as _, sync::Arc};

use phonenumber::{Mode, country};
use rustc_hash::FxHashSet;
use uuid::Uuid;

/// Longest value, in characters.
pub const VALUE_CHARS_MAX: usize = 512;
/// Longest namespace, in characters.
pub const NAMESPACE_CHARS_MAX: usize = 64;
/// Longest local part of an e-mail address, in bytes (RFC 5321, 4.5.3.1.1).
const LOCAL_BYTES_MAX: usize = 64;
/// Longest text that can be a phone number with everything people put between digits.
const PHONE_BYTES_MAX: usize = 64;

pub const USER_ID: &str = "user_id";
pub const ANONYMOUS_ID: &str = "anonymous_id";
pub const EMAIL: &str = "email";
pub const PHONE: &str = "phone";
/// A phone's, tablet's or television's own id; an advertising id.
pub const DEVICE: &str = "device";
pub const LOYALTY_CARD: &str = "loyalty_card";
pub const CRM_ID: &str = "crm_id";
/// A handle on a network is `social_NETWORK`: a namespace for each, because a person has
/// one on many, and a message names a namespace once.
pub const SOCIAL_PREFIX: &str = "social_";

/// A normalised identifier; its key is `namespace:value`, unambiguous because a
/// namespace holds no colon.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    key: Arc<str>,
    namespace_len: u8,
}

/// Which rule an identifier breaks, and in which of its two fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    pub field: &'static str,
    pub rule: &'static str,
}

const NAMESPACE_RULE: Broken = Broken {
    field: "namespace",
    rule: "must be 1 to 64 of a-z, 0-9 and `_`",
};
const UNKNOWN_NAMESPACE: Broken = Broken {
    field: "namespace",
    rule: "must be one of user_id, anonymous_id, email, phone, device, loyalty_card, crm_id and \
           social_NETWORK, or declared in profile.identity.namespaces",
};
const VALUE_RULE: Broken = Broken {
    field: "value",
    rule: "must be 1 to 512 characters without control characters",
};
const EMAIL_RULE: Broken = Broken {
    field: "value",
    rule: "must be an e-mail address",
};
const PHONE_RULE: Broken = Broken {
    field: "value",
    rule: "must be a phone number",
};
const PHONE_REGION_RULE: Broken = Broken {
    field: "value",
    rule: "must be a phone number with `+` and its country's code, since \
           profile.identity.phone_region names no region for national numbers",
};
const HANDLE_RULE: Broken = Broken {
    field: "value",
    rule: "must be a handle without spaces",
};
const BLOCKED_RULE: Broken = Broken {
    field: "value",
    rule: "must name one person: this value is sent for many",
};

/// What identifiers there may be: the namespaces of the workspace's own, the region of
/// national phone numbers, and values that name nobody.
#[derive(Debug, Clone, Default)]
pub struct Namespaces {
    own: FxHashSet<Box<str>>,
    region: Option<country::Id>,
    /// In lower case.
    blocked: FxHashSet<Box<str>>,
}

/// What an identifier that was sent comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    Named(Identity),
    /// Sent for many people, so it names nobody.
    Blocked(Broken),
}

impl Namespaces {
    pub fn new<'a>(
        own: impl Iterator<Item = &'a str>,
        region: Option<country::Id>,
        blocked: impl Iterator<Item = &'a str>,
    ) -> Self {
        Self {
            own: own.map(Into::into).collect(),
            region,
            blocked: blocked
                .map(|value| value.trim().to_lowercase().into_boxed_str())
                .collect(),
        }
    }

    /// Normalises, or says which rule is broken first.
    pub fn read(&self, namespace: &str, value: &str) -> Result<Read, Broken> {
        if !is_namespace(namespace) {
            return Err(NAMESPACE_RULE);
        }
        if !self.knows(namespace) {
            return Err(UNKNOWN_NAMESPACE);
        }
        let value = value.trim();
        if value.is_empty()
            || value.chars().count() > VALUE_CHARS_MAX
            || value.chars().any(char::is_control)
        {
            return Err(VALUE_RULE);
        }
        // Before the namespace's own rule: `null` is no e-mail address either, and
        // there is nothing to be corrected about it.
        if self.is_blocked(value) {
            return Ok(Read::Blocked(BLOCKED_RULE));
        }
        let identity = match namespace {
            EMAIL => Identity::join(namespace, &email(value)?),
            PHONE => Identity::join(namespace, &self.phone(value)?),
            DEVICE => Identity::join(namespace, &device(value)),
            _ if namespace.starts_with(SOCIAL_PREFIX) => Identity::join(namespace, &handle(value)?),
            _ => Identity::join(namespace, value),
        };
        Ok(Read::Named(identity))
    }

    /// All that is wrong, where [`Namespaces::read`] stops at the first.
    pub fn faults(&self, namespace: &str, value: &str) -> impl Iterator<Item = Broken> {
        let unnamed = match (is_namespace(namespace), self.knows(namespace)) {
            (false, _) => Some(NAMESPACE_RULE),
            (true, false) => Some(UNKNOWN_NAMESPACE),
            (true, true) => None,
        };
        // Without a namespace of its own, a value is judged as that of any.
        let judged = if unnamed.is_none() {
            namespace
        } else {
            USER_ID
        };
        unnamed.into_iter().chain(self.read(judged, value).err())
    }

    fn knows(&self, namespace: &str) -> bool {
        match namespace {
            USER_ID | ANONYMOUS_ID | EMAIL | PHONE | DEVICE | LOYALTY_CARD | CRM_ID => true,
            _ => {
                let network = namespace.strip_prefix(SOCIAL_PREFIX);
                network.is_some_and(|n| !n.is_empty()) || self.own.contains(namespace)
            }
        }
    }

    /// What software sends where it knows nobody: zeroes (also as a whole UUID, which
    /// is the advertising id of those who asked not to be tracked) and the listed
    /// words. Segment Unify and RudderStack recommend the same.
    fn is_blocked(&self, value: &str) -> bool {
        value.bytes().all(|b| matches!(b, b'0' | b'-'))
            || self.blocked.contains(value.to_lowercase().as_str())
    }

    /// E.164. Numbers whose block is not in the library's tables are taken if their
    /// country and length are right: tables age, and customers get new numbers.
    fn phone(&self, value: &str) -> Result<String, Broken> {
        let international = value.starts_with('+');
        if value.len() > PHONE_BYTES_MAX {
            return Err(PHONE_RULE);
        }
        if !international && self.region.is_none() {
            return Err(PHONE_REGION_RULE);
        }
        let region = self.region.filter(|_| !international);
        let number = phonenumber::parse(region, value).map_err(|_| PHONE_RULE)?;
        let text = number.format().mode(Mode::E164).to_string();
        let digits = text.len() - 1;
        // ITU-T E.164: 15 digits at most. None shorter than 7 with its country's code.
        if (7..=15).contains(&digits) && number.extension().is_none() {
            Ok(text)
        } else {
            Err(PHONE_RULE)
        }
    }
}

impl Identity {
    fn join(namespace: &str, value: &str) -> Self {
        Self {
            key: format!("{namespace}:{value}").into(),
            // At most 64, checked where it is read.
            namespace_len: namespace.len() as u8,
        }
    }

    /// Reads a key back; None if it is none.
    pub fn from_key(key: &str) -> Option<Self> {
        let colon = key.find(':')?;
        Some(Self {
            key: key.into(),
            namespace_len: u8::try_from(colon).ok()?,
        })
    }

    /// `namespace:value`
    pub fn key(&self) -> &Arc<str> {
        &self.key
    }

    pub fn namespace(&self) -> &str {
        &self.key[..usize::from(self.namespace_len)]
    }

    pub fn value(&self) -> &str {
        &self.key[usize::from(self.namespace_len) + 1..]
    }

    /// Whether it tells which customer this is, and not just which device: a profile
    /// with one is known, and two known profiles are never joined by accident.
    pub fn names_a_customer(&self) -> bool {
        self.namespace() == USER_ID
    }

    /// Whether it is a thing's, which several people may use.
    pub fn names_a_device(&self) -> bool {
        matches!(self.namespace(), ANONYMOUS_ID | DEVICE)
    }

    /// The smaller, the more it says about who this is.
    pub fn rank(&self) -> u8 {
        match self.namespace() {
            USER_ID => 0,
            EMAIL => 2,
            PHONE => 3,
            DEVICE => 8,
            ANONYMOUS_ID => 9,
            namespace if namespace.starts_with(SOCIAL_PREFIX) => 4,
            // Cards, the CRM's and the workspace's own: the company gave them out.
            _ => 1,
        }
    }
}

/// Whether a text can be a namespace.
pub fn is_namespace(text: &str) -> bool {
    (1..=NAMESPACE_CHARS_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Reads a region of the world, such as `AT`, by its ISO 3166-1 code.
pub fn region(code: &str) -> Option<country::Id> {
    country::Id::from_str(code).ok()
}

/// Lower case throughout: the local part may be case-sensitive in theory, and is not
/// with any provider people use. The domain as the DNS has it (UTS 46), so that a name
/// in letters and the same in Punycode are one.
fn email(value: &str) -> Result<String, Broken> {
    let (local, domain) = value.rsplit_once('@').ok_or(EMAIL_RULE)?;
    let local_fits = (1..=LOCAL_BYTES_MAX).contains(&local.len());
    if !local_fits || value.contains(char::is_whitespace) {
        return Err(EMAIL_RULE);
    }
    let domain = idna::domain_to_ascii_strict(domain).map_err(|_| EMAIL_RULE)?;
    if domain.is_empty() {
        return Err(EMAIL_RULE);
    }
    Ok(format!("{}@{domain}", local.to_lowercase()))
}

/// UUIDs in their one form, whichever way a platform writes them; what else a maker
/// numbers its things by stays as it is.
fn device(value: &str) -> String {
    match Uuid::try_parse(value) {
        Ok(id) => id.hyphenated().to_string(),
        Err(_) => value.to_owned(),
    }
}

/// Networks do not tell case apart, and the `@` is only how one speaks of it.
fn handle(value: &str) -> Result<String, Broken> {
    let handle = value.strip_prefix('@').unwrap_or(value);
    if handle.is_empty() || handle.contains(char::is_whitespace) {
        return Err(HANDLE_RULE);
    }
    Ok(handle.to_lowercase())
}

#[cfg(test)]
impl Identity {
    /// In any namespace, for tests.
    pub fn of(namespace: &str, value: &str) -> Self {
        Self::join(namespace, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespaces(region: Option<&str>) -> Namespaces {
        let region = region.map(|code| super::region(code).unwrap());
        Namespaces::new(["tenant"].into_iter(), region, ["null", "N/A"].into_iter())
    }

    #[test]
    fn values_are_normalised_per_namespace() {
        let rows = [
            (USER_ID, " Ann-1 ", "Ann-1"),
            (EMAIL, " Ann@Example.ORG ", "ann@example.org"),
            (
                EMAIL,
                "o'neil+x@BÜCHER.example",
                "o'neil+x@xn--bcher-kva.example",
            ),
            (EMAIL, "a@xn--bcher-kva.example", "a@xn--bcher-kva.example"),
            (PHONE, "+43 (664) 123-45.67", "+436641234567"),
            (PHONE, "0664 1234567", "+436641234567"),
            (PHONE, "0043 664 1234567", "+436641234567"),
            (PHONE, "+1 555 555 0100", "+15555550100"),
            (
                DEVICE,
                "6D92078A-8246-4BA4-AE5B-76104861E7DC",
                "6d92078a-8246-4ba4-ae5b-76104861e7dc",
            ),
            (
                DEVICE,
                "6D92078A82464BA4AE5B76104861E7DC",
                "6d92078a-8246-4ba4-ae5b-76104861e7dc",
            ),
            (DEVICE, "SN-77", "SN-77"),
            ("social_instagram", "@Ann.B", "ann.b"),
            (LOYALTY_CARD, "a:b", "a:b"),
            (CRM_ID, "003D000001", "003D000001"),
            ("tenant", "X", "X"),
        ];
        let namespaces = namespaces(Some("AT"));
        for (namespace, value, expected) in rows {
            let read = namespaces.read(namespace, value);
            let Ok(Read::Named(identity)) = read else {
                panic!("{namespace}:{value}: {read:?}")
            };
            assert_eq!(
                (identity.namespace(), identity.value()),
                (namespace, expected)
            );
            assert_eq!(Identity::from_key(identity.key()).unwrap(), identity);
            // What is stored is read as itself.
            assert_eq!(
                namespaces.read(namespace, expected),
                Ok(Read::Named(identity))
            );
        }
    }

    #[test]
    fn broken_identifiers_are_told_apart() {
        let long = "x".repeat(513);
        let long_local = format!("{}@example.org", "x".repeat(65));
        let rows = [
            ("", "a", NAMESPACE_RULE),
            ("User", "a", NAMESPACE_RULE),
            ("a:b", "a", NAMESPACE_RULE),
            ("household", "a", UNKNOWN_NAMESPACE),
            ("social_", "a", UNKNOWN_NAMESPACE),
            (USER_ID, "  ", VALUE_RULE),
            (USER_ID, "a\0b", VALUE_RULE),
            (USER_ID, &long, VALUE_RULE),
            (EMAIL, "ann", EMAIL_RULE),
            (EMAIL, "@example.org", EMAIL_RULE),
            (EMAIL, "ann@", EMAIL_RULE),
            (EMAIL, "ann@exa_mple..org", EMAIL_RULE),
            (EMAIL, "an n@example.org", EMAIL_RULE),
            (EMAIL, &long_local, EMAIL_RULE),
            (PHONE, "+call me", PHONE_RULE),
            (PHONE, "+999 123 4567", PHONE_RULE),
            (PHONE, "+43 1", PHONE_RULE),
            (PHONE, "+43 664 12345678901234", PHONE_RULE),
            (PHONE, "+43 664 1234567 ext. 5", PHONE_RULE),
            (PHONE, "0664 1234567", PHONE_REGION_RULE),
            ("social_x", "ann b", HANDLE_RULE),
            ("social_x", "@", HANDLE_RULE),
        ];
        let namespaces = namespaces(None);
        for (namespace, value, expected) in rows {
            let read = namespaces.read(namespace, value);
            assert_eq!(read, Err(expected), "{namespace}:{value}");
        }
    }

    #[test]
    fn values_that_are_sent_for_many_name_nobody() {
        let rows = [
            (USER_ID, " NULL ", true),
            (EMAIL, "n/a", true),
            (ANONYMOUS_ID, "0", true),
            (DEVICE, "00000000-0000-0000-0000-000000000000", true),
            (USER_ID, "-", true),
            (USER_ID, "null-1", false),
            (USER_ID, "10", false),
        ];
        for (namespace, value, blocked) in rows {
            let read = namespaces(None).read(namespace, value).unwrap();
            let is_blocked = matches!(read, Read::Blocked(_));
            assert_eq!(is_blocked, blocked, "{namespace}:{value}");
        }
    }
}
