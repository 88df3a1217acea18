//! The best few hundred of many, kept in order while their values change one at a
//! time. Values are held here too, so that an entry is found by bisection.

use super::items::ItemIndex;

/// Entries, the highest value first; among equals the lower index.
#[derive(Debug, Clone)]
pub struct Ranked {
    entries: Vec<(f64, ItemIndex)>,
    max: usize,
}

impl Ranked {
    pub fn new(max: usize) -> Self {
        Self {
            entries: Vec::with_capacity(max + 1),
            max,
        }
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = ItemIndex> + '_ {
        self.entries.iter().map(|(_, index)| *index)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of `index` went from `before` to `now`.
    pub fn update(&mut self, index: ItemIndex, before: f64, now: f64) {
        self.remove(index, before);
        self.offer(index, now);
    }

    /// Takes an entry in if it is good enough.
    pub fn offer(&mut self, index: ItemIndex, value: f64) {
        let Err(at) = self.place(index, value) else {
            return;
        };
        if at < self.max {
            self.entries.insert(at, (value, index));
            self.entries.truncate(self.max);
        }
    }

    /// True if it was here.
    pub fn remove(&mut self, index: ItemIndex, value: f64) -> bool {
        let place = self.place(index, value);
        if let Ok(at) = place {
            self.entries.remove(at);
        }
        place.is_ok()
    }

    /// For when the value is not at hand: a walk over all entries.
    pub fn remove_index(&mut self, index: ItemIndex) {
        self.entries.retain(|(_, held)| *held != index);
    }

    /// All values were multiplied by `factor`, a power of two, so that order stays.
    pub fn scale(&mut self, factor: f64) {
        for (value, _) in &mut self.entries {
            *value *= factor;
        }
    }

    /// Starts anew from all there are.
    pub fn rebuild(&mut self, all: impl Iterator<Item = (f64, ItemIndex)>) {
        let mut all: Vec<_> = all.collect();
        let order =
            |a: &(f64, ItemIndex), b: &(f64, ItemIndex)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if all.len() > self.max {
            all.select_nth_unstable_by(self.max, order);
            all.truncate(self.max);
        }
        all.sort_unstable_by(order);
        self.entries = all;
    }

    fn place(&self, index: ItemIndex, value: f64) -> Result<usize, usize> {
        self.entries
            .binary_search_by(|(held, at)| value.total_cmp(held).then(at.cmp(&index)))
    }
}
