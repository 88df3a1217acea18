//! Partial updates: copies the fields that a `google.protobuf.FieldMask` names from
//! one message into another, by reflection, so that no resource writes it by hand.

use prost::Message;
use prost_reflect::{DynamicMessage, ReflectMessage, Value};
use prost_types::FieldMask;

use crate::DESCRIPTORS;

/// A path that names no field of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownPath(pub String);

/// Copies the fields in `mask` from `source` into `target`. Paths are in snake case,
/// through singular messages (`diversity.category_max`); a path that names no field
/// is an error and nothing is copied. `full_name` is the message's protobuf name.
pub fn apply<M: Message + Default>(
    full_name: &str,
    target: &M,
    source: &M,
    mask: &FieldMask,
) -> Result<M, Vec<UnknownPath>> {
    let mut merged = reflect_as(full_name, target);
    let source = reflect_as(full_name, source);
    let unknown: Vec<_> = mask
        .paths
        .iter()
        .filter(|path| !copy(&mut merged, &source, path))
        .map(|path| UnknownPath(path.clone()))
        .collect();
    if unknown.is_empty() {
        #[allow(clippy::expect_used)] // Re-encoding the same type.
        Ok(merged.transcode_to().expect("same message type"))
    } else {
        Err(unknown)
    }
}

/// The fields that are set: what an absent mask stands for.
pub fn populated<M: Message>(full_name: &str, sent: &M) -> FieldMask {
    let sent = reflect_as(full_name, sent);
    let paths = sent.fields().map(|(field, _)| field.name().to_owned());
    FieldMask {
        paths: paths.collect(),
    }
}

/// A generated message as one whose fields can be walked. `full_name` is its name.
pub(crate) fn reflect_as<M: Message>(full_name: &str, message: &M) -> DynamicMessage {
    #[allow(clippy::expect_used)] // Callers pass the name of a generated message.
    let descriptor = DESCRIPTORS
        .get_message_by_name(full_name)
        .expect("the message is part of the contract");
    let mut dynamic = DynamicMessage::new(descriptor);
    #[allow(clippy::expect_used)] // Re-encoding the same type.
    dynamic.transcode_from(message).expect("same message type");
    dynamic
}

/// False if the path names no field.
fn copy(target: &mut DynamicMessage, source: &DynamicMessage, path: &str) -> bool {
    let (head, rest) = path
        .split_once('.')
        .map_or((path, None), |(h, r)| (h, Some(r)));
    let Some(field) = target.descriptor().get_field_by_name(head) else {
        return false;
    };
    match rest {
        None if source.has_field(&field) => {
            target.set_field(&field, source.get_field(&field).into_owned());
            true
        }
        None => {
            target.clear_field(&field);
            true
        }
        Some(rest) => {
            let from = source.get_field(&field);
            match (target.get_field_mut(&field), from.as_ref()) {
                (Value::Message(into), Value::Message(from)) => copy(into, from, rest),
                _ => false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::v1::{Diversity, Strategy};

    fn merge(paths: &[&str]) -> Result<Strategy, Vec<UnknownPath>> {
        let target = Strategy {
            strategy_id: "s".into(),
            filter: "old".into(),
            ..Default::default()
        };
        let source = Strategy {
            display_name: "New".into(),
            diversity: Some(Diversity {
                category_max: 2,
                ..Diversity::default()
            }),
            ..Default::default()
        };
        let mask = FieldMask {
            paths: paths.iter().map(ToString::to_string).collect(),
        };
        apply("attune.rules.v1.Strategy", &target, &source, &mask)
    }

    #[test]
    fn only_named_fields_change() {
        let merged = merge(&["display_name", "diversity.category_max"]).unwrap();
        assert_eq!(merged.display_name, "New");
        assert_eq!(
            merged.diversity,
            Some(Diversity {
                category_max: 2,
                ..Diversity::default()
            })
        );
        assert_eq!(merged.filter, "old");
    }

    #[test]
    fn a_named_field_that_is_absent_is_cleared() {
        assert_eq!(merge(&["filter"]).unwrap().filter, "");
    }

    #[test]
    fn every_unknown_path_is_told() {
        let faults = merge(&["nope", "diversity.nope", "filter"]).unwrap_err();
        assert_eq!(
            faults,
            [
                UnknownPath("nope".into()),
                UnknownPath("diversity.nope".into())
            ]
        );
    }
}
