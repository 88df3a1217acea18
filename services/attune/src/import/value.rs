//! Typed values from columns: what a mapping says about one trait, property or
//! characteristic, and how a cell becomes it. A value that is not of its type is a
//! fault of its row, never a guess.

use std::{collections::BTreeMap, fmt};

use jiff::{Timestamp, civil, tz::TimeZone};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value as Json;

use super::{
    row::Row,
    template::{Columns, Template},
};

/// What a mapping says: a template, or a table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FieldSpec(pub FieldTable);

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldTable {
    /// Take it from this column.
    pub column: Option<String>,
    /// Put it together from columns.
    pub template: Option<String>,
    /// The same in every row.
    pub constant: Option<toml::Value>,
    #[serde(rename = "type", default)]
    pub kind: Kind,
    /// Of dates and timestamps, as in strptime; or `unix` or `unix_ms`. Without one,
    /// ISO 8601.
    pub format: Option<String>,
    /// Of timestamps that name none; IANA.
    pub time_zone: Option<String>,
    /// What a text stands for; texts that are not here stay as they are.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// Refuse texts that are not among `values`.
    #[serde(default)]
    pub only_values: bool,
    /// Multiply a number by this column.
    pub multiply_by: Option<String>,
    /// Take a number without its sign.
    #[serde(default)]
    pub absolute: bool,
    /// Of a set: what is between its members.
    pub separator: Option<String>,
    /// Reject rows that lack it.
    #[serde(default)]
    pub required: bool,
}

/// What a value is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    #[default]
    Text,
    Number,
    Bool,
    /// `2026-01-31`
    Date,
    /// An instant, in RFC 3339.
    Timestamp,
    /// Several texts in one cell.
    Set,
    /// As it is, where the file has types.
    Json,
}

