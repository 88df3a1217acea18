//! Identifiers of a person: which namespaces there are, how a value is normalised in
//! each, and which of several is the strongest. Never decides who holds one.

use std::sync::Arc;

/// Longest value, in characters.
pub const VALUE_CHARS_MAX: usize = 512;
/// Longest namespace, in characters.
pub const NAMESPACE_CHARS_MAX: usize = 64;

pub const USER_ID: &str = "user_id";
pub const ANONYMOUS_ID: &str = "anonymous_id";
pub const EMAIL: &str = "email";
pub const PHONE: &str = "phone";

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
    rule: "must be a phone number: 5 to 15 digits, with an optional `+` in front",
};

impl Identity {
    /// Normalises, or says what is wrong.
    pub fn new(namespace: &str, value: &str) -> Result<Self, Broken> {
        if !is_namespace(namespace) {
            return Err(NAMESPACE_RULE);
        }
        let value = value.trim();
        if value.is_empty()
            || value.chars().count() > VALUE_CHARS_MAX
            || value.chars().any(char::is_control)
        {
            return Err(VALUE_RULE);
        }
        match namespace {
            EMAIL => email(value).map(|v| Self::join(namespace, &v)),
            PHONE => phone(value).map(|v| Self::join(namespace, &v)),
            _ => Ok(Self::join(namespace, value)),
        }
    }

    /// All that is wrong, where [`Identity::new`] stops at the first.
    pub fn faults(namespace: &str, value: &str) -> impl Iterator<Item = Broken> {
        let named = is_namespace(namespace);
        let unnamed = (!named).then_some(NAMESPACE_RULE);
        // Without a namespace of its own, a value is judged as that of any.
        let judged = if named { namespace } else { USER_ID };
        unnamed.into_iter().chain(Self::new(judged, value).err())
    }

    fn join(namespace: &str, value: &str) -> Self {
        Self {
            key: format!("{namespace}:{value}").into(),
            // At most 64, checked above.
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

    /// The smaller, the more it says about who this is.
    pub fn rank(&self) -> u8 {
        match self.namespace() {
            USER_ID => 0,
            EMAIL => 2,
            PHONE => 3,
            ANONYMOUS_ID => 9,
            _ => 1,
        }
    }
}

fn is_namespace(text: &str) -> bool {
    (1..=NAMESPACE_CHARS_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Lower case throughout: the local part may be case-sensitive in theory, and is not
/// with any provider people use.
fn email(value: &str) -> Result<String, Broken> {
    let (local, domain) = value.rsplit_once('@').ok_or(EMAIL_RULE)?;
    if local.is_empty() || domain.is_empty() || value.contains(char::is_whitespace) {
        return Err(EMAIL_RULE);
    }
    Ok(value.to_lowercase())
}

/// Drops what people put between digits; national numbers stay national, since
/// nothing here knows the country.
fn phone(value: &str) -> Result<String, Broken> {
    let (plus, rest) = value
        .strip_prefix('+')
        .map_or(("", value), |rest| ("+", rest));
    let mut digits = String::with_capacity(rest.len() + 1);
    digits.push_str(plus);
    for c in rest.chars() {
        match c {
            '0'..='9' => digits.push(c),
            ' ' | '-' | '.' | '/' | '(' | ')' => {}
            _ => return Err(PHONE_RULE),
        }
    }
    if (5..=15).contains(&(digits.len() - plus.len())) {
        Ok(digits)
    } else {
        Err(PHONE_RULE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_normalised_per_namespace() {
        let rows = [
            (USER_ID, " Ann-1 ", "Ann-1"),
            (EMAIL, " Ann@Example.ORG ", "ann@example.org"),
            (PHONE, "+43 (664) 123-45.67", "+436641234567"),
            ("loyalty_card", "a:b", "a:b"),
        ];
        for (namespace, value, expected) in rows {
            let identity = Identity::new(namespace, value).unwrap();
            assert_eq!(
                (identity.namespace(), identity.value()),
                (namespace, expected)
            );
            assert_eq!(Identity::from_key(identity.key()).unwrap(), identity);
        }
    }

    #[test]
    fn broken_identifiers_are_told_apart() {
        let long = "x".repeat(513);
        let rows = [
            ("", "a", NAMESPACE_RULE),
            ("User", "a", NAMESPACE_RULE),
            ("a:b", "a", NAMESPACE_RULE),
            (USER_ID, "  ", VALUE_RULE),
            (USER_ID, "a\0b", VALUE_RULE),
            (USER_ID, &long, VALUE_RULE),
            (EMAIL, "ann", EMAIL_RULE),
            (EMAIL, "an n@example.org", EMAIL_RULE),
            (PHONE, "call me", PHONE_RULE),
            (PHONE, "123", PHONE_RULE),
        ];
        for (namespace, value, expected) in rows {
            assert_eq!(
                Identity::new(namespace, value),
                Err(expected),
                "{namespace}:{value}"
            );
        }
    }
}
