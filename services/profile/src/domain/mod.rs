//! The ideas of the profile service: who is who, what is known, what happened, and
//! what a decision may read of it. Pure and synchronous: no tonic, sqlx or tokio, no
//! clock and no randomness except where an id is passed in.

pub mod audience;
pub mod audit;
pub mod consent;
pub mod delivery;
pub mod derive;
pub mod event;
pub mod folding;
pub mod identity;
pub mod linking;
pub mod merge;
pub mod outcome;
pub mod people;
pub mod preferences;
pub mod purposes;
pub mod quality;
pub mod record;
pub mod region;
pub mod retention;
pub mod schema;
pub mod scope;
pub mod segments;
pub mod snapshot;
pub mod standing;
pub mod tcf;
pub mod ties;
pub mod windows;

use std::{fmt, str::FromStr, sync::Arc};

use uuid::Uuid;

pub use event::Occurrence;
pub use identity::Identity;
pub use record::{Provenance, Record};

/// Attune's id of a person: time-ordered, so that of two the older is the smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileId(Uuid);

impl ProfileId {
    /// A fresh id, greater than all made before it in this process.
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }

    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// Whose something is: of a living profile, and by an identifier of its own or of one
/// that was merged into it, with which it goes should the merge be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The living one.
    pub profile_id: ProfileId,
    /// The same where nothing was merged.
    pub origin_id: ProfileId,
}

impl Owner {
    /// Of a profile's own.
    pub fn only(profile_id: ProfileId) -> Self {
        Self {
            profile_id,
            origin_id: profile_id,
        }
    }

    /// As it is stored: nothing where it is the profile itself.
    pub fn origin_column(&self) -> Option<String> {
        (self.origin_id != self.profile_id).then(|| self.origin_id.to_string())
    }
}

/// Not the text of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a profile id")]
pub struct NotAnId;

impl FromStr for ProfileId {
    type Err = NotAnId;

    /// Takes the one form we give out, so that an id has one spelling in keys.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        match Uuid::try_parse(text) {
            Ok(id) if text.len() == 36 => Ok(Self(id)),
            _ => Err(NotAnId),
        }
    }
}

/// One valid message, normalised.
#[derive(Debug, Clone)]
pub struct Message {
    pub id: Arc<str>,
    pub who: Who,
    pub time_ms: i64,
    /// Shared by the messages of a sender.
    pub provenance: Arc<Provenance>,
    pub kind: Kind,
    /// What its context says about consent; none where it says nothing.
    pub signals: Option<Arc<consent::Signals>>,
}

/// Whom a message is about.
#[derive(Debug, Clone)]
pub enum Who {
    /// An id that Attune gave out; it may since have been merged into another.
    Profile(ProfileId),
    /// At least one, the strongest namespace first.
    Identities(Vec<Identity>),
}

/// What a message says.
#[derive(Debug, Clone)]
pub enum Kind {
    Identify(Traits),
    Event(Arc<Occurrence>),
    Group {
        group_id: String,
        traits: Traits,
    },
    Alias {
        previous: Identity,
    },
    /// Put on a list, or taken off it. No sender says so: it comes from whoever keeps the
    /// list.
    List {
        segment_id: Arc<str>,
        member: bool,
        /// The revision at which the list was made.
        born: i64,
    },
}

/// Trait values by id; None removes. Shared, because a write may be tried twice.
pub type Traits = Arc<[(String, Option<prost_types::Value>)]>;
