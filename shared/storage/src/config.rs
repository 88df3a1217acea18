//! Where a service's database is and how it is used. Settings only; opens nothing.

use std::path::Path;

use attune_settings::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The `database` section, shared by all services.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `postgres://user:password@host/database`: each service makes its own schema in
    /// it. Empty: one SQLite file per service in the data directory.
    pub url: Secret,
    #[serde(flatten)]
    pub options: Options,
}

/// How much a database handle may use.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Connections for reading, per service.
    #[schemars(range(min = 1, max = 1_000))]
    pub read_connections_max: u32,
    /// Writes that may wait for the database; more are refused as overload.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub write_queue_max: usize,
    /// Writes that share one transaction at most.
    #[schemars(range(min = 1, max = 100_000))]
    pub write_batch_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            read_connections_max: 4,
            write_queue_max: 8_192,
            write_batch_max: 256,
        }
    }
}

impl Config {
    /// The address of one service's own database.
    pub fn url_of(&self, service: &str, data_dir: &Path) -> String {
        let url = self.url.expose();
        if url.is_empty() {
            let file = data_dir.join(format!("{service}.db"));
            return format!("sqlite://{}", file.display());
        }
        let separator = if url.contains('?') { '&' } else { '?' };
        let schema = service.replace('-', "_");
        format!("{url}{separator}schema={schema}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_has_its_own_place() {
        let check = |url: &str, expected: &str| {
            let config = Config {
                url: url.to_owned().into(),
                ..Config::default()
            };
            assert_eq!(
                config.url_of("rule-engine", Path::new("/var/data")),
                expected
            );
        };
        check("", "sqlite:///var/data/rule-engine.db");
        check("postgres://h/d", "postgres://h/d?schema=rule_engine");
        check(
            "postgres://h/d?sslmode=require",
            "postgres://h/d?sslmode=require&schema=rule_engine",
        );
    }
}
