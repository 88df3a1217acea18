//! The gateway's settings, typed and defaulted. Read once, at start.

use attune_errors::Violations;
use attune_rpc::Limits;
use attune_settings::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::budget::Shares;

/// The public door.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The first admin key of the workspace `default`, at least 16 characters. Also
    /// read from ATTUNE_BOOTSTRAP_ADMIN_KEY. Another value replaces the former one.
    pub bootstrap_admin_key: Secret,
    /// Signs subject tokens: 64 hexadecimal digits. Empty: a key made at the first start
    /// and kept in this service's database. Another one makes all tokens worthless.
    pub subject_token_key: Secret,
    /// What the door takes on.
    pub limits: Limits,
    /// Calls per second of a key that sets no limit of its own; 0 means no limit.
    pub key_requests_per_second_max: u32,
    /// How soon a key changed by another replica counts here. Milliseconds.
    #[schemars(range(min = 100, max = 60_000))]
    pub key_refresh_ms: u64,
    /// Web pages that may call from a browser.
    pub cors: Cors,
    /// Whether the trait `email` of an identify call is also an identifier, in lower
    /// case. Off, because an address proves nothing about who typed it: with keys that
    /// browsers hold, anybody could merge into anybody's profile.
    pub email_identity: bool,
    /// Composing answers.
    pub personalize: Personalize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bootstrap_admin_key: Secret::default(),
            subject_token_key: Secret::default(),
            limits: Limits::default(),
            key_requests_per_second_max: 100_000,
            key_refresh_ms: 2_000,
            cors: Cors::default(),
            email_identity: false,
            personalize: Personalize::default(),
        }
    }
}

impl Config {
    const SECRET_CHARS_MIN: usize = 16;

    /// What types and ranges do not say.
    pub fn check(&self) -> Result<(), Violations> {
        let mut found = Violations::new();
        let key = self.bootstrap_admin_key.expose();
        let visible = key.bytes().all(|b| b.is_ascii_graphic());
        let fits = visible && key.len() >= Self::SECRET_CHARS_MIN;
        if !key.is_empty() && !fits {
            let rule = "must be at least 16 visible ASCII characters";
            found.push("bootstrap_admin_key", rule);
        }
        let key = self.subject_token_key.expose().trim();
        if !key.is_empty() && blake3::Hash::from_hex(key).is_err() {
            found.push("subject_token_key", "must be 64 hexadecimal digits");
        }
        for (i, origin) in self.cors.allowed_origins.iter().enumerate() {
            if origin != "*" && !is_origin(origin) {
                let rule = "must be * or an origin such as https://shop.example";
                found.push(format!("cors.allowed_origins[{i}]"), rule);
            }
        }
        found.into_result()
    }
}

/// A scheme, a host and perhaps a port, as browsers send them.
fn is_origin(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == text)
}

/// Cross-origin calls. They carry keys and never cookies.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cors {
    /// Origins such as `https://shop.example`; `*` means all of them, an empty list none.
    pub allowed_origins: Vec<String>,
    /// How long a browser may remember the answer. Seconds.
    pub max_age_s: u64,
}

impl Default for Cors {
    fn default() -> Self {
        Self {
            allowed_origins: vec!["*".to_owned()],
            max_age_s: 3_600,
        }
    }
}

/// How an answer's time is spent, and what stands in for a peer that is down.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Personalize {
    /// The deadline of callers that send none. Milliseconds.
    #[schemars(range(min = 1, max = 600_000))]
    pub deadline_default_ms: u64,
    /// Share of the time left that taking in the request's events may use.
    #[schemars(range(min = 0.01, max = 1.0))]
    pub ingest_share: f64,
    /// Share of the time left that reading the profile may use.
    #[schemars(range(min = 0.01, max = 1.0))]
    pub profile_share: f64,
    /// Share of the time left that deciding may use.
    #[schemars(range(min = 0.01, max = 1.0))]
    pub decide_share: f64,
    /// Share of the time left that reading the items may use.
    #[schemars(range(min = 0.01, max = 1.0))]
    pub catalog_share: f64,
    /// Share of the time left that rendering templates may use.
    #[schemars(range(min = 0.01, max = 1.0))]
    pub messaging_share: f64,
    /// How many people of a batch are answered at the same time.
    #[schemars(range(min = 1, max = 1_024))]
    pub batch_concurrency_max: usize,
    /// Memory for the last profiles seen, for when the profile service is down. Bytes.
    pub stale_snapshot_bytes_max: u64,
    /// How old such a profile may be, and so how long a withdrawn consent could be
    /// overlooked. Seconds.
    #[schemars(range(min = 1, max = 86_400))]
    pub stale_snapshot_age_s_max: u64,
    /// How many placements' last rankings are kept, for when the rule-engine is down.
    pub stale_rankings_max: u64,
}

impl Default for Personalize {
    fn default() -> Self {
        Self {
            deadline_default_ms: 1_000,
            ingest_share: 0.4,
            profile_share: 0.3,
            decide_share: 0.5,
            catalog_share: 0.6,
            messaging_share: 0.9,
            batch_concurrency_max: 16,
            stale_snapshot_bytes_max: 64 << 20,
            stale_snapshot_age_s_max: 300,
            stale_rankings_max: 10_000,
        }
    }
}

impl Personalize {
    pub fn shares(&self) -> Shares {
        Shares {
            ingest: self.ingest_share,
            profile: self.profile_share,
            decide: self.decide_share,
            catalog: self.catalog_share,
            messaging: self.messaging_share,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_the_settings_is_told() {
        let origins = ["https://shop.example", "*", "shop.example", "https://a.b/c"];
        let config = Config {
            bootstrap_admin_key: "too short".to_owned().into(),
            cors: Cors {
                allowed_origins: origins.map(str::to_owned).to_vec(),
                ..Cors::default()
            },
            ..Config::default()
        };
        let found = config.check().unwrap_err();
        let fields: Vec<_> = found.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "bootstrap_admin_key",
                "cors.allowed_origins[2]",
                "cors.allowed_origins[3]",
            ]
        );
        assert_eq!(Config::default().check(), Ok(()));
    }
}
