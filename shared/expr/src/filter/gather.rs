//! Puts a set together from items in any order. A bitmap takes tens of nanoseconds for
//! an item that does not come last; a plain word takes one.

use roaring::RoaringBitmap;

/// Up to this many are sorted rather than spread over words.
const FEW_MAX: usize = 256;

/// A set while it is being put together.
#[derive(Debug, Default)]
pub(super) struct Gather {
    few: Vec<u32>,
    /// A bit per item, once they are more than a few.
    words: Vec<u64>,
    many: RoaringBitmap,
}

impl Gather {
    pub fn push(&mut self, item: u32) {
        if self.words.is_empty() {
            if self.few.len() < FEW_MAX {
                self.few.push(item);
                return;
            }
            for item in std::mem::take(&mut self.few) {
                self.mark(item);
            }
        }
        self.mark(item);
    }

    fn mark(&mut self, item: u32) {
        let word = item as usize / 64;
        if word >= self.words.len() {
            self.words.resize((word + 1).next_power_of_two(), 0);
        }
        self.words[word] |= 1 << (item % 64);
    }

    pub fn extend(&mut self, items: &RoaringBitmap) {
        self.many |= items;
    }

    pub fn finish(mut self) -> RoaringBitmap {
        let mut found = if self.words.is_empty() {
            self.few.sort_unstable();
            self.few.into_iter().collect()
        } else {
            let bytes: Vec<u8> = self.words.iter().flat_map(|w| w.to_le_bytes()).collect();
            RoaringBitmap::from_lsb0_bytes(0, &bytes)
        };
        if !self.many.is_empty() {
            found |= self.many;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_the_same_however_many_it_has() {
        for count in [0, 1, 255, 256, 257, 5_000] {
            let items: Vec<u32> = (0..count).map(|n| n * 7919 % 99_991).collect();
            let mut gather = Gather::default();
            items.iter().rev().for_each(|item| gather.push(*item));
            gather.extend(&RoaringBitmap::from([3, 70_000]));
            let expected: RoaringBitmap = items.into_iter().chain([3, 70_000]).collect();
            assert_eq!(gather.finish(), expected, "{count}");
        }
    }
}
