//! The tenant's name. A value of this type is valid; there is no other way to make one.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

/// 1 to 64 of a-z, 0-9, `_` and `-`, beginning with a letter.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Workspace(Arc<str>);

/// Why a name is no workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 of a-z, 0-9, `_` and `-`, beginning with a letter")]
pub struct InvalidWorkspace;

impl Workspace {
    /// The workspace that exists from the start.
    pub const DEFAULT: &'static str = "default";

    pub fn new(name: &str) -> Result<Self, InvalidWorkspace> {
        let bytes = name.as_bytes();
        let starts_well = bytes.first().is_some_and(u8::is_ascii_lowercase);
        let allowed =
            |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
        if starts_well && bytes.len() <= 64 && bytes.iter().all(allowed) {
            Ok(Self(name.into()))
        } else {
            Err(InvalidWorkspace)
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The workspace `default`.
impl Default for Workspace {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl FromStr for Workspace {
    type Err = InvalidWorkspace;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl TryFrom<String> for Workspace {
    type Error = InvalidWorkspace;
    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(&name)
    }
}

impl AsRef<str> for Workspace {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Maps keyed by workspace can be asked with a `&str`.
impl Borrow<str> for Workspace {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&Workspace> for String {
    fn from(workspace: &Workspace) -> Self {
        workspace.0.as_ref().to_owned()
    }
}

impl fmt::Display for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_names_are_workspaces() {
        let longest = "a".repeat(64);
        for name in ["a", "default", "shop-2_eu", longest.as_str()] {
            assert_eq!(
                Workspace::new(name).map(|w| w.to_string()),
                Ok(name.to_owned())
            );
        }
        let too_long = "a".repeat(65);
        for name in [
            "",
            "2shops",
            "-a",
            "Shop",
            "a b",
            "é",
            "a/b",
            too_long.as_str(),
        ] {
            assert_eq!(Workspace::new(name), Err(InvalidWorkspace), "{name}");
        }
    }
}
