//! JSON Schemas of the contract's messages and enums, as their JSON looks. Collects
//! every message that is asked for, with all that it refers to.

use std::collections::{BTreeMap, VecDeque};

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::comments::Comments;

/// The schemas asked for so far.
pub struct Schemas<'a> {
    comments: &'a Comments,
    done: BTreeMap<String, Value>,
    wanted: VecDeque<Wanted>,
}

enum Wanted {
    Message(MessageDescriptor),
    Enum(EnumDescriptor),
}

impl<'a> Schemas<'a> {
    pub fn new(comments: &'a Comments) -> Self {
        Self {
            comments,
            done: BTreeMap::new(),
            wanted: VecDeque::new(),
        }
    }

    /// The message's schema, by reference where it is one of ours.
    pub fn message(&mut self, message: &MessageDescriptor) -> Value {
        if let Some(schema) = well_known(message.full_name()) {
            return schema;
        }
        self.wanted.push_back(Wanted::Message(message.clone()));
        reference(message.full_name())
    }

    /// The field's schema without its description.
    pub fn plain(&mut self, field: &FieldDescriptor) -> Value {
        if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
            let values = self.kind(&entry.map_entry_value_field().kind());
            return json!({"type": "object", "additionalProperties": values});
        }
        let schema = self.kind(&field.kind());
        if field.is_list() {
            return json!({"type": "array", "items": schema});
        }
        schema
    }

    /// True for what can be written as text.
    pub fn fits_query(&self, field: &FieldDescriptor) -> bool {
        match field.kind() {
            Kind::Message(message) => matches!(
                message.full_name(),
                "google.protobuf.Timestamp"
                    | "google.protobuf.Duration"
                    | "google.protobuf.FieldMask"
            ),
            _ => true,
        }
    }

    /// All schemas, with those of `google.rpc` that failures have.
    pub fn finish(mut self) -> Value {
        while let Some(wanted) = self.wanted.pop_front() {
            let name = match &wanted {
                Wanted::Message(message) => message.full_name().to_owned(),
                Wanted::Enum(kind) => kind.full_name().to_owned(),
            };
            if self.done.contains_key(&name) {
                continue;
            }
            let schema = match wanted {
                Wanted::Message(message) => self.object(&message),
                Wanted::Enum(kind) => self.enumeration(&kind),
            };
            self.done.insert(name, schema);
        }
        let mut all: Map<String, Value> = self.done.into_iter().collect();
        all.insert("google.rpc.Status".into(), status());
        Value::Object(all)
    }

    fn object(&mut self, message: &MessageDescriptor) -> Value {
        let mut properties = Map::new();
        for field in message.fields() {
            let mut schema = self.plain(&field);
            if let Some(text) = self.comments.of(&field.parent_file(), field.path()) {
                schema["description"] = text.into();
            }
            properties.insert(field.json_name().to_owned(), schema);
        }
        let mut schema = json!({"type": "object", "properties": properties});
        if let Some(text) = self.comments.of(&message.parent_file(), message.path()) {
            schema["description"] = text.into();
        }
        schema
    }

    fn enumeration(&self, kind: &EnumDescriptor) -> Value {
        let names: Vec<_> = kind.values().map(|v| v.name().to_owned()).collect();
        let values: Vec<_> = kind
            .values()
            .filter_map(|value| {
                let text = self.comments.of(&value.parent_file(), value.path())?;
                Some(format!("- `{}`: {text}", value.name()))
            })
            .collect();
        let own = self.comments.of(&kind.parent_file(), kind.path());
        let parts: Vec<_> = own.into_iter().chain([values.join("\n")]).collect();
        let description = parts.join("\n\n");
        json!({"type": "string", "enum": names, "description": description.trim()})
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Bool => json!({"type": "boolean"}),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::Double => json!({"type": "number", "format": "double"}),
            Kind::Float => json!({"type": "number", "format": "float"}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                json!({"type": "integer", "format": "int32"})
            }
            Kind::Uint32 | Kind::Fixed32 => {
                json!({"type": "integer", "format": "int32", "minimum": 0})
            }
            // Written as strings, since JSON's readers lose digits beyond 2^53.
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({"type": "string", "format": "int64"})
            }
            Kind::Uint64 | Kind::Fixed64 => json!({"type": "string", "format": "uint64"}),
            Kind::Message(message) => self.message(message),
            Kind::Enum(kind) => {
                self.wanted.push_back(Wanted::Enum(kind.clone()));
                reference(kind.full_name())
            }
        }
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn well_known(name: &str) -> Option<Value> {
    Some(match name.strip_prefix("google.protobuf.")? {
        "Timestamp" => json!({"type": "string", "format": "date-time"}),
        "Duration" => json!({"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?s$"}),
        "FieldMask" => json!({"type": "string", "description": "Field paths, parted by commas."}),
        "Struct" => json!({"type": "object", "additionalProperties": true}),
        "ListValue" => json!({"type": "array", "items": {}}),
        "Value" => json!({}),
        "Empty" => json!({"type": "object"}),
        _ => return None,
    })
}

fn status() -> Value {
    json!({
        "type": "object",
        "description": "Why a call failed.",
        "required": ["code", "message", "details"],
        "properties": {
            "code": {"type": "integer", "format": "int32", "description": "As in google.rpc.Code."},
            "message": {"type": "string", "description": "For people; changes without notice."},
            "details": {
                "type": "array",
                "description": "ErrorInfo always, with the reason; BadRequest with every field violation; ResourceInfo; RetryInfo.",
                "items": {
                    "type": "object",
                    "required": ["@type"],
                    "properties": {
                        "@type": {"type": "string"},
                        "reason": {"type": "string"},
                        "domain": {"type": "string"},
                        "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
                        "fieldViolations": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "properties": {
                                    "field": {"type": "string"},
                                    "description": {"type": "string"},
                                },
                            },
                        },
                        "retryDelay": {"type": "string"},
                        "resourceType": {"type": "string"},
                        "resourceName": {"type": "string"},
                    },
                },
            },
        },
    })
}
