//! The profile service's verdict on messages, in the field names of the calls that they
//! were made from. Judges nothing itself.

use attune_errors::{Fault, Reason, Violations, reason_of, violations_of};
use tonic::Status;

use super::collection::Shape;

/// The profile service's verdict on `messages`, in the names of the caller's `list`.
pub fn rename(status: Status, list: &str, shapes: &[Shape]) -> Status {
    renamed(status, |index, rest| {
        let shape = shapes.get(index)?;
        let (field, rule) = rename_field(rest, shape);
        let field = match field.as_str() {
            "" => format!("{list}[{index}]"),
            field => format!("{list}[{index}].{field}"),
        };
        Some((field, rule))
    })
}

/// The same for a call that is itself the message.
pub fn rename_single(status: Status, shape: &Shape) -> Status {
    renamed(status, |_, rest| Some(rename_field(rest, shape)))
}

type Renamed = (String, Option<&'static str>);

fn renamed(status: Status, rename: impl Fn(usize, &str) -> Option<Renamed>) -> Status {
    if reason_of(&status) != Some(Reason::InvalidFields) {
        return status;
    }
    let mut violations = Violations::new();
    for (field, rule) in violations_of(&status) {
        let inside = field.strip_prefix("messages[").and_then(|rest| {
            let (index, rest) = rest.split_once(']')?;
            let rest = rest.strip_prefix('.').unwrap_or(rest);
            rename(index.parse().ok()?, rest)
        });
        match inside {
            Some((field, Some(rule))) => violations.push(field, rule),
            Some((field, None)) => violations.push(field, rule),
            None => violations.push(field, rule),
        }
    }
    Fault::invalid(violations).into()
}

/// The caller's name of a message's field, and a rule in the caller's words where the
/// profile service's would not do.
fn rename_field(field: &str, shape: &Shape) -> Renamed {
    const PREFIXES: [(&str, &str); 11] = [
        ("identify.traits", "traits"),
        ("event.properties", "properties"),
        ("event.name", "event"),
        ("group.group_id", "group_id"),
        ("group.traits", "traits"),
        ("alias.previous", "previous_id"),
        ("receive_time", "timestamp"),
        ("time", "timestamp"),
        ("channel", "context.channel"),
        ("source", "context.source"),
        ("profile_id", "user_id"),
    ];
    match field {
        "" => {
            let rule = "must be one of identify, track, page, screen, group, alias";
            return ("type".to_owned(), Some(rule));
        }
        "identities" if shape.is_alias => return ("user_id".to_owned(), Some("must be set")),
        "identities" => {
            let rule = "must be set, or anonymous_id";
            return ("user_id".to_owned(), Some(rule));
        }
        "alias.previous.value" | "alias.previous.namespace" => {
            return ("previous_id".to_owned(), None);
        }
        _ => {}
    }
    if let Some(rest) = field.strip_prefix("identities[") {
        let index = rest.split(']').next().and_then(|i| i.parse::<usize>().ok());
        let name = index.and_then(|i| shape.identities.get(i));
        return ((*name.unwrap_or(&"user_id")).to_owned(), None);
    }
    for (theirs, ours) in PREFIXES {
        if let Some(rest) = field.strip_prefix(theirs)
            && (rest.is_empty() || rest.starts_with(['.', '[']))
        {
            return (format!("{ours}{rest}"), None);
        }
    }
    (field.to_owned(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violations_are_told_in_the_callers_names() {
        let shape = Shape {
            identities: vec!["user_id", "anonymous_id"],
            is_alias: false,
        };
        let rows = [
            ("", "type"),
            ("identities", "user_id"),
            ("identities[1].value", "anonymous_id"),
            ("event.name", "event"),
            ("event.properties", "properties"),
            ("event.properties.price", "properties.price"),
            ("identify.traits[\"a\"]", "traits[\"a\"]"),
            ("time", "timestamp"),
            ("alias.previous.value", "previous_id"),
            ("message_id", "message_id"),
            ("context.x", "context.x"),
        ];
        for (theirs, ours) in rows {
            assert_eq!(rename_field(theirs, &shape).0, ours, "{theirs}");
        }
    }
}
