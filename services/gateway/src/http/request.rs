//! The parts of an HTTP request (path, query, body) as one message on the wire. Later
//! parts win where the wire format lets them: body, then query, then path.

use attune_errors::Fault;
use prost_reflect::{FieldDescriptor, Kind};

use super::{
    decode::{self, Decoder, Unknown},
    json::Json,
    path::Path,
    routes::{Body, FieldPath, Route},
    scalar, well_known,
};

/// The message that the request stands for, or everything that is wrong with it.
pub fn to_wire(
    route: &Route,
    path_texts: &[String],
    query: Option<&str>,
    body: &Json,
) -> Result<Vec<u8>, Fault> {
    let unknown = if route.method.ignore_unknown_fields {
        Unknown::Ignore
    } else {
        Unknown::Reject
    };
    let mut decoder = Decoder::new(unknown);
    let mut out = Vec::new();
    match &route.body {
        Body::None => {
            if !matches!(body, Json::Object(fields) if fields.is_empty()) {
                decoder.fault(&Path::ROOT, "must have no body");
            }
        }
        Body::Whole => {
            decoder.message(
                &Path::ROOT,
                &route.method.descriptor.input(),
                body,
                &mut out,
            );
        }
        Body::Field(field) => decoder.field(&Path::ROOT, field, body, &mut out),
    }
    read_query(&mut decoder, route, query.unwrap_or_default(), &mut out);
    for (field, text) in route.variables.iter().zip(path_texts) {
        append_text(&mut decoder, field, text, &mut out);
    }
    if decoder.violations.is_empty() {
        Ok(out)
    } else {
        Err(Fault::invalid(decoder.violations))
    }
}

fn read_query(decoder: &mut Decoder, route: &Route, query: &str, out: &mut Vec<u8>) {
    let input = route.method.descriptor.input();
    let mut seen: Vec<String> = Vec::new();
    for (name, text) in form_urlencoded(query) {
        let field = FieldPath::resolve(&input, &name).filter(|path| takes_query(route, path));
        let Some(field) = field else {
            if !route.method.ignore_unknown_fields {
                let rule = "is no known parameter";
                decoder.violations.push(name, rule);
            }
            continue;
        };
        let path = field.text();
        let repeated = field.0.last().is_some_and(FieldDescriptor::is_list);
        if !repeated && seen.contains(&path) {
            decoder.violations.push(path, "is given twice");
            continue;
        }
        append_text(decoder, &field, &text, out);
        seen.push(path);
    }
}

/// Only what neither path nor body holds.
fn takes_query(route: &Route, path: &FieldPath) -> bool {
    let in_body = match &route.body {
        Body::None => false,
        Body::Whole => true,
        Body::Field(field) => path.0.first() == Some(field),
    };
    let in_path = route.variables.iter().any(|v| v.text() == path.text());
    !in_body && !in_path
}

/// Appends a field given as text, wrapped in the messages on the way to it.
fn append_text(decoder: &mut Decoder, path: &FieldPath, text: &str, out: &mut Vec<u8>) {
    let Some((field, parents)) = path.0.split_last() else {
        return;
    };
    let name = path.text();
    let at = Path::ROOT.field(&name);
    let mut bytes = Vec::new();
    match field.kind() {
        Kind::Message(message) if !field.is_map() => {
            let mut inner = Vec::new();
            let json = Json::String(text.to_owned());
            if well_known::decode(decoder, &at, message.full_name(), &json, &mut inner) {
                decode::append(field.number(), &inner, &mut bytes);
            } else {
                decoder.fault(&at, "cannot be given as text; give its fields");
            }
        }
        Kind::Message(_) => decoder.fault(&at, "cannot be given as text"),
        _ => scalar::encode_text(decoder, &at, field, text, &mut bytes),
    }
    for parent in parents.iter().rev() {
        let mut outer = Vec::with_capacity(bytes.len() + 4);
        decode::append(parent.number(), &bytes, &mut outer);
        bytes = outer;
    }
    out.extend_from_slice(&bytes);
}

fn form_urlencoded(query: &str) -> impl Iterator<Item = (String, String)> {
    url::form_urlencoded::parse(query.as_bytes()).into_owned()
}

/// Reads a body; the fault says where it stops being JSON.
pub fn parse_body(text: &[u8]) -> Result<Json, Fault> {
    Json::parse(text).map_err(Fault::malformed_body)
}
