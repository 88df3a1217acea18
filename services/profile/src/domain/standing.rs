//! What linking has to know of a profile, and how much one person may come to. Counts
//! and flags only; who a person is, is decided elsewhere.

/// What linking has to know of a living profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Holds a user id.
    pub known: bool,
    /// Is a device that several customers use, and so nobody.
    pub shared: bool,
    /// It, or one merged into it, is kept apart from somebody.
    pub apart: bool,
    /// Identifiers it holds.
    pub identities: u32,
    /// Profiles that are this person, itself included.
    pub profiles: u32,
}

impl Standing {
    /// Of a profile that begins.
    pub const NEW: Self = Self {
        known: false,
        shared: false,
        apart: false,
        identities: 0,
        profiles: 1,
    };

    /// Of two that become one.
    pub fn joined(self, other: Self) -> Self {
        Self {
            known: self.known || other.known,
            shared: self.shared || other.shared,
            apart: self.apart || other.apart,
            identities: self.identities.saturating_add(other.identities),
            profiles: self.profiles.saturating_add(other.profiles),
        }
    }
}

impl Default for Standing {
    fn default() -> Self {
        Self::NEW
    }
}

/// How much one person may come to. What goes beyond is a mistake of the senders: a
/// user id in a template, a call centre's phone number, a kiosk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Identifiers of one person.
    pub identities_max: u32,
    /// Of those, in one namespace.
    pub namespace_identities_max: u32,
    /// Profiles that become one person.
    pub profiles_max: u32,
    /// Known customers with whom a device is taken to be nobody's own.
    pub device_customers_max: u32,
}

impl Bounds {
    /// Ties between the profiles of one person, beyond which messages add none: with
    /// fewer than there are profiles they would not be one person.
    pub fn ties_max(self) -> usize {
        (self.profiles_max as usize).saturating_mul(4)
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            identities_max: 200,
            namespace_identities_max: 100,
            profiles_max: 50,
            device_customers_max: 3,
        }
    }
}

/// Why two profiles, or a profile and an identifier, are not joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    TooManyProfiles,
    TooManyIdentities,
    /// An operator undid their merge.
    KeptApart,
    SharedDevice,
}

impl Refusal {
    /// As a rule that the field naming the other side breaks.
    pub fn rule(self) -> &'static str {
        match self {
            Self::TooManyProfiles => {
                "must not make one person of more profiles than profile.identity.profiles_max"
            }
            Self::TooManyIdentities => {
                "must not give one person more identifiers than \
                 profile.identity.identities_max and namespace_identities_max"
            }
            Self::KeptApart => "must not be someone who is kept apart since a merge was undone",
            Self::SharedDevice => "must not be a device that several customers use",
        }
    }

    /// For metrics and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::TooManyProfiles => "too_many_profiles",
            Self::TooManyIdentities => "too_many_identities",
            Self::KeptApart => "kept_apart",
            Self::SharedDevice => "shared_device",
        }
    }
}
