//! Holds one layer against the schema: unknown keys, wrong types, values out of range,
//! secrets to be read from files. Faulty values are reported and left out, so that what
//! remains can still be merged and checked.

use config::{ConfigError, Map, Source, Value, ValueKind};
use serde_json::Value as Schema;

use crate::{
    Faults,
    layers::{Form, Layer},
    schema::{self, Kind},
};

/// What is left of a layer after the check: a source for `config`.
#[derive(Debug, Clone)]
pub(crate) struct Checked(Map<String, Value>);

impl Source for Checked {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

pub(crate) fn layer(layer: Layer, schema: &Schema, faults: &mut Faults) -> Checked {
    let mut check = Check {
        root: schema,
        form: layer.form,
        faults,
    };
    Checked(check.table("", layer.tree, schema))
}

struct Check<'a> {
    root: &'a Schema,
    form: Form,
    faults: &'a mut Faults,
}

impl Check<'_> {
    fn table(
        &mut self,
        path: &str,
        table: Map<String, Value>,
        schema: &Schema,
    ) -> Map<String, Value> {
        let mut names: Vec<_> = table.keys().cloned().collect();
        names.sort();
        let mut table = table;
        let mut kept = Map::new();
        for name in names {
            let Some(value) = table.remove(&name) else {
                continue;
            };
            if let Some((name, value)) = self.entry(path, &name, value, schema) {
                if kept.contains_key(&name) {
                    let problem = format!("give {name} or {name}_file, not both");
                    self.fault(&join(path, &name), &value, problem);
                }
                kept.insert(name, value);
            }
        }
        kept
    }

    /// The entry under the name that the type knows, if it is in order.
    fn entry(
        &mut self,
        path: &str,
        name: &str,
        value: Value,
        schema: &Schema,
    ) -> Option<(String, Value)> {
        let full = join(path, name);
        if let Some(own) = schema::properties(schema).and_then(|p| p.get(name)) {
            return Some((name.to_owned(), self.value(&full, value, own)?));
        }
        if let Some(secret) = name.strip_suffix("_file")
            && let Some(own) = schema::properties(schema).and_then(|p| p.get(secret))
            && schema::is_secret(own)
        {
            return Some((secret.to_owned(), self.secret(&full, value)?));
        }
        if let Some(entries) = schema::entries(schema) {
            return Some((name.to_owned(), self.value(&full, value, entries)?));
        }
        let problem = match self.suggestion(path, name, schema) {
            Some(known) => format!("unknown key; did you mean {known}?"),
            None => "unknown key".to_owned(),
        };
        self.fault(&full, first_leaf(&value), problem);
        None
    }

    fn value(&mut self, path: &str, value: Value, schema: &Schema) -> Option<Value> {
        let origin = value.origin().map(ToOwned::to_owned);
        let keep = |kind: ValueKind| Some(Value::new(origin.as_ref(), kind));
        let kind = Kind::of(schema);
        let parsed = match self.form {
            Form::Text => parse(kind, value.kind.clone()),
            Form::Typed => value.kind.clone(),
        };
        match (kind, parsed) {
            (Kind::Object, ValueKind::Table(table)) => {
                keep(ValueKind::Table(self.table(path, table, schema)))
            }
            (Kind::Array, ValueKind::Array(list)) => {
                keep(ValueKind::Array(self.list(path, list, schema)))
            }
            (Kind::Any, parsed) => keep(parsed),
            (kind, parsed) => match scalar_fault(kind, &parsed, schema) {
                None => keep(parsed),
                Some(problem) => {
                    self.fault(path, first_leaf(&value), problem);
                    None
                }
            },
        }
    }

    fn list(&mut self, path: &str, list: Vec<Value>, schema: &Schema) -> Vec<Value> {
        let items = &schema::strip_null(schema)["items"];
        list.into_iter()
            .enumerate()
            .filter_map(|(i, value)| self.value(&format!("{path}[{i}]"), value, items))
            .collect()
    }

    /// The content of the file that `value` names, without the line break at its end.
    fn secret(&mut self, path: &str, value: Value) -> Option<Value> {
        let origin = value.origin().map(ToOwned::to_owned);
        let ValueKind::String(file) = &value.kind else {
            self.fault(path, &value, "must be the path of a file".to_owned());
            return None;
        };
        match std::fs::read_to_string(file) {
            Ok(text) => Some(Value::new(
                origin.as_ref(),
                text.trim_end_matches(['\r', '\n']),
            )),
            Err(error) => {
                self.fault(path, &value, format!("cannot read {file}: {error}"));
                None
            }
        }
    }

    /// The known key that was probably meant: one of the same table, or the one of that
    /// very name elsewhere.
    fn suggestion(&self, path: &str, name: &str, schema: &Schema) -> Option<String> {
        let siblings = schema::properties(schema)?;
        let nearest = siblings
            .keys()
            .map(|known| (strsim::damerau_levenshtein(name, known), known))
            .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
            .min();
        if let Some((_, known)) = nearest {
            return Some(join(path, known));
        }
        let known = crate::reference::walk(self.root);
        let elsewhere = known
            .iter()
            .find(|key| key.path.rsplit('.').next() == Some(name));
        elsewhere.map(|key| key.path.clone())
    }

    fn fault(&mut self, path: &str, value: &Value, problem: String) {
        let source = value.origin().unwrap_or("the configuration");
        self.faults.push(path, source, problem);
    }
}

