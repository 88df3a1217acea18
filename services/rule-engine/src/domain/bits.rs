//! One bit per item, dense: the answer to a yes-or-no question in one memory access.
//! Knows positions only; what a bit means is its owner's business.

/// A growing set of small numbers.
#[derive(Debug, Clone, Default)]
pub struct BitSet {
    words: Vec<u64>,
    ones: usize,
}

impl BitSet {
    pub fn get(&self, index: u32) -> bool {
        self.words
            .get(index as usize / 64)
            .is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// True if this changed the set.
    pub fn set(&mut self, index: u32, member: bool) -> bool {
        if self.get(index) == member {
            return false;
        }
        let word = index as usize / 64;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] ^= 1 << (index % 64);
        if member {
            self.ones += 1;
        } else {
            self.ones -= 1;
        }
        true
    }

    pub fn len(&self) -> usize {
        self.ones
    }

    pub fn is_empty(&self) -> bool {
        self.ones == 0
    }

    /// The members, smallest first.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                if rest == 0 {
                    return None;
                }
                let bit = rest.trailing_zeros();
                rest &= rest - 1;
                Some(at as u32 * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_back_in_order_and_are_counted() {
        let mut set = BitSet::default();
        for index in [700, 3, 64, 3] {
            set.set(index, true);
        }
        assert!(set.set(64, false));
        assert!(!set.set(64, false));
        assert_eq!(set.iter().collect::<Vec<_>>(), [3, 700]);
        assert_eq!(set.len(), 2);
        assert!(!set.get(9_999));
    }
}
