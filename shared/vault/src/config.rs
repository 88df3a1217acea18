//! Where the master keys are. Settings only; reads no key.

use attune_settings::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The `encryption` section, shared by the services that store personal data.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Master keys of 64 hexadecimal digits, separated by blanks or line ends, as
    /// `attune keys generate` makes them. The first wraps the keys of people; the others
    /// only unwrap, until `attune keys rotate` has run. Needed with PostgreSQL. Empty with
    /// embedded databases: made at the first start and kept in `master.key` beside them.
    pub master_keys: Secret,
}
