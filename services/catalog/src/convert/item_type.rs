//! Whether an item type may be stored.

use std::collections::{HashMap, HashSet};

use attune_api::catalog::v1::{CharacteristicDefinition, CharacteristicType, ItemType};
use attune_errors::Violations;
use attune_expr::{ItemField, is_identifier};

use super::is_name;

const CHARACTERISTICS_MAX: usize = 128;
const ENUM_VALUES_MAX: usize = 1000;
const DISPLAY_NAME_CHARACTERS_MAX: usize = 256;

/// All that is wrong with a type, below the field `item_type`.
pub(crate) fn check(item_type: &ItemType) -> Result<(), Violations> {
    let mut violations = Violations::new();
    violations.within("item_type", |violations| check_type(item_type, violations));
    violations.into_result()
}

fn check_type(item_type: &ItemType, violations: &mut Violations) {
    if !is_name(&item_type.item_type_id, 64, b"-") {
        let rule = "must be 1 to 64 of a-z, 0-9, `_`, `-`, beginning with a letter";
        violations.push("item_type_id", rule);
    }
    if item_type.display_name.chars().count() > DISPLAY_NAME_CHARACTERS_MAX {
        violations.push("display_name", "must have at most 256 characters");
    }
    if item_type.characteristics.len() > CHARACTERISTICS_MAX {
        violations.push("characteristics", "must be at most 128");
        return;
    }
    let mut first_seen: HashMap<&str, usize> = HashMap::new();
    for (index, definition) in item_type.characteristics.iter().enumerate() {
        violations.within_item("characteristics", index, |violations| {
            check_definition(definition, violations);
            if let Some(first) = first_seen.get(definition.name.as_str()) {
                let rule = format!("must not be that of characteristics[{first}] too");
                violations.push("name", rule);
            }
        });
        first_seen.entry(&definition.name).or_insert(index);
    }
}

fn check_definition(definition: &CharacteristicDefinition, violations: &mut Violations) {
    let name = definition.name.as_str();
    if !is_name(name, 64, b"") {
        let rule = "must be 1 to 64 of a-z, 0-9, `_`, beginning with a letter";
        violations.push("name", rule);
    } else if ItemField::parse(name).is_some() || !is_identifier(name) {
        violations.push(
            "name",
            "must not be a field of every item or a reserved word",
        );
    }
    match CharacteristicType::try_from(definition.r#type) {
        Err(_) | Ok(CharacteristicType::Unspecified) => {
            violations.push("type", "must be a type that exists");
        }
        Ok(CharacteristicType::Enum) => check_values(&definition.enum_values, violations),
        Ok(_) if !definition.enum_values.is_empty() => {
            violations.push("enum_values", "must be empty unless the type is ENUM");
        }
        Ok(_) => {}
    }
}

fn check_values(values: &[String], violations: &mut Violations) {
    if values.is_empty() || values.len() > ENUM_VALUES_MAX {
        violations.push("enum_values", "must be 1 to 1000 values");
    }
    let mut seen = HashSet::new();
    for (index, value) in values.iter().enumerate() {
        let field = format!("enum_values[{index}]");
        if value.is_empty() || value.chars().count() > 256 {
            violations.push(field, "must be 1 to 256 characters");
        } else if !seen.insert(value.as_str()) {
            violations.push(field, "must not be there twice");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(
        name: &str,
        kind: CharacteristicType,
        values: &[&str],
    ) -> CharacteristicDefinition {
        CharacteristicDefinition {
            name: name.into(),
            r#type: kind.into(),
            enum_values: values.iter().map(ToString::to_string).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn each_field_is_told_by_its_path() {
        use CharacteristicType::{Enum, Text, Unspecified};
        let long = "x".repeat(65);
        for (id, characteristics, expected) in [
            ("tent", vec![], vec![]),
            (
                "tent",
                vec![
                    definition("brand", Text, &[]),
                    definition("size", Enum, &["s"]),
                ],
                vec![],
            ),
            ("", vec![], vec!["item_type_id"]),
            ("2tent", vec![], vec!["item_type_id"]),
            (&long, vec![], vec!["item_type_id"]),
            (
                "t",
                vec![definition("Brand", Text, &[])],
                vec!["characteristics[0].name"],
            ),
            (
                "t",
                vec![definition("price", Text, &[])],
                vec!["characteristics[0].name"],
            ),
            (
                "t",
                vec![definition("in", Text, &[])],
                vec!["characteristics[0].name"],
            ),
            (
                "t",
                vec![definition("a", Unspecified, &[])],
                vec!["characteristics[0].type"],
            ),
            (
                "t",
                vec![definition("a", Enum, &[])],
                vec!["characteristics[0].enum_values"],
            ),
            (
                "t",
                vec![definition("a", Enum, &["x", "x"])],
                vec!["characteristics[0].enum_values[1]"],
            ),
            (
                "t",
                vec![definition("a", Text, &["x"])],
                vec!["characteristics[0].enum_values"],
            ),
            (
                "t",
                vec![definition("a", Text, &[]), definition("a", Text, &[])],
                vec!["characteristics[1].name"],
            ),
        ] {
            let item_type = ItemType {
                item_type_id: id.into(),
                characteristics,
                ..Default::default()
            };
            let violations = check(&item_type).err().unwrap_or_default();
            let fields: Vec<_> = violations.iter().map(|v| v.field.as_str()).collect();
            let expected: Vec<_> = expected.iter().map(|f| format!("item_type.{f}")).collect();
            assert_eq!(fields, expected, "{item_type:?}");
        }
    }
}