/// A table made from `a.b=c` has many origins; a scalar in it tells the right one.
fn first_leaf(value: &Value) -> &Value {
    match &value.kind {
        ValueKind::Table(table) => table
            .iter()
            .min_by_key(|(name, _)| *name)
            .map_or(value, |(_, inner)| first_leaf(inner)),
        _ => value,
    }
}

/// What a flag's or variable's text means for a key of this kind; the text itself when
/// it means nothing, which the check then reports.
fn parse(kind: Kind, value: ValueKind) -> ValueKind {
    let ValueKind::String(text) = value else {
        return value;
    };
    let parsed = match kind {
        Kind::Integer => text.trim().parse().ok().map(ValueKind::I64),
        Kind::Number => text.trim().parse().ok().map(ValueKind::Float),
        Kind::Boolean => text.trim().parse().ok().map(ValueKind::Boolean),
        Kind::Array => {
            let items = text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            Some(ValueKind::Array(items.map(Value::from).collect()))
        }
        Kind::Object | Kind::String | Kind::Any => None,
    };
    parsed.unwrap_or(ValueKind::String(text))
}

fn scalar_fault(kind: Kind, value: &ValueKind, schema: &Schema) -> Option<String> {
    match (kind, value) {
        (Kind::String, ValueKind::String(text)) => text_fault(text, schema),
        (Kind::Integer | Kind::Number, ValueKind::I64(number)) => {
            // Bounds are far below 2^53, where the conversion is exact.
            range_fault(*number as f64, schema)
        }
        (Kind::Number, ValueKind::Float(number)) => range_fault(*number, schema),
        (Kind::Boolean, ValueKind::Boolean(_)) => None,
        (kind, _) => Some(format!("must be {}", kind.noun())),
    }
}

fn text_fault(text: &str, schema: &Schema) -> Option<String> {
    if let Some(choices) = schema::choices(schema)
        && !choices.contains(&text)
    {
        return Some(format!("must be one of {}", choices.join(", ")));
    }
    let shortest = schema::strip_null(schema)["minLength"].as_u64();
    (shortest.unwrap_or(0) > text.chars().count() as u64).then(|| match shortest {
        Some(1) | None => "must not be empty".to_owned(),
        Some(length) => format!("must have at least {length} characters"),
    })
}

fn range_fault(number: f64, schema: &Schema) -> Option<String> {
    let bound = |name: &str| schema::strip_null(schema)[name].as_f64();
    if !number.is_finite() {
        return Some("must be a finite number".to_owned());
    }
    if let Some(min) = bound("minimum")
        && number < min
    {
        return Some(format!("must be at least {min}, not {number}"));
    }
    if let Some(min) = bound("exclusiveMinimum")
        && number <= min
    {
        return Some(format!("must be more than {min}, not {number}"));
    }
    if let Some(max) = bound("maximum")
        && number > max
    {
        return Some(format!("must be at most {max}, not {number}"));
    }
    None
}

fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        _ => format!("{path}.{name}"),
    }
}
