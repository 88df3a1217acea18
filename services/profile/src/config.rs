//! Settings of the profile service. Read once at the start; never in a request.

use std::{collections::BTreeMap, num::NonZeroU16};

use attune_settings::{Faults, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{
    identity::{self, Namespaces},
    purposes::DefaultConsent,
    standing::Bounds,
};
use crate::webhook;

/// The `profile` section.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether a person who decided nothing about personalization or analytics is taken
    /// to have granted them (`granted`, opt-out) or not (`denied`, opt-in), where the
    /// purpose declares no regime for the region they are in.
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
    /// Who is who.
    pub identity: Identity,
    /// Audiences that are sent to advertising platforms.
    pub audiences: Audiences,
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
    /// not come back: they are erased. `consent_history` is that of decisions about
    /// consent, counted from when another took their place: what holds is kept while it
    /// does. Unless set, they are kept for 1827 days, as the longest law we know asks.
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

/// Which identifiers there are, and how much one person may come to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// Namespaces of identifiers besides user_id, anonymous_id, email, phone, device,
    /// loyalty_card, crm_id and social_NETWORK; each of a-z, 0-9 and `_`.
    pub namespaces: Vec<Namespace>,
    /// The region that phone numbers without a country's code are of, such as `AT`
    /// (ISO 3166-1). Empty means that such numbers are refused.
    pub phone_region: Region,
    /// Values that name nobody, in any namespace and in any case; besides these, values
    /// of nothing but zeroes and dashes.
    pub blocked_values: Vec<String>,
    /// Identifiers of one person.
    #[schemars(range(min = 2, max = 10_000))]
    pub identities_max: u32,
    /// Identifiers of one person in one namespace.
    #[schemars(range(min = 1, max = 10_000))]
    pub namespace_identities_max: u32,
    /// Profiles that become one person. Two people who are more together are not merged.
    #[schemars(range(min = 2, max = 1_000))]
    pub profiles_max: u32,
    /// Customers with whom a device is taken to be shared, and so nobody's own.
    #[schemars(range(min = 2, max = 1_000))]
    pub device_customers_max: u32,
}

impl Identity {
    pub fn bounds(&self) -> Bounds {
        Bounds {
            identities_max: self.identities_max,
            namespace_identities_max: self.namespace_identities_max,
            profiles_max: self.profiles_max,
            device_customers_max: self.device_customers_max,
        }
    }

    pub fn namespaces(&self) -> Namespaces {
        Namespaces::new(
            self.namespaces.iter().map(|namespace| &*namespace.0),
            identity::region(&self.phone_region.0),
            self.blocked_values.iter().map(String::as_str),
        )
    }
}

impl Default for Identity {
    fn default() -> Self {
        let bounds = Bounds::default();
        Self {
            namespaces: Vec::new(),
            phone_region: Region::default(),
            blocked_values: BLOCKED_VALUES.map(str::to_owned).to_vec(),
            identities_max: bounds.identities_max,
            namespace_identities_max: bounds.namespace_identities_max,
            profiles_max: bounds.profiles_max,
            device_customers_max: bounds.device_customers_max,
        }
    }
}

/// What senders put where they know nothing; after the values that Segment Unify and
/// RudderStack recommend to block.
const BLOCKED_VALUES: [&str; 25] = [
    "-1",
    "anonymous",
    "default",
    "empty",
    "false",
    "guest",
    "invalid",
    "n/a",
    "na",
    "nan",
    "nil",
    "no-reply@example.com",
    "none",
    "null",
    "test",
    "test@example.com",
    "test@test.com",
    "todo",
    "true",
    "undefined",
    "unknown",
    "user",
    "void",
    "[object object]",
    "(null)",
];

/// A namespace of the workspaces' own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct Namespace(String);

impl TryFrom<String> for Namespace {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match identity::is_namespace(&text) {
            true => Ok(Self(text)),
            false => Err("a namespace must be 1 to 64 of a-z, 0-9 and `_`"),
        }
    }
}

/// A region of the world, or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct Region(String);

impl TryFrom<String> for Region {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.is_empty() || identity::region(&text).is_some() {
            true => Ok(Self(text)),
            false => Err("a region must be a code of ISO 3166-1, such as `AT`"),
        }
    }
}

/// Audiences that are sent to advertising platforms.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Audiences {
    /// Where they can be sent, by name. Only what is here can be reached by the API.
    pub destinations: BTreeMap<String, Destination>,
    /// Attempts at one batch before a delivery has failed. The waits between them grow
    /// to ten minutes; 30 attempts take about four hours.
    #[schemars(range(min = 1, max = 10_000))]
    pub attempts_max: u32,
}

/// Who takes batches.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Destination {
    /// Where they are posted: `https://…`, or `http://…` on the same machine.
    pub url: String,
    /// What they are signed with, as Standard Webhooks say: `whsec_` and 24 to 64 bytes
    /// in base64.
    pub signing_secret: Secret<String>,
}

impl Default for Audiences {
    fn default() -> Self {
        Self {
            destinations: BTreeMap::new(),
            attempts_max: 30,
        }
    }
}

impl Config {
    /// Adds what only the values show. `path` is where this section stands.
    pub fn check(&self, path: &str, faults: &mut Faults) {
        for (name, destination) in &self.audiences.destinations {
            if let Err(problem) = webhook::check(destination) {
                let path = format!("{path}.audiences.destinations.{name}");
                faults.push(path, "the configuration", problem.to_string());
            }
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
            identity: Identity::default(),
            audiences: Audiences::default(),
            log: attune_events::Config::default(),
        }
    }
}
