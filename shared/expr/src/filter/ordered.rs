//! Values that have an order, with the items that have them: sorted blocks, so that a
//! range is a walk over memory in its order and a change moves one block only.

use std::ops::Range;

use roaring::RoaringBitmap;

use super::gather::Gather;

/// Entries per block. A full one is split in halves.
const BLOCK_MAX: usize = 512;

/// A number that is one, by its order; 0 and -0 are the same.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(super) struct Real(f64);

impl Real {
    /// None for what equals nothing, not even itself.
    pub fn new(value: f64) -> Option<Self> {
        // Adding 0 makes 0 of -0 and nothing of anything else.
        (!value.is_nan()).then_some(Self(value + 0.0))
    }

    pub fn get(self) -> f64 {
        self.0
    }
}

impl Eq for Real {}

// The derived partial order is total without NaN.
#[expect(clippy::derive_ord_xor_partial_ord)]
impl Ord for Real {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Entries in the order of their values, then of their items.
#[derive(Debug)]
pub(super) struct Ordered<T> {
    blocks: Vec<Block<T>>,
    members: RoaringBitmap,
}

#[derive(Debug)]
struct Block<T> {
    values: Vec<T>,
    items: Vec<u32>,
}

/// Between two entries: a block and a place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    block: usize,
    at: usize,
}

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            members: RoaringBitmap::new(),
        }
    }
}

impl<T: Copy + Ord> Ordered<T> {
    /// The items that have any value here.
    pub fn members(&self) -> &RoaringBitmap {
        &self.members
    }

    pub fn insert(&mut self, value: T, item: u32) {
        if !self.members.insert(item) {
            return;
        }
        if self.blocks.is_empty() {
            self.blocks.push(Block {
                values: Vec::new(),
                items: Vec::new(),
            });
        }
        let place = self.place_of(value, item);
        let block = &mut self.blocks[place.block];
        block.values.insert(place.at, value);
        block.items.insert(place.at, item);
        if block.values.len() > BLOCK_MAX {
            let half = Block {
                values: block.values.split_off(BLOCK_MAX / 2),
                items: block.items.split_off(BLOCK_MAX / 2),
            };
            self.blocks.insert(place.block + 1, half);
        }
    }

    pub fn remove(&mut self, value: T, item: u32) {
        let Some(Place {
            block: at,
            at: entry,
        }) = self.find(value, item)
        else {
            return;
        };
        self.members.remove(item);
        let block = &mut self.blocks[at];
        block.values.remove(entry);
        block.items.remove(entry);
        let left = block.values.len();
        if left == 0 {
            self.blocks.remove(at);
        } else if left
            + self
                .blocks
                .get(at + 1)
                .map_or(BLOCK_MAX, |b| b.values.len())
            <= BLOCK_MAX / 2
        {
            let next = self.blocks.remove(at + 1);
            self.blocks[at].values.extend(next.values);
            self.blocks[at].items.extend(next.items);
        }
    }

    /// Where an entry is or belongs; there is a block.
    fn place_of(&self, value: T, item: u32) -> Place {
        let is_before = |block: &Block<T>| {
            let last = block.values.last().zip(block.items.last());
            last.is_some_and(|(v, i)| (*v, *i) < (value, item))
        };
        let last = self.blocks.len().saturating_sub(1);
        let block = self.blocks.partition_point(is_before).min(last);
        let Block { values, items } = &self.blocks[block];
        let mut at = values.partition_point(|v| *v < value);
        let equal = values[at..].partition_point(|v| *v == value);
        at += items[at..at + equal].partition_point(|i| *i < item);
        Place { block, at }
    }

    fn find(&self, value: T, item: u32) -> Option<Place> {
        if self.blocks.is_empty() {
            return None;
        }
        let place = self.place_of(value, item);
        let Block { values, items } = &self.blocks[place.block];
        let held = values.get(place.at).zip(items.get(place.at))?;
        (*held.0 == value && *held.1 == item).then_some(place)
    }

