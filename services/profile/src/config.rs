//! Settings of the profile service. Read once at the start; never in a request.

use std::{collections::BTreeMap, num::NonZeroU16};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::snapshot::DefaultConsent;

/// The `profile` section.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether a person who decided nothing about personalization is taken to have
    /// granted it (`granted`, opt-out) or not (`denied`, opt-in).
    pub default_consent: Consent,
    /// Memory for profiles that are in use, in MiB. A profile of 20 traits and 30
    /// events takes about 2 KiB.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub hot_profiles_mib: u64,
    /// Memory for finding profiles by identifier, in MiB.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub hot_identities_mib: u64,
    /// Memory for what windows of people's histories are answered from, in MiB. A window
    /// over thirty events takes less than 1 KiB.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub hot_histories_mib: u64,
    /// Newest events of a person that decisions see.
    #[schemars(range(min = 1, max = 1_000))]
    pub recent_events_max: usize,
    /// How far ahead of its arrival an event may claim to have happened, in hours.
    #[schemars(range(min = 0, max = 8_760))]
    pub future_hours_max: u32,
    /// The first year in which an event may have happened: clocks that were never set
    /// say 1970.
    #[schemars(range(min = 1970, max = 2100))]
    pub event_year_min: i16,
    /// Size of one message's properties, context and traits each, in bytes.
    #[schemars(range(min = 1_024, max = 1_048_576))]
    pub properties_bytes_max: usize,
    /// Messages that may be on their way to the database; more are refused as overload.
    #[schemars(range(min = 1_000, max = 10_000_000))]
    pub messages_waiting_max: u32,
    /// How long data is kept.
    pub retention: Retention,
    /// The log of changes.
    pub log: attune_events::Config,
}

/// How long data is kept, by class. What is too old is dropped in the background.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Days by class, e.g. `{ events = 730, audit = 1825 }`. What has no class here is
    /// kept as long as its profile. Types of events and traits name classes of their
    /// own choice; `events` is that of the other events, `trait_history` of values that
    /// traits had, `messages` of ids by which messages are known again, `audit` of the
    /// audit log, and `anonymous_profiles` of people who are no known customers and did
    /// not come back: they are erased.
    pub days: BTreeMap<String, NonZeroU16>,
    /// Hours from one pass over all people to the next.
    #[schemars(range(min = 1, max = 8_760))]
    pub every_hours: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            days: BTreeMap::new(),
            every_hours: 24,
        }
    }
}

/// What holds where nothing was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    Granted,
    Denied,
}

impl From<Consent> for DefaultConsent {
    fn from(consent: Consent) -> Self {
        match consent {
            Consent::Granted => DefaultConsent::Granted,
            Consent::Denied => DefaultConsent::Denied,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            default_consent: Consent::Granted,
            hot_profiles_mib: 256,
            hot_identities_mib: 64,
            hot_histories_mib: 64,
            recent_events_max: 100,
            future_hours_max: 24,
            event_year_min: 2000,
            properties_bytes_max: 32 << 10,
            messages_waiting_max: 65_536,
            retention: Retention::default(),
            log: attune_events::Config::default(),
        }
    }
}
