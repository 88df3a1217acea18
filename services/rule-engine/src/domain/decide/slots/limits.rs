//! How many of the same kind an answer may hold: by leaf category and by the values of
//! characteristics. Counts what is placed; judges, but never places.

use std::hash::{DefaultHasher, Hash, Hasher};

use attune_expr::{ItemField, Scope, Value};
use smallvec::SmallVec;

use super::{Filled, ItemIndex, Placement};
use crate::domain::{items::NO_CATEGORY, plan::LimitPlan};

/// Values of one characteristic, hashed with the number of its limit.
type Keys = SmallVec<[u64; 4]>;

/// What the items that are placed count for.
#[derive(Default)]
pub(super) struct Limits {
    leaves: Vec<u32>,
    keys: Vec<u64>,
}

impl Limits {
    pub fn clear(&mut self) {
        self.leaves.clear();
        self.keys.clear();
    }

    /// Counts anew for the limits of the placement's present strategy.
    pub fn begin(&mut self, placement: &Placement<'_>, filled: &[Option<Filled>]) {
        self.clear();
        for filled in filled.iter().flatten() {
            self.count(placement, filled.index);
        }
    }

    pub fn count(&mut self, placement: &Placement<'_>, index: ItemIndex) {
        let diversity = &placement.strategy.diversity;
        if diversity.category_max > 0 {
            self.leaves.push(placement.scene.items.leaf_of(index));
        }
        for (number, limit) in diversity.limits.iter().enumerate() {
            self.keys.extend(keys(placement, number, limit, index));
        }
    }

    /// Whether one more like this may be shown.
    pub fn allow(&self, placement: &Placement<'_>, index: ItemIndex) -> bool {
        let diversity = &placement.strategy.diversity;
        self.allow_leaf(placement, diversity.category_max, index)
            && diversity.limits.iter().enumerate().all(|(number, limit)| {
                let count = |key| self.keys.iter().filter(|held| **held == key).count();
                let mut keys = keys(placement, number, limit, index).into_iter();
                keys.all(|key| count(key) < limit.item_max)
            })
    }

    fn allow_leaf(&self, placement: &Placement<'_>, max: usize, index: ItemIndex) -> bool {
        if max == 0 {
            return true;
        }
        let leaf = placement.scene.items.leaf_of(index);
        let same = self.leaves.iter().filter(|held| **held == leaf);
        leaf == NO_CATEGORY || same.count() < max
    }
}

/// What an item has no value of does not limit it.
fn keys(placement: &Placement<'_>, number: usize, limit: &LimitPlan, index: ItemIndex) -> Keys {
    let Some(item) = placement.scene.items.scope(index) else {
        return Keys::new();
    };
    let value = match &*limit.characteristic {
        "type" => item.item(ItemField::Type),
        "categories" => item.item(ItemField::Categories),
        name => item.characteristic(name),
    };
    let key = |value: &dyn Fn(&mut DefaultHasher)| {
        let mut hasher = DefaultHasher::new();
        number.hash(&mut hasher);
        value(&mut hasher);
        hasher.finish()
    };
    match &value {
        Value::Bool(held) => Keys::from_slice(&[key(&|h| held.hash(h))]),
        Value::Number(held) => Keys::from_slice(&[key(&|h| held.to_bits().hash(h))]),
        Value::Texts(held) => {
            let mut keys: Keys = held.iter().map(|text| key(&|h| text.hash(h))).collect();
            keys.sort_unstable();
            keys.dedup();
            keys
        }
        held => match held.as_text() {
            Some(text) => Keys::from_slice(&[key(&|h| text.hash(h))]),
            None => Keys::new(),
        },
    }
}
