//! Lists every key with its description and default, and writes the commented TOML file
//! that ships. Both come from the types, so that they cannot tell an old story.

use schemars::JsonSchema;
use serde_json::Value;

use crate::schema::{self, Kind};

/// One setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// `telemetry.log_format`.
    pub path: String,
    /// The doc comment, on one line.
    pub description: String,
    /// None when the key is unset by default.
    pub default: Option<Value>,
    /// Whether it is a secret, which can also be given as a file.
    pub secret: bool,
}

/// Every key of `T`; a map with free keys counts as one.
pub fn keys<T: JsonSchema>() -> Vec<Key> {
    walk(&schema::of::<T>())
}

pub(crate) fn walk(schema: &Value) -> Vec<Key> {
    let mut found = Vec::new();
    collect("", schema, None, &mut found);
    found
}

fn collect(path: &str, schema: &Value, inherited: Option<&Value>, found: &mut Vec<Key>) {
    let Some(properties) = schema::properties(schema) else {
        return;
    };
    for (name, own) in properties {
        let path = match path {
            "" => name.clone(),
            _ => format!("{path}.{name}"),
        };
        // The outer type's default for the inner one wins over the inner one's own.
        let default = inherited.and_then(|d| d.get(name)).or(own.get("default"));
        if Kind::of(own) == Kind::Object && schema::properties(own).is_some() {
            collect(&path, own, default, found);
            continue;
        }
        found.push(Key {
            path,
            description: format!("{}{}", description(own), bounds(own)),
            default: default.filter(|d| !d.is_null()).cloned(),
            secret: schema::is_secret(own),
        });
    }
}

/// What the schema allows, where a reader could not guess it.
fn bounds(schema: &Value) -> String {
    let schema = schema::strip_null(schema);
    let items = schema.get("items").unwrap_or(schema);
    if let Some(choices) = schema::choices(items) {
        return format!(" One of {}.", choices.join(", "));
    }
    match (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
        (Some(min), Some(max)) => format!(" From {min} to {max}."),
        _ => String::new(),
    }
}

/// The doc comment on one line.
fn description(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The file that documents every key with its default: TOML that loads to exactly the
/// defaults. `preface` becomes its first comment.
pub fn reference<T: JsonSchema>(preface: &str) -> String {
    let schema = schema::of::<T>();
    let mut keys = walk(&schema);
    // TOML wants a table's own keys before its inner tables.
    keys.sort_by_key(|key| {
        let section = section_of(&key.path).to_owned();
        (section.split('.').next() != Some(""), section)
    });
    let mut text = comment(preface);
    let mut section = String::new();
    for key in &keys {
        let (own, name) = key.path.rsplit_once('.').unwrap_or(("", key.path.as_str()));
        if own != section {
            own.clone_into(&mut section);
            text.push('\n');
            text.push_str(&comment(&section_description(&schema, own)));
            // A section of which nothing is set by default may not even exist.
            let unset = !keys.iter().any(|key| is_set_below(key, own));
            let mark = if unset { "# " } else { "" };
            text.push_str(&format!("{mark}[{own}]\n"));
        }
        text.push('\n');
        text.push_str(&comment(&key.description));
        text.push_str(&assignment(name, key));
    }
    text
}

fn is_set_below(key: &Key, section: &str) -> bool {
    let below = key.path.strip_prefix(section);
    let below = below.is_some_and(|rest| rest.starts_with('.'));
    below && !key.secret && key.default.as_ref().and_then(toml_of).is_some()
}

fn section_of(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(section, _)| section)
}

fn section_description(schema: &Value, section: &str) -> String {
    let own = section
        .split('.')
        .try_fold(schema, |s, name| schema::properties(s)?.get(name));
    own.map(description).unwrap_or_default()
}

fn assignment(name: &str, key: &Key) -> String {
    let default = key.default.as_ref().and_then(toml_of);
    match default {
        _ if key.secret => format!("# {name} = \"\"\n# {name}_file = \"\"\n"),
        Some(value) => format!("{name} = {value}\n"),
        None => format!("# {name} =\n"),
    }
}

fn toml_of(json: &Value) -> Option<String> {
    toml::Value::try_from(json)
        .ok()
        .map(|value| value.to_string())
}

/// Comment lines of at most 90 columns.
fn comment(text: &str) -> String {
    const WIDTH: usize = 90;
    let mut lines = String::new();
    for paragraph in text.lines() {
        let mut line = "#".to_owned();
        for word in paragraph.split_whitespace() {
            if line.len() + 1 + word.len() > WIDTH && line.len() > 1 {
                lines.push_str(&line);
                lines.push('\n');
                "#".clone_into(&mut line);
            }
            line.push(' ');
            line.push_str(word);
        }
        lines.push_str(&line);
        lines.push('\n');
    }
    lines
}
