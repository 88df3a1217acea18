//! What differs between two messages of the same type, field by field, by reflection,
//! so that no resource lists its fields by hand.

use prost::Message;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value,
};

use crate::mask::reflect_as;

/// A field that differs. Values are in protobuf's JSON; empty where there was nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// In snake case, through singular messages: `action.boost.factor`.
    pub field: String,
    pub before: String,
    pub after: String,
}

/// The fields that differ, in the order in which they are declared. Lists and maps
/// differ as a whole. `full_name` is the message's protobuf name.
pub fn changes<M: Message>(full_name: &str, before: &M, after: &M) -> Vec<Change> {
    let (before, after) = (reflect_as(full_name, before), reflect_as(full_name, after));
    let mut found = Vec::new();
    compare(
        &mut found,
        "",
        &before.descriptor(),
        Some(&before),
        Some(&after),
    );
    found
}

fn compare(
    found: &mut Vec<Change>,
    prefix: &str,
    descriptor: &MessageDescriptor,
    before: Option<&DynamicMessage>,
    after: Option<&DynamicMessage>,
) {
    let mut fields: Vec<FieldDescriptor> = descriptor.fields().collect();
    fields.sort_by_key(|field| field.path().last().copied());
    for field in fields {
        let held = |message: Option<&DynamicMessage>| {
            message
                .filter(|message| message.has_field(&field))
                .map(|message| message.get_field(&field).into_owned())
        };
        let (one, two) = (held(before), held(after));
        if one == two {
            continue;
        }
        let path = match prefix {
            "" => field.name().to_owned(),
            prefix => format!("{prefix}.{}", field.name()),
        };
        match inner(&field).filter(|_| has_fields(one.as_ref()) || has_fields(two.as_ref())) {
            Some(inner) => {
                let (one, two) = (message(one.as_ref()), message(two.as_ref()));
                compare(found, &path, &inner, one, two);
            }
            None => found.push(Change {
                before: json(&field, one),
                after: json(&field, two),
                field: path,
            }),
        }
    }
}

/// The type of a singular message field whose parts are worth telling apart.
fn inner(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(inner) if !field.is_list() && !field.is_map() => {
            (!inner.full_name().starts_with("google.protobuf.")).then_some(inner)
        }
        _ => None,
    }
}

fn message(value: Option<&Value>) -> Option<&DynamicMessage> {
    value.and_then(Value::as_message)
}

fn has_fields(value: Option<&Value>) -> bool {
    message(value).is_some_and(|message| message.fields().next().is_some())
}

/// By way of a message that has this field only, since JSON is defined for messages.
fn json(field: &FieldDescriptor, value: Option<Value>) -> String {
    let Some(value) = value else {
        return String::new();
    };
    let mut only = DynamicMessage::new(field.parent_message().clone());
    only.set_field(field, value);
    let object = serde_json::to_value(&only).unwrap_or_default();
    object
        .get(field.json_name())
        .map(ToString::to_string)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        rules::v1::{Action, Boost, Exclude, Pin, Rule, Schedule, action},
        time,
    };

    fn check(before: Rule, after: Rule, expected: &[(&str, &str, &str)]) {
        let changes = changes("attune.rules.v1.Rule", &before, &after);
        let told = changes
            .iter()
            .map(|c| (c.field.as_str(), c.before.as_str(), c.after.as_str()));
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    fn does(kind: action::Kind) -> Rule {
        Rule {
            action: Some(Action { kind: Some(kind) }),
            ..Rule::default()
        }
    }

    #[test]
    fn fields_are_told_by_path_with_their_json() {
        let boost = does(action::Kind::Boost(Boost { factor: 2.0 }));
        check(boost.clone(), boost.clone(), &[]);
        let stronger = Rule {
            priority: 3,
            tags: vec!["summer".into()],
            schedule: Some(Schedule {
                start_time: Some(time::from_ms(0)),
                ..Schedule::default()
            }),
            ..does(action::Kind::Boost(Boost { factor: 2.5 }))
        };
        let expected = [
            ("action.boost.factor", "2.0", "2.5"),
            ("priority", "", "3"),
            ("schedule.start_time", "", "\"1970-01-01T00:00:00Z\""),
            ("tags", "", "[\"summer\"]"),
        ];
        check(boost.clone(), stronger, &expected);
        let pin = does(action::Kind::Pin(Pin {
            position: 1,
            item_ids: vec!["a".into()],
        }));
        let expected = [
            ("action.boost.factor", "2.0", ""),
            ("action.pin.position", "", "1"),
            ("action.pin.item_ids", "", "[\"a\"]"),
        ];
        check(boost.clone(), pin, &expected);
        let exclude = does(action::Kind::Exclude(Exclude {}));
        let expected = [
            ("action.boost.factor", "2.0", ""),
            ("action.exclude", "", "{}"),
        ];
        check(boost, exclude, &expected);
    }
}
