//! Settings of the rule-engine. Defaults suit a shop of a hundred thousand items on one
//! machine; nothing here is read while a request is answered.

use attune_settings::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::models::PeopleMax;

/// The `rule_engine` section.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Signs slot tokens: 64 hexadecimal digits. Empty: a key made at the first start
    /// and kept in this service's database.
    pub token_key: Secret,
    /// Decisions that may wait to be stored; more are answered but not stored, and counted.
    #[schemars(range(min = 1))]
    pub decision_queue_max: usize,
    /// Decisions are stored at the latest after so many milliseconds.
    #[schemars(range(min = 1))]
    pub decision_flush_ms: u64,
    /// Decisions, outcomes and counts older than this are dropped. 0 keeps them for ever.
    pub decision_retention_days: u32,
    /// Exposures, clicks and dismissals are put down to a decision for so many hours
    /// after it.
    #[schemars(range(min = 1, max = 8_760))]
    pub attribution_click_hours: u32,
    /// Conversions are put down to a decision for so many hours after it.
    #[schemars(range(min = 1, max = 8_760))]
    pub attribution_conversion_hours: u32,
    /// Outcomes are taken for so many hours beyond the longer of the two, without being
    /// attributed; then the slot's token has expired.
    #[schemars(range(max = 8_760))]
    pub outcome_grace_hours: u32,
    /// Counts kept per workspace and day of where and what was shown; beyond it channels
    /// and items are counted together.
    #[schemars(range(min = 1))]
    pub report_rows_per_day_max: u32,
    /// What behaviour has taught is stored at most this often, in seconds; what came
    /// after is read from the log again at the next start.
    #[schemars(range(min = 1))]
    pub model_snapshot_interval_s: u64,
    /// People whose recent purchases are remembered, per workspace, to see what is
    /// bought together.
    #[schemars(range(min = 1))]
    pub purchasers_max: usize,
    /// People whose recent views are remembered, per workspace, to see what is viewed
    /// together.
    #[schemars(range(min = 1))]
    pub viewers_max: usize,
    /// Items whose similar items are remembered, per workspace.
    #[schemars(range(min = 1))]
    pub similar_items_max: usize,
    /// What people were shown and did with it is remembered for caps and fatigue: so
    /// many entries of 16 bytes, per workspace, about one per exposure and one more for
    /// each rule that touched it. People who came least recently are forgotten first.
    #[schemars(range(min = 1000))]
    pub exposures_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            token_key: Secret::default(),
            decision_queue_max: 20_000,
            decision_flush_ms: 200,
            decision_retention_days: 90,
            attribution_click_hours: 24,
            attribution_conversion_hours: 168,
            outcome_grace_hours: 168,
            report_rows_per_day_max: 200_000,
            model_snapshot_interval_s: 300,
            purchasers_max: 200_000,
            viewers_max: 100_000,
            similar_items_max: 100_000,
            exposures_max: 4_000_000,
        }
    }
}

impl Config {
    pub(crate) fn people_max(&self) -> PeopleMax {
        PeopleMax {
            purchasers: self.purchasers_max,
            viewers: self.viewers_max,
        }
    }
}
