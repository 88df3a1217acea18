//! Protobuf's canonical JSON into the wire format, by descriptor, without a message in
//! between: the wire format lets pieces from path, query and body be strung together.
//! Notes everything it cannot read, by field path; judges no value beyond its type.

use attune_errors::Violations;
use prost::encoding::{self, WireType};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor};

use super::{json::Json, path::Path, scalar, well_known};

/// What to do with a JSON field that the message does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    Reject,
    Ignore,
}

/// Reads JSON and collects what is wrong with it.
pub struct Decoder {
    unknown: Unknown,
    pub violations: Violations,
}

impl Decoder {
    pub fn new(unknown: Unknown) -> Self {
        Self {
            unknown,
            violations: Violations::new(),
        }
    }

    pub fn fault(&mut self, at: &Path<'_>, rule: impl Into<String>) {
        self.violations.push(at.to_string(), rule);
    }

    /// Notes that something else was expected, and says what was found.
    pub fn expected(&mut self, at: &Path<'_>, what: &str, found: &Json) {
        self.fault(at, format!("must be {what}, not {}", found.kind()));
    }

    /// Appends the message's wire format to `out`.
    pub fn message(
        &mut self,
        at: &Path<'_>,
        message: &MessageDescriptor,
        json: &Json,
        out: &mut Vec<u8>,
    ) {
        if well_known::decode(self, at, message.full_name(), json, out) {
            return;
        }
        let Json::Object(entries) = json else {
            return self.expected(at, "an object", json);
        };
        let mut seen = Seen::default();
        for (key, value) in entries {
            match field_of(message, key) {
                Some(field) => {
                    if seen.note(self, at, &field, value) {
                        self.field(at, &field, value, out);
                    }
                }
                None if self.unknown == Unknown::Ignore => {}
                None => self.fault(&at.field(key), unknown_field(message, key)),
            }
        }
    }

    /// Appends one field, whatever its cardinality. Null means absent.
    pub fn field(
        &mut self,
        at: &Path<'_>,
        field: &FieldDescriptor,
        json: &Json,
        out: &mut Vec<u8>,
    ) {
        let at = at.field(field.name());
        if *json == Json::Null && !well_known::takes_null(field) {
            return;
        }
        if field.is_map() {
            return self.map(&at, field, json, out);
        }
        if !field.is_list() {
            return self.value(&at, field, json, out);
        }
        let Json::Array(values) = json else {
            return self.expected(&at, "an array", json);
        };
        for (index, value) in values.iter().enumerate() {
            let at = at.index(index);
            if *value == Json::Null && !well_known::takes_null(field) {
                self.fault(&at, "must not be null");
            } else {
                self.value(&at, field, value, out);
            }
        }
    }

    fn map(&mut self, at: &Path<'_>, field: &FieldDescriptor, json: &Json, out: &mut Vec<u8>) {
        let (Json::Object(entries), Kind::Message(entry)) = (json, field.kind()) else {
            return self.expected(at, "an object", json);
        };
        let (key_field, value_field) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        let mut seen = std::collections::HashSet::new();
        for (key, value) in entries {
            let at = at.key(key);
            if !seen.insert(key) {
                self.fault(&at, "is given twice");
                continue;
            }
            if *value == Json::Null && !well_known::takes_null(&value_field) {
                self.fault(&at, "must not be null");
                continue;
            }
            let mut inner = Vec::new();
            scalar::encode_text(self, &at, &key_field, key, &mut inner);
            self.value(&at, &value_field, value, &mut inner);
            append(field.number(), &inner, out);
        }
    }

    /// Appends one value with its tag.
    pub fn value(
        &mut self,
        at: &Path<'_>,
        field: &FieldDescriptor,
        json: &Json,
        out: &mut Vec<u8>,
    ) {
        match field.kind() {
            Kind::Message(message) => {
                let mut inner = Vec::new();
                self.message(at, &message, json, &mut inner);
                append(field.number(), &inner, out);
            }
            _ => scalar::encode(self, at, field, json, out),
        }
    }
}

/// Appends a length-delimited field.
pub fn append(number: u32, inner: &[u8], out: &mut Vec<u8>) {
    encoding::encode_key(number, WireType::LengthDelimited, out);
    encoding::encode_varint(inner.len() as u64, out);
    out.extend_from_slice(inner);
}

/// Both spellings are taken, as the canonical mapping demands.
pub fn field_of(message: &MessageDescriptor, key: &str) -> Option<FieldDescriptor> {
    message
        .get_field_by_json_name(key)
        .or_else(|| message.get_field_by_name(key))
}

fn unknown_field(message: &MessageDescriptor, key: &str) -> String {
    let fields = message.fields();
    let near = fields
        .map(|field| (distance(field.json_name(), key), field))
        .filter(|(distance, _)| *distance <= 2)
        .min_by_key(|(distance, _)| *distance);
    match near {
        Some((_, field)) => format!("is no known field; did you mean {:?}?", field.json_name()),
        None => "is no known field".to_owned(),
    }
}

/// Levenshtein's distance of two short names.
fn distance(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Fields of one object so far, to find those given twice or against each other.
#[derive(Default)]
struct Seen {
    numbers: Vec<u32>,
    oneofs: Vec<(OneofDescriptor, String)>,
}

impl Seen {
    /// False if the field must not count.
    fn note(
        &mut self,
        decoder: &mut Decoder,
        at: &Path<'_>,
        field: &FieldDescriptor,
        value: &Json,
    ) -> bool {
        if self.numbers.contains(&field.number()) {
            decoder.fault(&at.field(field.name()), "is given twice");
            return false;
        }
        self.numbers.push(field.number());
        if *value == Json::Null {
            return true;
        }
        let Some(oneof) = field.containing_oneof().filter(|o| !o.is_synthetic()) else {
            return true;
        };
        if let Some((_, first)) = self.oneofs.iter().find(|(o, _)| *o == oneof) {
            let rule = format!("must not be given together with {first}");
            decoder.fault(&at.field(field.name()), rule);
            return false;
        }
        self.oneofs.push((oneof, field.name().to_owned()));
        true
    }
}
