//! What is to be done about people, as it was decided, and why a message is not taken.

use std::{collections::BTreeMap, sync::Arc};

use crate::domain::{
    Identity, Occurrence, Owner, ProfileId, Provenance, Traits,
    consent::{Decision, Signals},
    merge::{Confirmed, Merged, Refused, Split},
    preferences::Preferences,
    record::Listed,
    standing::Refusal,
};

/// What is to be done, in this order.
#[derive(Debug)]
pub enum Step {
    Create {
        profile_id: ProfileId,
    },
    Link {
        identity: Identity,
        owner: Owner,
    },
    /// A device's identifier is taken from whoever held it, and is nobody's.
    Unlink {
        identity: Identity,
        owner: Owner,
        device: ProfileId,
    },
    /// A device was seen with a customer who does not hold it.
    Meet {
        identity: Identity,
        customer: ProfileId,
    },
    Merge(Merged),
    /// More evidence for what is one person already.
    Confirm(Confirmed),
    Refuse(Refused),
    Unmerge(Split),
    Identify {
        owner: Owner,
        traits: Traits,
        time_ms: i64,
        provenance: Arc<Provenance>,
    },
    Group {
        owner: Owner,
        group_id: String,
        traits: Traits,
        time_ms: i64,
        provenance: Arc<Provenance>,
    },
    Event {
        owner: Owner,
        event: Arc<Occurrence>,
    },
    /// Something of theirs was dropped because it was too old, and so go values of
    /// these traits that are older than the moment given for each.
    Expire {
        profile_id: ProfileId,
        traits: Arc<BTreeMap<String, i64>>,
    },
    /// About a purpose of consent.
    Decide {
        owner: Owner,
        purpose: String,
        decision: Decision,
    },
    /// What a message's context says about consent.
    Signal {
        owner: Owner,
        signals: Arc<Signals>,
        time_ms: i64,
    },
    Prefer {
        owner: Owner,
        preferences: Preferences,
    },
    /// Puts somebody on a list, or takes them off it.
    List {
        owner: Owner,
        segment_id: Arc<str>,
        listed: Listed,
    },
}

/// Why a message is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    /// It names a profile id that does not exist, which the caller rules out beforehand.
    Nobody,
    /// It says that two are one who cannot be.
    Alias(Refusal),
}
