//! Reads the cases: the JSON form of `cel.expr.conformance.test.SimpleTest`.

use std::{collections::BTreeMap, fs, path::Path};

use attune_expr::{TypeName, Value, parse_time};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value as Json;

pub struct Case {
    pub suite: String,
    pub section: String,
    pub name: String,
    pub source: String,
    /// Names that are declared or bound.
    pub names: Vec<String>,
    pub bindings: BTreeMap<String, Held>,
    pub expected: Expected,
    /// Says what type the checker finds rather than what comes out.
    pub checks_only: bool,
    /// As it stands in the file.
    pub text: String,
}

#[derive(Debug)]
pub enum Expected {
    Error,
    Value(Held),
}

/// A value that owns what it holds.
#[derive(Debug, Clone)]
pub enum Held {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    Time(i64),
    Duration(i64),
    Type(String),
    List(Vec<Held>),
    Map(Vec<(Held, Held)>),
    /// A message, which this language has none of.
    Message,
}

pub fn all() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
        .collect();
    files.sort();
    files.iter().flat_map(|path| read(path)).collect()
}

fn read(path: &Path) -> Vec<Case> {
    let suite = path.file_stem().unwrap().to_str().unwrap().to_owned();
    let text = fs::read_to_string(path).unwrap();
    let cases: Vec<Json> = serde_json::from_str(&text).unwrap();
    cases.iter().map(|case| read_case(&suite, case)).collect()
}

fn read_case(suite: &str, case: &Json) -> Case {
    let text = |name: &str| case[name].as_str().unwrap_or_default().to_owned();
    let declared = case["typeEnv"].as_array().into_iter().flatten();
    let mut names: Vec<_> = declared
        .filter(|declared| declared.get("ident").is_some())
        .filter_map(|declared| Some(declared["name"].as_str()?.to_owned()))
        .collect();
    let bound = case["bindings"].as_object().into_iter().flatten();
    let bindings: BTreeMap<_, _> = bound
        .map(|(name, bound)| (name.clone(), held(&bound["value"])))
        .collect();
    names.extend(bindings.keys().cloned());
    let expected = match (&case["evalError"], &case["value"], &case["typedResult"]) {
        (Json::Null, Json::Null, Json::Null) => Expected::Value(Held::Bool(true)),
        (Json::Null, Json::Null, typed) => match &typed["result"] {
            Json::Null => Expected::Error,
            result => Expected::Value(held(result)),
        },
        (Json::Null, value, _) => Expected::Value(held(value)),
        _ => Expected::Error,
    };
    Case {
        suite: suite.to_owned(),
        section: text("section"),
        name: text("name"),
        source: text("expr"),
        names,
        bindings,
        expected,
        checks_only: case["checkOnly"].as_bool().unwrap_or(false),
        text: case.to_string(),
    }
}

fn held(value: &Json) -> Held {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    let digits = || value.as_str().unwrap();
    match kind.as_str() {
        "nullValue" => Held::Null,
        "boolValue" => Held::Bool(value.as_bool().unwrap()),
        "int64Value" => Held::Int(digits().parse().unwrap()),
        "uint64Value" => Held::Uint(digits().parse().unwrap()),
        "doubleValue" => Held::Double(match value.as_str() {
            Some(name) => name.parse().unwrap(),
            None => value.as_f64().unwrap(),
        }),
        "stringValue" => Held::Text(value.as_str().unwrap().to_owned()),
        "bytesValue" => Held::Bytes(STANDARD.decode(value.as_str().unwrap()).unwrap()),
        "typeValue" => Held::Type(value.as_str().unwrap().to_owned()),
        "listValue" => {
            let values = value["values"].as_array().into_iter().flatten();
            Held::List(values.map(held).collect())
        }
        "mapValue" => {
            let entries = value["entries"].as_array().into_iter().flatten();
            let entry = |e: &Json| (held(&e["key"]), held(&e["value"]));
            Held::Map(entries.map(entry).collect())
        }
        "objectValue" => message(value),
        _ => Held::Message,
    }
}

fn message(message: &Json) -> Held {
    let name = message["@type"].as_str().unwrap();
    let value = message["value"].as_str();
    match (name.rsplit('/').next().unwrap(), value) {
        ("google.protobuf.Timestamp", Some(time)) => Held::Time(parse_time(time).unwrap()),
        ("google.protobuf.Duration", Some(duration)) => {
            let seconds: f64 = duration.trim_end_matches('s').parse().unwrap();
            Held::Duration((seconds * 1000.0) as i64)
        }
        _ => Held::Message,
    }
}

impl Held {
    pub fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(b) => Value::Bool(*b),
            Self::Int(n) => Value::Int(*n),
            Self::Uint(n) => Value::Uint(*n),
            Self::Double(n) => Value::Number(*n),
            Self::Text(text) => Value::text(text),
            Self::Bytes(bytes) => Value::Bytes(bytes.into()),
            Self::Time(ms) => Value::Time(*ms),
            Self::Duration(ms) => Value::Duration(*ms),
            Self::List(elements) => Value::List(elements.iter().map(Self::value).collect()),
            Self::Map(entries) => {
                let entries = entries.iter();
                Value::Map(entries.map(|(k, v)| (k.value(), v.value())).collect())
            }
            Self::Type(_) | Self::Message => Value::Missing,
        }
    }

    /// The same value of the same type; a double that is no number is itself.
    pub fn is(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            // Within what reading the case's own JSON may have cost.
            (Self::Double(a), Value::Number(b)) => {
                a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= f64::EPSILON * a.abs()
            }
            (Self::Type(name), Value::Type(found)) => name == TypeName::name(*found),
            (Self::List(expected), Value::List(found)) => {
                expected.len() == found.len()
                    && expected.iter().zip(found.iter()).all(|(e, f)| e.is(f))
            }
            (Self::Map(expected), Value::Map(found)) => {
                let has = |(key, value): &(Self, Self)| {
                    let mut entries = found.iter();
                    entries.any(|(k, v)| key.is(k) && value.is(v))
                };
                expected.len() == found.len() && expected.iter().all(has)
            }
            (Self::List(_) | Self::Map(_) | Self::Message, _) => false,
            (expected, value) => {
                let expected = expected.value();
                expected.type_name() == value.type_name() && expected.equals(value)
            }
        }
    }
}

impl Case {
    pub fn path(&self) -> String {
        format!("{}/{}/{}", self.suite, self.section, self.name)
    }
}
