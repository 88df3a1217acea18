//! What a person sees who configures the product: layers, faults, secrets, reference.

#![allow(clippy::unwrap_used)] // Helpers outside test functions fail the test just the same.

use std::{collections::BTreeMap, path::PathBuf};

use attune_settings::{Alias, Faults, Flag, Secret, Sources, keys, load, reference};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct App {
    /// Where to listen.
    listen: String,
    /// Who is at home.
    #[schemars(length(min = 1))]
    services: Vec<Service>,
    /// Where the others are.
    peers: BTreeMap<String, String>,
    /// The public door.
    gateway: Gateway,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Service {
    Profile,
    Catalog,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Gateway {
    /// Requests a second.
    #[schemars(range(min = 1, max = 1000))]
    rate_limit: u32,
    /// A share.
    #[schemars(range(min = 0.0, max = 1.0))]
    ratio: f64,
    /// Whether it is open.
    open: bool,
    /// The first key.
    admin_key: Secret,
    /// What to sing.
    motto: Option<String>,
    /// How to encrypt; both or neither.
    tls: Option<Tls>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Tls {
    /// The certificate.
    cert: PathBuf,
    /// Its key.
    key: PathBuf,
}

impl Default for App {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7700".into(),
            services: vec![Service::Profile, Service::Catalog],
            peers: BTreeMap::new(),
            gateway: Gateway::default(),
        }
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            rate_limit: 100,
            ratio: 0.5,
            open: true,
            admin_key: Secret::default(),
            motto: None,
            tls: None,
        }
    }
}

struct Given {
    file: &'static str,
    environment: &'static [(&'static str, &'static str)],
    flags: &'static [(&'static str, &'static str)],
}

const NOTHING: Given = Given {
    file: "",
    environment: &[],
    flags: &[],
};

fn loaded(given: &Given) -> Result<App, Faults> {
    let directory = tempfile::tempdir().unwrap();
    let path: PathBuf = directory.path().join("attune.toml");
    std::fs::write(&path, given.file).unwrap();
    let sources = Sources {
        file: Some(path),
        environment: given
            .environment
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect(),
        aliases: vec![Alias {
            name: "ATTUNE_BOOTSTRAP_ADMIN_KEY",
            path: "gateway.admin_key",
        }],
        flags: given
            .flags
            .iter()
            .map(|(path, value)| Flag {
                name: "--set".into(),
                path: path.to_string(),
                value: value.to_string(),
            })
            .collect(),
    };
    load(&sources, |_, _| {})
}

/// The faults as (path, where it came from, problem).
fn faults(given: &Given) -> Vec<(String, String, String)> {
    let base = |source: &str| source.rsplit('/').next().unwrap().to_owned();
    loaded(given)
        .unwrap_err()
        .iter()
        .map(|f| (f.path.clone(), base(&f.source), f.problem.clone()))
        .collect()
}

#[test]
fn without_sources_the_defaults_hold() {
    assert_eq!(loaded(&NOTHING).unwrap(), App::default());
}

#[test]
fn later_layers_win_key_by_key() {
    let app = loaded(&Given {
        file: "listen = 'file'\n[gateway]\nrate_limit = 1\nratio = 1\nopen = false\n[peers]\na = 'x'",
        environment: &[
            ("ATTUNE_GATEWAY__RATE_LIMIT", "2"),
            ("ATTUNE_LISTEN", "environment"),
            ("ATTUNE_PEERS__B", "y"),
            ("ATTUNE_SERVICES", "catalog, profile"),
        ],
        flags: &[("listen", "flag")],
    })
    .unwrap();
    assert_eq!(app.listen, "flag");
    assert_eq!((app.gateway.rate_limit, app.gateway.ratio), (2, 1.0));
    assert!(!app.gateway.open);
    assert_eq!(app.services, [Service::Catalog, Service::Profile]);
    assert_eq!(app.peers.keys().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn every_fault_of_every_layer_is_told_at_once() {
    let found = faults(&Given {
        file: "listn = 'x'\nservices = ['profile', 'nobody']\nrate_limit = 3\n\
               [gateway]\nrate_limit = 0\nratio = 'half'\nopen = 1\n[gatway]\na = 1",
        environment: &[
            ("ATTUNE_GATEWAY__RATIO", "1.5"),
            ("ATTUNE_GATEWAY__OPENED", "true"),
        ],
        flags: &[("gateway.rate_limit", "many")],
    });
    let expected = [
        ("gateway.open", "attune.toml", "must be true or false"),
        (
            "gateway.rate_limit",
            "attune.toml",
            "must be at least 1, not 0",
        ),
        ("gateway.ratio", "attune.toml", "must be a number"),
        (
            "gatway",
            "attune.toml",
            "unknown key; did you mean gateway?",
        ),
        ("listn", "attune.toml", "unknown key; did you mean listen?"),
        (
            "rate_limit",
            "attune.toml",
            "unknown key; did you mean gateway.rate_limit?",
        ),
        (
            "services[1]",
            "attune.toml",
            "must be one of profile, catalog",
        ),
        (
            "gateway.opened",
            "environment variable ATTUNE_GATEWAY__OPENED",
            "unknown key; did you mean gateway.open?",
        ),
        (
            "gateway.ratio",
            "environment variable ATTUNE_GATEWAY__RATIO",
            "must be at most 1, not 1.5",
        ),
        ("gateway.rate_limit", "flag --set", "must be a whole number"),
    ];
    let expected: Vec<_> = expected
        .map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()))
        .into();
    assert_eq!(found, expected);
}

