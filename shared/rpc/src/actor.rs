//! Who stands behind a call: a key, by its id, or a customer about themselves. It says
//! for the record who asked; what they may ask was settled at the public door.

use std::fmt;

use http::HeaderValue;

/// Visible ASCII, at most 128 characters. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Actor(HeaderValue);

/// Why a text names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 128 visible ASCII characters")]
pub struct InvalidActor;

impl Actor {
    /// How customers are called who come for their own data.
    pub const SUBJECT: &'static str = "subject";
    const LENGTH_MAX: usize = 128;

    /// The bearer of a key, by the key's id.
    pub fn key(api_key_id: &str) -> Result<Self, InvalidActor> {
        let value = HeaderValue::from_str(api_key_id).map_err(|_| InvalidActor)?;
        Self::sent(&value)
    }

    pub fn subject() -> Self {
        Self(HeaderValue::from_static(Self::SUBJECT))
    }

    pub(crate) fn sent(value: &HeaderValue) -> Result<Self, InvalidActor> {
        let fits = (1..=Self::LENGTH_MAX).contains(&value.len());
        let visible = value.as_bytes().iter().all(u8::is_ascii_graphic);
        (fits && visible)
            .then(|| Self(value.clone()))
            .ok_or(InvalidActor)
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    pub fn as_str(&self) -> &str {
        // Checked to be visible ASCII when it was made.
        self.0.to_str().unwrap_or_default()
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_visible_ascii_of_some_length_names_anybody() {
        let longest = "k".repeat(128);
        for id in [
            "bootstrap",
            "0198c2c3-0000-7000-8000-000000000001",
            &longest,
        ] {
            assert_eq!(Actor::key(id).unwrap().as_str(), id);
        }
        let too_long = "k".repeat(129);
        for id in ["", "two words", "é", "line\nbreak", &too_long] {
            assert_eq!(Actor::key(id), Err(InvalidActor), "{id:?}");
        }
        assert_eq!(Actor::subject().as_str(), Actor::SUBJECT);
    }
}
