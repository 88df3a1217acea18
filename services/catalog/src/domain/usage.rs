//! How a write changes what is in use: the number of items of each type, and of those
//! that have each characteristic.

use std::collections::BTreeMap;

use attune_api::catalog::v1::Item;

/// Stands for the type itself among its characteristics.
pub(crate) const ITSELF: &str = "";

/// Differences by item type and characteristic.
#[derive(Debug, Default)]
pub(crate) struct Usage(BTreeMap<(String, String), i64>);

impl Usage {
    pub fn gained(&mut self, item: &Item) {
        self.count(item, 1);
    }

    pub fn lost(&mut self, item: &Item) {
        self.count(item, -1);
    }

    fn count(&mut self, item: &Item, by: i64) {
        let names = item.characteristics.keys().map(String::as_str);
        for name in names.chain([ITSELF]) {
            let key = (item.item_type.clone(), name.to_owned());
            *self.0.entry(key).or_default() += by;
        }
    }

    /// Item type, characteristic and difference, where there is one.
    pub fn into_differences(self) -> impl Iterator<Item = (String, String, i64)> {
        let changed = self.0.into_iter().filter(|(_, by)| *by != 0);
        changed.map(|((item_type, characteristic), by)| (item_type, characteristic, by))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(item_type: &str, characteristics: &[&str]) -> Item {
        Item {
            item_type: item_type.into(),
            characteristics: characteristics
                .iter()
                .map(|name| ((*name).to_owned(), prost_types::Value::default()))
                .collect(),
            ..Default::default()
        }
    }

    #[test]
    fn only_differences_are_told() {
        let mut usage = Usage::default();
        usage.gained(&item("tent", &["brand", "persons"]));
        usage.lost(&item("tent", &["brand"]));
        usage.gained(&item("shoe", &[]));
        let differences: Vec<_> = usage.into_differences().collect();
        assert_eq!(
            differences,
            [
                ("shoe".into(), ITSELF.into(), 1),
                ("tent".into(), "persons".into(), 1)
            ]
        );
    }
}