#[test]
fn faults_of_the_merged_values_join_those_of_the_layers() {
    let sources = Sources {
        flags: vec![Flag {
            name: "--set".into(),
            path: "nonsense".into(),
            value: "1".into(),
        }],
        ..Sources::default()
    };
    let found = load::<App>(&sources, |app, faults| {
        faults.push("listen", "the default", format!("{} is taken", app.listen));
    });
    let paths: Vec<_> = found.unwrap_err().iter().map(|f| f.path.clone()).collect();
    assert_eq!(paths, ["nonsense", "listen"]);
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_a_fault() {
    let missing = Sources {
        file: Some("/nowhere/attune.toml".into()),
        ..Sources::default()
    };
    assert!(load::<App>(&missing, |_, _| {}).is_err());
    let broken = Given {
        file: "listen = ",
        ..NOTHING
    };
    assert_eq!(faults(&broken).len(), 1);
}

#[test]
fn a_secret_comes_from_its_variable_or_a_file_and_never_shows() {
    let given = Given {
        environment: &[("ATTUNE_BOOTSTRAP_ADMIN_KEY", "hunter2")],
        ..NOTHING
    };
    let app = loaded(&given).unwrap();
    assert_eq!(app.gateway.admin_key.expose(), "hunter2");
    assert!(!format!("{app:?}").contains("hunter2"));

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    std::fs::write(&path, "from a file\n").unwrap();
    let sources = Sources {
        flags: vec![Flag {
            name: "--set".into(),
            path: "gateway.admin_key_file".into(),
            value: path.display().to_string(),
        }],
        ..Sources::default()
    };
    let app: App = load(&sources, |_, _| {}).unwrap();
    assert_eq!(app.gateway.admin_key.expose(), "from a file");
}

#[test]
fn a_secrets_file_that_cannot_be_read_or_that_competes_is_a_fault() {
    let absent = Given {
        file: "[gateway]\nadmin_key_file = '/nowhere'",
        ..NOTHING
    };
    assert_eq!(faults(&absent)[0].0, "gateway.admin_key_file");
    let both = Given {
        file: "[gateway]\nadmin_key = 'a'\nadmin_key_file = '/dev/null'",
        ..NOTHING
    };
    assert_eq!(faults(&both)[0].0, "gateway.admin_key");
}

#[test]
fn an_optional_section_is_checked_like_any_other() {
    let app = loaded(&Given {
        file: "[gateway.tls]\ncert = 'c'\nkey = 'k'",
        ..NOTHING
    });
    assert_eq!(app.unwrap().gateway.tls.unwrap().key, PathBuf::from("k"));
    let found = faults(&Given {
        file: "[gateway.tls]\ncert = 1\nkay = 'k'",
        ..NOTHING
    });
    let paths: Vec<_> = found.iter().map(|fault| fault.0.as_str()).collect();
    assert_eq!(paths, ["gateway.tls.cert", "gateway.tls.kay"]);
}

#[test]
fn variables_that_others_set_are_no_faults() {
    let given = Given {
        environment: &[
            ("ATTUNE_SERVICE_HOST", "10.0.0.1"),
            ("ATTUNE_PORT", "tcp://10.0.0.1:7700"),
            ("ATTUNE_PROFILE_PORT_7700_TCP_ADDR", "10.0.0.1"),
            ("ATTUNE_TEST_POSTGRES_URL", "postgres://"),
            ("HOME", "/root"),
        ],
        ..NOTHING
    };
    assert_eq!(loaded(&given).unwrap(), App::default());
}

#[test]
fn the_reference_names_every_key_and_loads_to_the_defaults() {
    let text = reference::<App>("All settings.");
    for key in keys::<App>() {
        let name = key.path.rsplit('.').next().unwrap();
        assert!(text.contains(&format!("{name} =")), "{}", key.path);
        assert!(!key.description.is_empty(), "{}", key.path);
    }
    let given = Given {
        file: Box::leak(text.into_boxed_str()),
        ..NOTHING
    };
    assert_eq!(loaded(&given).unwrap(), App::default());
}
