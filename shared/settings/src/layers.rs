//! Collects the sources, each as a tree of values that remember where they came from.
//! Reads files and variables; never judges a value.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use config::{File, FileFormat, Map, Source, Value, ValueKind};

use crate::Faults;

/// Where settings come from, besides the defaults.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The TOML file.
    pub file: Option<PathBuf>,
    /// The environment: those variables that begin with the prefix count.
    pub environment: BTreeMap<String, String>,
    /// Variables with a name of their own.
    pub aliases: Vec<Alias>,
    /// The command line.
    pub flags: Vec<Flag>,
}

/// The variable `name` sets the key at `path`.
#[derive(Debug, Clone, Copy)]
pub struct Alias {
    pub name: &'static str,
    pub path: &'static str,
}

/// A flag as the user gave it, and what it sets.
#[derive(Debug, Clone)]
pub struct Flag {
    /// `--listen`, for reports.
    pub name: String,
    /// `gateway.rate_limit`.
    pub path: String,
    pub value: String,
}

/// Variables are `ATTUNE_SECTION__KEY`.
const PREFIX: &str = "ATTUNE_";
const SEPARATOR: &str = "__";
/// Set for test runs and read by the tests themselves.
const TEST_PREFIX: &str = "ATTUNE_TEST_";

/// One source's values; text is not yet parsed when it comes from a flag or variable.
#[derive(Debug)]
pub(crate) struct Layer {
    pub tree: Map<String, Value>,
    pub form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Typed,
    Text,
}

/// All layers, the weakest first.
pub(crate) fn read(sources: &Sources, faults: &mut Faults) -> Vec<Layer> {
    let mut layers = Vec::new();
    if let Some(path) = &sources.file {
        layers.extend(file(path, faults));
    }
    layers.push(environment(sources));
    layers.push(flags(&sources.flags));
    layers
}

fn file(path: &Path, faults: &mut Faults) -> Option<Layer> {
    let source = path.display().to_string();
    if !path.is_file() {
        faults.push("", source, "the configuration file does not exist");
        return None;
    }
    match File::from(path).format(FileFormat::Toml).collect() {
        Ok(tree) => Some(Layer {
            tree,
            form: Form::Typed,
        }),
        Err(error) => {
            faults.push("", source, format!("not TOML: {error}"));
            None
        }
    }
}

fn environment(sources: &Sources) -> Layer {
    let mut tree = Map::new();
    for (name, text) in &sources.environment {
        let origin = format!("environment variable {name}");
        if let Some(alias) = sources.aliases.iter().find(|alias| alias.name == name) {
            insert(&mut tree, alias.path.split('.'), text, &origin);
        } else if let Some(key) = name.strip_prefix(PREFIX)
            && !name.starts_with(TEST_PREFIX)
            && !is_service_link(key, text)
        {
            let key = key.to_ascii_lowercase();
            insert(&mut tree, key.split(SEPARATOR), text, &origin);
        }
    }
    Layer {
        tree,
        form: Form::Text,
    }
}

/// Kubernetes sets variables such as `ATTUNE_PORT_7700_TCP_ADDR` in every container
/// beside a service named `attune`; they are no settings and no typing errors.
fn is_service_link(key: &str, text: &str) -> bool {
    let port = key.rsplit_once("PORT").map(|(_, rest)| rest);
    key.contains("SERVICE_HOST")
        || key.contains("SERVICE_PORT")
        || (port == Some("") && text.contains("://"))
        || key.contains("_TCP") && key.contains("PORT_")
}

fn flags(flags: &[Flag]) -> Layer {
    let mut tree = Map::new();
    for flag in flags {
        insert(
            &mut tree,
            flag.path.split('.'),
            &flag.value,
            &format!("flag {}", flag.name),
        );
    }
    Layer {
        tree,
        form: Form::Text,
    }
}

/// Puts `text` at a path, making the tables on the way.
fn insert<'a>(
    tree: &mut Map<String, Value>,
    mut path: impl Iterator<Item = &'a str>,
    text: &str,
    origin: &String,
) {
    let Some(head) = path.next() else {
        return;
    };
    let rest: Vec<_> = path.collect();
    if rest.is_empty() {
        tree.insert(head.to_owned(), Value::new(Some(origin), text));
        return;
    }
    let slot = tree
        .entry(head.to_owned())
        .or_insert_with(|| Value::new(Some(origin), Map::<String, Value>::new()));
    if !matches!(slot.kind, ValueKind::Table(_)) {
        // `a=1` beside `a.b=2`: the deeper one shows the fault, since `a` is a table.
        *slot = Value::new(Some(origin), Map::<String, Value>::new());
    }
    if let ValueKind::Table(table) = &mut slot.kind {
        insert(table, rest.into_iter(), text, origin);
    }
}
