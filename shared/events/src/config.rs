//! Settings of a service's log.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long entries are kept, in hours. A follower that was away for longer misses
    /// what was dropped. 0 keeps everything.
    pub retention_hours: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            retention_hours: 7 * 24,
        }
    }
}

impl Config {
    /// None if everything is kept.
    pub fn retention(&self) -> Option<Duration> {
        let hours = u64::from(self.retention_hours);
        (hours > 0).then(|| Duration::from_secs(hours * 3600))
    }
}
