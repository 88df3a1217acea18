//! The catalog's settings. Values only; reads no file and no environment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The `catalog` section.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Items kept in memory for reading, over all workspaces. Those least read give way.
    pub cached_items_max: u64,
    /// Stored items that one page of a filtered list looks at, at most.
    pub filter_scan_items_max: u32,
    /// How often to look for changes made by other processes, where the database is
    /// shared with them. Milliseconds.
    pub follow_interval_ms: u64,
    /// The log of changes.
    pub log: attune_events::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cached_items_max: 250_000,
            filter_scan_items_max: 20_000,
            follow_interval_ms: 200,
            log: attune_events::Config::default(),
        }
    }
}