impl<'de> Deserialize<'de> for FieldSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = FieldSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a template such as \"{column}\", or a table")
            }

            fn visit_str<E>(self, template: &str) -> Result<FieldSpec, E> {
                Ok(FieldSpec(FieldTable {
                    template: Some(template.to_owned()),
                    ..FieldTable::default()
                }))
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<FieldSpec, M::Error> {
                FieldTable::deserialize(MapAccessDeserializer::new(map)).map(FieldSpec)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A field, ready to be read from rows.
#[derive(Debug, Clone)]
pub struct Field {
    source: Source,
    /// What it is read from, as the mapping says it.
    label: String,
    kind: Kind,
    time: TimeFormat,
    values: BTreeMap<String, String>,
    only_values: bool,
    multiply_by: Option<usize>,
    absolute: bool,
    separator: String,
    required: bool,
}

#[derive(Debug, Clone)]
enum Source {
    Column(usize),
    Template(Template),
    Constant(Json),
}

/// How times are written.
#[derive(Debug, Clone)]
pub struct TimeFormat {
    format: Option<String>,
    zone: Option<TimeZone>,
}

impl FieldSpec {
    /// `columns` learns what is read.
    pub fn compile(&self, columns: &mut Columns) -> Result<Field, String> {
        let spec = &self.0;
        let source = match (&spec.column, &spec.template, &spec.constant) {
            (Some(column), None, None) => Source::Column(columns.index(column)),
            (None, Some(template), None) => Source::Template(Template::parse(template, columns)?),
            (None, None, Some(constant)) => {
                let json = serde_json::to_value(constant).map_err(|e| e.to_string())?;
                Source::Constant(json)
            }
            _ => return Err("must have one of column, template and constant".into()),
        };
        if spec.multiply_by.is_some() && spec.kind != Kind::Number {
            return Err("multiply_by needs type = \"number\"".into());
        }
        let label = spec.column.as_ref().or(spec.template.as_ref());
        Ok(Field {
            source,
            label: label.map_or_else(|| "a constant".to_owned(), Clone::clone),
            kind: spec.kind,
            time: TimeFormat::new(spec.format.clone(), spec.time_zone.as_deref())?,
            values: spec.values.clone(),
            only_values: spec.only_values,
            multiply_by: spec.multiply_by.as_ref().map(|c| columns.index(c)),
            absolute: spec.absolute,
            separator: spec.separator.clone().unwrap_or_else(|| ",".into()),
            required: spec.required,
        })
    }
}

impl Field {
    /// The value in a row; None if there is none.
    pub fn read(&self, row: &Row) -> Result<Option<Json>, String> {
        let value = self.value(row)?;
        if value.is_none() && self.required {
            return Err(format!("{}: must not be empty", self.label));
        }
        Ok(value)
    }

    /// As a moment, in milliseconds.
    pub fn read_ms(&self, row: &Row) -> Result<Option<i64>, String> {
        let text = self.text(row)?;
        match text {
            None if self.required => Err(format!("{}: must not be empty", self.label)),
            None => Ok(None),
            Some(text) => {
                let timestamp = self.time.timestamp(&text);
                let timestamp = timestamp.map_err(|e| format!("{}: {e}", self.label))?;
                Ok(Some(timestamp.as_millisecond()))
            }
        }
    }

    fn value(&self, row: &Row) -> Result<Option<Json>, String> {
        match (&self.source, self.kind) {
            (Source::Constant(json), _) => return Ok(Some(json.clone())),
            (Source::Column(index), Kind::Json) => return row.json(*index),
            _ => {}
        }
        let Some(text) = self.text(row)? else {
            return Ok(None);
        };
        let value = self.typed(&text, row);
        value.map_err(|why| format!("{}: {why}", self.label))
    }

    fn text(&self, row: &Row) -> Result<Option<String>, String> {
        let text = match &self.source {
            Source::Column(index) => row.text(*index)?.map(|t| t.into_owned()),
            Source::Template(template) => template.render(row)?,
            Source::Constant(Json::String(text)) => Some(text.clone()),
            Source::Constant(json) => Some(json.to_string()),
        };
        let Some(text) = text else {
            return Ok(None);
        };
        match self.values.get(&text) {
            Some(mapped) if mapped.is_empty() => Ok(None),
            Some(mapped) => Ok(Some(mapped.clone())),
            None if self.only_values => Err(format!(
                "{}: \"{text}\" is not among the values",
                self.label
            )),
            None => Ok(Some(text)),
        }
    }

    fn typed(&self, text: &str, row: &Row) -> Result<Option<Json>, String> {
        Ok(Some(match self.kind {
            Kind::Text | Kind::Json => Json::String(text.to_owned()),
            Kind::Number => Json::from(self.number(text, row)?),
            Kind::Bool => Json::Bool(boolean(text)?),
            Kind::Date => Json::String(self.time.date(text)?.to_string()),
            Kind::Timestamp => Json::String(self.time.timestamp(text)?.to_string()),
            Kind::Set => {
                let members = text.split(self.separator.as_str()).map(str::trim);
                let mut set: Vec<Json> = Vec::new();
                for member in members.filter(|m| !m.is_empty()) {
                    let member = Json::String(member.to_owned());
                    if !set.contains(&member) {
                        set.push(member);
                    }
                }
                Json::Array(set)
            }
        }))
    }

    fn number(&self, text: &str, row: &Row) -> Result<f64, String> {
        let mut number = number(text)?;
        if let Some(index) = self.multiply_by {
            let factor = row.text(index)?;
            let name = row.name(index);
            let factor = factor.ok_or_else(|| format!("{name} must not be empty"))?;
            number *= self::number(&factor).map_err(|e| format!("{name}: {e}"))?;
            // To the hundredth of a cent: 3 × 0.1 is 0.3 to whoever reads it.
            number = (number * 10_000.0).round() / 10_000.0;
        }
        Ok(if self.absolute { number.abs() } else { number })
    }
}

/// A finite number with a decimal point.
pub fn number(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(format!("\"{text}\" is not a number")),
    }
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "1" => Ok(true),
        "false" | "f" | "no" | "n" | "0" => Ok(false),
        _ => Err(format!("\"{text}\" is neither true nor false")),
    }
}

impl TimeFormat {
    fn new(format: Option<String>, zone: Option<&str>) -> Result<Self, String> {
        let zone = match zone {
            None => None,
            Some(name) => {
                let zone = TimeZone::get(name);
                Some(zone.map_err(|_| format!("\"{name}\" is no time zone"))?)
            }
        };
        Ok(Self { format, zone })
    }

    fn timestamp(&self, text: &str) -> Result<Timestamp, String> {
        let wrong = || format!("\"{text}\" is not a time{}", self.written());
        let epoch = |of: fn(i64) -> Result<Timestamp, jiff::Error>| {
            text.parse::<i64>().ok().and_then(|n| of(n).ok())
        };
        let found = match self.format.as_deref() {
            Some("unix") => epoch(Timestamp::from_second),
            Some("unix_ms") => epoch(Timestamp::from_millisecond),
            Some(format) => Timestamp::strptime(format, text)
                .ok()
                .or_else(|| self.local(civil::DateTime::strptime(format, text).ok()?)),
            None => text
                .parse::<Timestamp>()
                .ok()
                .or_else(|| self.local(text.parse().ok()?)),
        };
        found.ok_or_else(wrong)
    }

