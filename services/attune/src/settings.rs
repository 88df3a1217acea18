//! All settings of a process: those of its services, and how it runs them. Reads them
//! once at the start, from file, environment and flags; never in a request.

mod check;

use std::path::PathBuf;

use attune_rpc::{Draining, TlsFiles};
use attune_settings::{Alias, Faults, Flag, Secret, Sources};
use attune_telemetry::TelemetryConfig;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{cli::SettingsArgs, serve::ServiceName};

/// Names the file, where the flag does not.
pub const FILE_VARIABLE: &str = "ATTUNE_CONFIG";

/// The key that `attune import` shows; in a shell where both are used, `serve` must not
/// take it for a setting.
pub const CLIENT_KEY_VARIABLE: &str = "ATTUNE_KEY";

const ALIASES: [Alias; 1] = [Alias {
    name: "ATTUNE_BOOTSTRAP_ADMIN_KEY",
    path: "gateway.bootstrap_admin_key",
}];

const PREFACE: &str = "\
Every setting of attune, with its default; `attune config` prints this file.
Use it with `attune serve --config FILE`. The environment wins over the file
(`ATTUNE_TELEMETRY__LOG_FORMAT=json`), and flags win over both
(`--set telemetry.log_format=json`).
";

/// The settings of one process.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The services that run in this process. All of them, or one per process, or anything between.
    pub services: Vec<ServiceName>,
    /// Where this process is reached: the gateway's public door, or without a gateway its services' own. Port 0 takes a free one.
    pub listen: String,
    /// Where the embedded databases and generated keys are kept. It is made if it does not exist.
    pub data_dir: PathBuf,
    /// Where the data is.
    pub database: attune_storage::Config,
    /// What seals the personal part of it.
    pub encryption: attune_vault::Config,
    /// The services that run in other processes, and how they are trusted.
    pub peers: PeerSettings,
    /// How the process leaves.
    pub draining: Draining,
    /// What is logged, and where traces and metrics go.
    pub telemetry: TelemetryConfig,
    /// Identities, traits, behaviour, consent.
    pub profile: attune_profile::Config,
    /// What can be offered.
    pub catalog: attune_catalog::Config,
    /// Placements, strategies, rules, decisions.
    pub rule_engine: attune_rule_engine::Config,
    /// Templates and delivery.
    pub messaging: attune_messaging::Config,
    /// The public door.
    pub gateway: attune_gateway::Config,
}

/// How services in several processes find and trust each other.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PeerSettings {
    /// Where the profile service is, such as `http://profile:7700`. Not used where it runs in this process.
    pub profile: String,
    /// Where the catalog service is.
    pub catalog: String,
    /// Where the rule engine is.
    pub rule_engine: String,
    /// Where the messaging service is.
    pub messaging: String,
    /// Where the gateway's process serves its other services to other processes; empty when nobody needs them.
    pub listen: String,
    /// The credential that services show each other, the same in all processes: 16 to 512 visible ASCII characters. Needed as soon as there is more than one process.
    pub token: Secret,
    /// Certificates, for encrypted connections between services.
    pub tls: Option<TlsFiles>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            services: ServiceName::ALL.to_vec(),
            listen: "127.0.0.1:7700".to_owned(),
            data_dir: PathBuf::from("data"),
            database: attune_storage::Config::default(),
            encryption: attune_vault::Config::default(),
            peers: PeerSettings::default(),
            draining: Draining::default(),
            telemetry: TelemetryConfig::default(),
            profile: attune_profile::Config::default(),
            catalog: attune_catalog::Config::default(),
            rule_engine: attune_rule_engine::Config::default(),
            messaging: attune_messaging::Config::default(),
            gateway: attune_gateway::Config::default(),
        }
    }
}

impl Settings {
    /// The address of a service in another process. One that runs here needs none, even
    /// where one file or environment with all addresses is given to every process.
    pub fn remote(&self, service: ServiceName) -> Option<&str> {
        if self.has(service) {
            return None;
        }
        let address = match service {
            ServiceName::Profile => &self.peers.profile,
            ServiceName::Catalog => &self.peers.catalog,
            ServiceName::RuleEngine => &self.peers.rule_engine,
            ServiceName::Messaging => &self.peers.messaging,
            ServiceName::Gateway => "",
        };
        Some(address).filter(|address| !address.is_empty())
    }

