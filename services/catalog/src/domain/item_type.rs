//! Item types as items are checked against them, and what a change of a type takes
//! away from items that have it.

use std::collections::HashMap;

use attune_api::catalog::v1::{CharacteristicDefinition, ItemType};

/// A type with its characteristics by name.
#[derive(Debug)]
pub(crate) struct KnownType {
    pub item_type: ItemType,
    by_name: HashMap<String, usize>,
}

impl KnownType {
    pub fn new(item_type: ItemType) -> Self {
        let names = item_type.characteristics.iter().enumerate();
        let by_name = names.map(|(i, c)| (c.name.clone(), i)).collect();
        Self { item_type, by_name }
    }

    pub fn characteristic(&self, name: &str) -> Option<&CharacteristicDefinition> {
        self.item_type.characteristics.get(*self.by_name.get(name)?)
    }

    pub fn characteristic_names(&self) -> impl Iterator<Item = &str> {
        self.item_type
            .characteristics
            .iter()
            .map(|c| c.name.as_str())
    }
}

/// The types of one workspace by id.
pub(crate) type KnownTypes = HashMap<String, std::sync::Arc<KnownType>>;

/// Names of characteristics whose values of before may not be valid afterwards.
pub(crate) fn taken_away<'a>(before: &'a ItemType, after: &ItemType) -> Vec<&'a str> {
    let broken = |old: &&CharacteristicDefinition| {
        let new = after.characteristics.iter().find(|c| c.name == old.name);
        new.is_none_or(|new| {
            new.r#type != old.r#type
                || old
                    .enum_values
                    .iter()
                    .any(|value| !new.enum_values.contains(value))
        })
    };
    let broken = before.characteristics.iter().filter(broken);
    broken.map(|c| c.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use attune_api::catalog::v1::CharacteristicType;

    use super::*;

    fn item_type(characteristics: &[(&str, CharacteristicType, &[&str])]) -> ItemType {
        let characteristics = characteristics
            .iter()
            .map(|(name, kind, values)| CharacteristicDefinition {
                name: (*name).into(),
                r#type: (*kind).into(),
                enum_values: values.iter().map(ToString::to_string).collect(),
                ..Default::default()
            })
            .collect();
        ItemType {
            characteristics,
            ..Default::default()
        }
    }

    #[test]
    fn what_narrows_a_type_takes_away_and_what_widens_it_does_not() {
        use CharacteristicType::{Enum, Number, Text};
        let before = item_type(&[("brand", Text, &[]), ("size", Enum, &["s", "m"])]);
        for (after, expected) in [
            (
                item_type(&[("brand", Text, &[]), ("size", Enum, &["s", "m"])]),
                vec![],
            ),
            (
                item_type(&[
                    ("size", Enum, &["m", "l", "s"]),
                    ("x", Number, &[]),
                    ("brand", Text, &[]),
                ]),
                vec![],
            ),
            (item_type(&[("size", Enum, &["s", "m"])]), vec!["brand"]),
            (
                item_type(&[("brand", Number, &[]), ("size", Enum, &["s"])]),
                vec!["brand", "size"],
            ),
        ] {
            assert_eq!(taken_away(&before, &after), expected);
        }
    }
}