    /// The place before the first value for which `is_before` does not hold; it holds
    /// for all values up to some point and for none beyond.
    pub fn place(&self, is_before: impl Fn(T) -> bool) -> Place {
        let block = self
            .blocks
            .partition_point(|block| block.values.last().is_some_and(|v| is_before(*v)));
        let at = self
            .blocks
            .get(block)
            .map_or(0, |b| b.values.partition_point(|v| is_before(*v)));
        Place { block, at }
    }

    pub fn start(&self) -> Place {
        Place { block: 0, at: 0 }
    }

    pub fn end(&self) -> Place {
        Place {
            block: self.blocks.len(),
            at: 0,
        }
    }

    /// How many entries are between two places.
    pub fn count(&self, range: &Range<Place>) -> usize {
        self.slices(range).map(|(_, items)| items.len()).sum()
    }

    /// Adds the items between two places.
    pub fn gather(&self, range: &Range<Place>, into: &mut Gather) {
        // What is left out may be the smaller part.
        let members = self.members.len() as usize;
        if 2 * self.count(range) <= members {
            for (_, items) in self.slices(range) {
                items.iter().for_each(|item| into.push(*item));
            }
            return;
        }
        let mut beside = Gather::default();
        for outside in [self.start()..range.start, range.end..self.end()] {
            for (_, items) in self.slices(&outside) {
                items.iter().for_each(|item| beside.push(*item));
            }
        }
        into.extend(&(&self.members - beside.finish()));
    }

    /// Adds the items of every value that passes the test, which is asked about once
    /// per value in a block.
    pub fn gather_where(&self, mut test: impl FnMut(T) -> bool, into: &mut Gather) {
        for (values, items) in self.slices(&(self.start()..self.end())) {
            let mut from = 0;
            for run in values.chunk_by(|a, b| a == b) {
                if test(run[0]) {
                    items[from..from + run.len()]
                        .iter()
                        .for_each(|item| into.push(*item));
                }
                from += run.len();
            }
        }
    }

    fn slices(&self, range: &Range<Place>) -> impl Iterator<Item = (&[T], &[u32])> {
        let (start, end) = (range.start, range.end);
        let blocks = self.blocks.iter().enumerate();
        let last = if end.at > 0 { end.block + 1 } else { end.block };
        let blocks = blocks.take(last.min(self.blocks.len())).skip(start.block);
        blocks.filter_map(move |(number, block)| {
            let from = if number == start.block { start.at } else { 0 };
            let to = if number == end.block {
                end.at
            } else {
                block.values.len()
            };
            (from < to).then(|| (&block.values[from..to], &block.items[from..to]))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_a_plain_list_while_entries_come_and_go() {
        let mut ordered = Ordered::default();
        let mut plain: Vec<(i64, u32)> = Vec::new();
        let value = |item: u32| i64::from(item.wrapping_mul(2_654_435_761) >> 22);
        for item in 0..6_000 {
            ordered.insert(value(item), item);
            plain.push((value(item), item));
            if item % 3 == 2 {
                let gone = item - 2 * (item % 7 % 2) - 1;
                ordered.remove(value(gone), gone);
                plain.retain(|(_, i)| *i != gone);
            }
        }
        for (low, high) in [(0, 1), (100, 700), (500, 500), (0, 2_000), (900, 1_024)] {
            let range = ordered.place(|v| v < low)..ordered.place(|v| v < high);
            let expected: RoaringBitmap = plain
                .iter()
                .filter(|(v, _)| (low..high).contains(v))
                .map(|(_, i)| *i)
                .collect();
            assert_eq!(ordered.count(&range) as u64, expected.len());
            let mut found = Gather::default();
            ordered.gather(&range, &mut found);
            assert_eq!(found.finish(), expected, "{low}..{high}");
            let mut found = Gather::default();
            ordered.gather_where(|v| (low..high).contains(&v), &mut found);
            assert_eq!(found.finish(), expected, "{low}..{high}");
        }
        for (value, item) in plain {
            ordered.remove(value, item);
        }
        assert!(ordered.members().is_empty() && ordered.blocks.is_empty());
    }
}