    pub fn has(&self, service: ServiceName) -> bool {
        self.services.contains(&service)
    }
}

/// The settings that the flags, the environment and the file make together.
pub fn load(args: &SettingsArgs) -> Result<Settings, Faults> {
    attune_settings::load(&sources(args, environment()), check::check)
}

/// The documented file.
pub fn reference() -> String {
    attune_settings::reference::<Settings>(PREFACE)
}

fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn sources(args: &SettingsArgs, environment: impl Iterator<Item = (String, String)>) -> Sources {
    let named = [
        ("--services", "services", &args.services),
        ("--listen", "listen", &args.listen),
        ("--data-dir", "data_dir", &args.data_dir),
    ];
    let set = args.set.iter().map(|(path, value)| Flag {
        name: format!("--set {path}"),
        path: path.clone(),
        value: value.clone(),
    });
    let named = named.into_iter().filter_map(|(name, path, value)| {
        Some(Flag {
            name: name.to_owned(),
            path: path.to_owned(),
            value: value.clone()?,
        })
    });
    Sources {
        file: args.config.clone(),
        environment: environment
            .filter(|(name, _)| name != FILE_VARIABLE && name != CLIENT_KEY_VARIABLE)
            .collect(),
        aliases: ALIASES.to_vec(),
        flags: set.chain(named).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(toml: &str, args: SettingsArgs) -> Result<Settings, Faults> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("attune.toml");
        std::fs::write(&path, toml).unwrap();
        let args = SettingsArgs {
            config: Some(path),
            ..args
        };
        attune_settings::load(&sources(&args, std::iter::empty()), check::check)
    }

    #[test]
    fn the_file_that_ships_documents_every_key_at_its_default() {
        let shipped = include_str!("../../../deploy/attune.toml");
        assert_eq!(
            shipped,
            reference(),
            "write it anew: attune config > deploy/attune.toml"
        );
        for key in attune_settings::keys::<Settings>() {
            assert!(!key.description.is_empty(), "{} is not explained", key.path);
        }
        let settings = loaded(shipped, SettingsArgs::default()).unwrap();
        assert_eq!(
            format!("{settings:?}"),
            format!("{:?}", Settings::default())
        );
    }

    #[test]
    fn flags_reach_their_settings() {
        let args = SettingsArgs {
            services: Some("profile,catalog".into()),
            listen: Some("0.0.0.0:1".into()),
            data_dir: Some("/var/lib/attune".into()),
            set: vec![
                ("telemetry.log_format".into(), "json".into()),
                ("peers.token".into(), "0123456789abcdef".into()),
            ],
            ..SettingsArgs::default()
        };
        let settings = loaded("listen = '127.0.0.1:2'", args).unwrap();
        assert_eq!(
            settings.services,
            [ServiceName::Profile, ServiceName::Catalog]
        );
        assert_eq!(settings.listen, "0.0.0.0:1");
        assert_eq!(settings.data_dir, PathBuf::from("/var/lib/attune"));
        assert_eq!(
            settings.telemetry.log_format,
            attune_telemetry::LogFormat::Json
        );
    }

    #[test]
    fn what_other_commands_read_is_no_setting() {
        let variables = [FILE_VARIABLE, CLIENT_KEY_VARIABLE];
        let variables = variables.map(|name| (name.to_owned(), "value".to_owned()));
        let sources = sources(&SettingsArgs::default(), variables.into_iter());
        assert!(sources.environment.is_empty());
    }

    #[test]
    fn faults_of_shape_and_of_sense_are_told_together() {
        let toml = "services = ['gateway', 'gateway']\nlisten = 'here'\nlisten_to = 1\n\
                    [telemetry]\ntrace_sample_ratio = 2.0\n";
        let faults = loaded(toml, SettingsArgs::default()).unwrap_err();
        let paths: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
        let expected = [
            "listen_to",
            "telemetry.trace_sample_ratio",
            "services",
            "listen",
            "peers.profile",
            "peers.catalog",
            "peers.rule_engine",
            "peers.messaging",
            "peers.token",
        ];
        assert_eq!(paths, expected);
    }
}