    /// None where no time zone was given: a guess would be wrong by hours.
    fn local(&self, time: civil::DateTime) -> Option<Timestamp> {
        let zone = self.zone.clone()?;
        Some(time.to_zoned(zone).ok()?.timestamp())
    }

    fn date(&self, text: &str) -> Result<civil::Date, String> {
        let found = match self.format.as_deref() {
            Some(format) => civil::Date::strptime(format, text),
            None => text.parse(),
        };
        found.map_err(|_| format!("\"{text}\" is not a date{}", self.written()))
    }

    fn written(&self) -> String {
        match (&self.format, &self.zone) {
            (Some(format), _) => format!(" written {format}"),
            (None, Some(_)) => " of ISO 8601".to_owned(),
            (None, None) => " of ISO 8601 with its offset".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(spec: &str, values: &[(&str, &str)]) -> Result<Option<Json>, String> {
        #[derive(Deserialize)]
        struct Holder {
            field: FieldSpec,
        }
        let holder: Holder = toml::from_str(&format!("field = {spec}")).unwrap();
        let mut columns = Columns::default();
        let field = holder.field.compile(&mut columns)?;
        field.read(&Row::of_texts(columns.names(), values))
    }

    #[test]
    fn cells_become_values_of_their_type() {
        let values = [
            ("n", " -2.5 "),
            ("t", "2017-01-28 19:06:53"),
            ("d", "28.01.2017"),
            ("s", "a, b,,a"),
            ("b", "Yes"),
            ("x", "5+"),
            ("z", ""),
        ];
        let rows = [
            (r#""{n}""#, json!("-2.5")),
            (r#"{ column = "n", type = "number" }"#, json!(-2.5)),
            (
                r#"{ column = "n", type = "number", absolute = true, multiply_by = "n" }"#,
                json!(6.25),
            ),
            (
                r#"{ column = "t", type = "timestamp", time_zone = "Europe/Vienna" }"#,
                json!("2017-01-28T18:06:53Z"),
            ),
            (
                r#"{ column = "t", type = "timestamp", format = "%Y-%m-%d %H:%M:%S", time_zone = "UTC" }"#,
                json!("2017-01-28T19:06:53Z"),
            ),
            (
                r#"{ column = "d", type = "date", format = "%d.%m.%Y" }"#,
                json!("2017-01-28"),
            ),
            (r#"{ column = "s", type = "set" }"#, json!(["a", "b"])),
            (r#"{ column = "b", type = "bool" }"#, json!(true)),
            (
                r#"{ column = "x", type = "number", values = { "5+" = "5" } }"#,
                json!(5.0),
            ),
            (r#"{ constant = 3 }"#, json!(3)),
        ];
        for (spec, expected) in rows {
            assert_eq!(read(spec, &values), Ok(Some(expected)), "{spec}");
        }
        assert_eq!(read(r#"{ column = "z" }"#, &values), Ok(None));
        assert_eq!(
            read(r#"{ column = "x", values = { "5+" = "" } }"#, &values),
            Ok(None)
        );
    }

    #[test]
    fn what_is_not_of_its_type_is_refused() {
        let values = [("a", "abc"), ("t", "2017-01-28 19:06:53"), ("z", "")];
        let rows = [
            r#"{ column = "a", type = "number" }"#,
            r#"{ column = "a", type = "bool" }"#,
            r#"{ column = "a", type = "date" }"#,
            r#"{ column = "a", type = "timestamp", format = "unix" }"#,
            // Without a time zone it could be any of 24 hours.
            r#"{ column = "t", type = "timestamp" }"#,
            r#"{ column = "a", only_values = true, values = { b = "c" } }"#,
            r#"{ column = "z", required = true }"#,
            r#"{ column = "a", template = "b" }"#,
            r#"{ type = "number" }"#,
            r#"{ column = "t", type = "timestamp", time_zone = "Nowhere" }"#,
        ];
        for spec in rows {
            assert!(read(spec, &values).is_err(), "{spec}");
        }
    }
}
