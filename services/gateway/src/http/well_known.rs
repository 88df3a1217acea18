//! The messages of `google.protobuf` that JSON writes in a form of their own (times,
//! durations, field masks, free JSON), into the wire format.

use std::time::Duration;

use prost::Message;
use prost_reflect::{FieldDescriptor, Kind};
use prost_types::{FieldMask, ListValue, Struct, Timestamp, Value, value};

use super::{decode::Decoder, json::Json, path::Path};

/// Free JSON nests at most this deep: each level is three messages on the wire, and
/// readers stop at a hundred.
const DEPTH_MAX: usize = 24;

/// True for `google.protobuf.Value`, where null is a value and not an absence.
pub fn takes_null(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::Message(m) if m.full_name() == "google.protobuf.Value")
}

/// Appends the message if it is one of those; false if JSON writes it as any other.
pub fn decode(
    decoder: &mut Decoder,
    at: &Path<'_>,
    full_name: &str,
    json: &Json,
    out: &mut Vec<u8>,
) -> bool {
    let Some(name) = full_name.strip_prefix("google.protobuf.") else {
        return false;
    };
    match name {
        "Timestamp" => put(
            decoder,
            at,
            json,
            out,
            timestamp(json),
            "a time of RFC 3339",
        ),
        "Duration" => put(
            decoder,
            at,
            json,
            out,
            duration(json),
            "seconds as in \"1.5s\"",
        ),
        "FieldMask" => put(
            decoder,
            at,
            json,
            out,
            mask(json),
            "field paths, parted by commas",
        ),
        "Struct" => {
            let found = fields(decoder, at, json, 0);
            put(decoder, at, json, out, found, "an object");
        }
        "ListValue" => {
            let found = list(decoder, at, json, 0);
            put(decoder, at, json, out, found, "an array");
        }
        "Value" => {
            let found = Some(free(decoder, at, json, 0));
            put(decoder, at, json, out, found, "a value");
        }
        _ => return false,
    }
    true
}

fn put<M: Message>(
    decoder: &mut Decoder,
    at: &Path<'_>,
    json: &Json,
    out: &mut Vec<u8>,
    found: Option<M>,
    what: &str,
) {
    match (found, json) {
        (Some(message), _) => message.encode_raw(out),
        (None, Json::String(_)) => decoder.fault(at, format!("must be {what}")),
        (None, _) => decoder.expected(at, what, json),
    }
}

fn timestamp(json: &Json) -> Option<Timestamp> {
    let Json::String(text) = json else {
        return None;
    };
    // RFC 3339 has a date, a time and an offset; jiff would also take a lone date.
    if !text.contains(['T', 't']) {
        return None;
    }
    let time: jiff::Timestamp = text.parse().ok()?;
    let nanos = time.as_nanosecond();
    Some(Timestamp {
        seconds: i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?,
        nanos: i32::try_from(nanos.rem_euclid(1_000_000_000)).ok()?,
    })
}

fn duration(json: &Json) -> Option<prost_types::Duration> {
    let Json::String(text) = json else {
        return None;
    };
    let text = text.strip_suffix('s')?;
    let (text, negative) = match text.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    if !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let seconds: f64 = text.parse().ok()?;
    let span = Duration::try_from_secs_f64(seconds).ok()?;
    let sign = if negative { -1 } else { 1 };
    Some(prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).ok()? * sign,
        nanos: i32::try_from(span.subsec_nanos()).ok()? * i32::try_from(sign).ok()?,
    })
}

fn mask(json: &Json) -> Option<FieldMask> {
    let Json::String(text) = json else {
        return None;
    };
    let paths = text.split(',').map(str::trim).filter(|p| !p.is_empty());
    Some(FieldMask {
        paths: paths.map(snake).collect(),
    })
}

fn snake(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 4);
    for c in path.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

fn fields(decoder: &mut Decoder, at: &Path<'_>, json: &Json, depth: usize) -> Option<Struct> {
    let Json::Object(entries) = json else {
        return None;
    };
    let mut found = Struct::default();
    for (key, json) in entries {
        let at = at.key(key);
        let value = free(decoder, &at, json, depth + 1);
        if found.fields.insert(key.clone(), value).is_some() {
            decoder.fault(&at, "is given twice");
        }
    }
    Some(found)
}

fn list(decoder: &mut Decoder, at: &Path<'_>, json: &Json, depth: usize) -> Option<ListValue> {
    let Json::Array(values) = json else {
        return None;
    };
    let values = values.iter().enumerate();
    Some(ListValue {
        values: values
            .map(|(i, json)| free(decoder, &at.index(i), json, depth + 1))
            .collect(),
    })
}

fn free(decoder: &mut Decoder, at: &Path<'_>, json: &Json, depth: usize) -> Value {
    if depth > DEPTH_MAX {
        decoder.fault(at, format!("must not nest deeper than {DEPTH_MAX} levels"));
        return Value::default();
    }
    let kind = match json {
        Json::Null => value::Kind::NullValue(0),
        Json::Bool(b) => value::Kind::BoolValue(*b),
        Json::Number(n) => value::Kind::NumberValue(n.as_f64().unwrap_or(f64::NAN)),
        Json::String(s) => value::Kind::StringValue(s.clone()),
        Json::Array(_) => {
            value::Kind::ListValue(list(decoder, at, json, depth).unwrap_or_default())
        }
        Json::Object(_) => {
            value::Kind::StructValue(fields(decoder, at, json, depth).unwrap_or_default())
        }
    };
    Value { kind: Some(kind) }
}
