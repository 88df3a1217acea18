//! Which values of one attribute a predicate accepts. Every comparable value of one kind
//! is an ordinal, a 64-bit integer in the order of the values, so that equality, sets,
//! ranges and their negations are all sets of ordinals. Knows nothing of expressions.

use smallvec::SmallVec;

use crate::node::Comparison;

/// A value of one kind as an integer that sorts and equals as the value does.
pub(crate) type Ordinal = u64;

/// Integers below this are told apart as doubles, whichever side they stand on.
const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;

/// None for a number that nothing equals.
pub(crate) fn of_number(number: f64) -> Option<Ordinal> {
    if number.is_nan() {
        return None;
    }
    // One zero: the two are equal.
    let bits = (number + 0.0).to_bits();
    Some(if bits >> 63 == 1 {
        !bits
    } else {
        bits | 1 << 63
    })
}

/// The same for a number that expressions may be indexed by: comparing with it after
/// the other side was made a double gives what comparing exactly would.
pub(crate) fn of_number_written(number: f64) -> Option<Ordinal> {
    (number.abs() < EXACT_BELOW)
        .then(|| of_number(number))
        .flatten()
}

/// Of times and durations.
pub(crate) fn of_signed(ms: i64) -> Ordinal {
    (ms as u64) ^ 1 << 63
}

/// Inclusive on both ends.
pub(crate) type Range = (Ordinal, Ordinal);

/// A set of values: of ordinals, and whether it has what is missing and what is of
/// another kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Accepts {
    pub missing: bool,
    pub unlike: bool,
    /// Sorted, with gaps between them.
    pub ranges: SmallVec<[Range; 2]>,
}

impl Accepts {
    pub fn nothing() -> Self {
        Self {
            missing: false,
            unlike: false,
            ranges: SmallVec::new(),
        }
    }

    pub fn range(low: Ordinal, high: Ordinal) -> Self {
        let mut nothing = Self::nothing();
        if low <= high {
            nothing.ranges.push((low, high));
        }
        nothing
    }

    pub fn point(ordinal: Ordinal) -> Self {
        Self::range(ordinal, ordinal)
    }

    /// Whatever is there.
    pub fn present() -> Self {
        Self {
            unlike: true,
            ..Self::range(Ordinal::MIN, Ordinal::MAX)
        }
    }

    /// What compares so with a value.
    pub fn compared(comparison: Comparison, with: Ordinal) -> Self {
        let below = || with.checked_sub(1).map(|high| Self::range(0, high));
        let above = || {
            with.checked_add(1)
                .map(|low| Self::range(low, Ordinal::MAX))
        };
        match comparison {
            Comparison::Equal => Self::point(with),
            Comparison::NotEqual => Self {
                missing: false,
                ..Self::point(with).complement()
            },
            Comparison::Less => below().unwrap_or_else(Self::nothing),
            Comparison::LessOrEqual => Self::range(0, with),
            Comparison::Greater => above().unwrap_or_else(Self::nothing),
            Comparison::GreaterOrEqual => Self::range(with, Ordinal::MAX),
        }
    }

    pub fn is_nothing(&self) -> bool {
        !self.missing && !self.unlike && self.ranges.is_empty()
    }

    pub fn is_everything(&self) -> bool {
        self.missing && self.unlike && self.ranges.as_slice() == [(Ordinal::MIN, Ordinal::MAX)]
    }

    pub fn complement(&self) -> Self {
        let mut ranges = SmallVec::new();
        let mut from = Some(Ordinal::MIN);
        for &(low, high) in &self.ranges {
            if let Some(from) = from.filter(|from| *from < low) {
                ranges.push((from, low - 1));
            }
            from = high.checked_add(1);
        }
        if let Some(from) = from {
            ranges.push((from, Ordinal::MAX));
        }
        Self {
            missing: !self.missing,
            unlike: !self.unlike,
            ranges,
        }
    }

    pub fn union(&self, other: &Self) -> Self {
        let mut all: SmallVec<[Range; 4]> = SmallVec::new();
        all.extend(self.ranges.iter().chain(&other.ranges).copied());
        all.sort_unstable();
        let mut union = Self {
            missing: self.missing || other.missing,
            unlike: self.unlike || other.unlike,
            ranges: SmallVec::new(),
        };
        for range in all {
            union.push(range);
        }
        union
    }

    /// Takes in a range that starts no earlier than the last one.
    pub fn push(&mut self, (low, high): Range) {
        match self.ranges.last_mut() {
            Some(last) if last.1.checked_add(1).is_none_or(|next| low <= next) => {
                last.1 = last.1.max(high);
            }
            _ => self.ranges.push((low, high)),
        }
    }

    pub fn intersection(&self, other: &Self) -> Self {
        let mut ranges = SmallVec::new();
        let (mut ours, mut theirs) = (self.ranges.iter(), other.ranges.iter());
        let (mut a, mut b) = (ours.next(), theirs.next());
        while let (Some(&(a_low, a_high)), Some(&(b_low, b_high))) = (a, b) {
            let (low, high) = (a_low.max(b_low), a_high.min(b_high));
            if low <= high {
                ranges.push((low, high));
            }
            if a_high < b_high {
                a = ours.next();
            } else {
                b = theirs.next();
            }
        }
        Self {
            missing: self.missing && other.missing,
            unlike: self.unlike && other.unlike,
            ranges,
        }
    }

    pub fn is_within(&self, other: &Self) -> bool {
        self.intersection(other) == *self
    }

    /// Accepts more, so that at most so many ranges are left: the smallest gaps go.
    pub fn coarsen(&mut self, ranges_max: usize) {
        let excess = self.ranges.len().saturating_sub(ranges_max.max(1));
        if excess == 0 {
            return;
        }
        let gap = |at: usize| self.ranges[at + 1].0 - self.ranges[at].1;
        let mut gaps: Vec<usize> = (0..self.ranges.len() - 1).collect();
        gaps.sort_by_key(|&at| gap(at));
        gaps.truncate(excess);
        let mut kept: SmallVec<[Range; 2]> = SmallVec::new();
        for (at, &(low, high)) in self.ranges.iter().enumerate() {
            match kept.last_mut() {
                Some(last) if gaps.contains(&(at - 1)) => last.1 = high,
                _ => kept.push((low, high)),
            }
        }
        self.ranges = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accepts() -> impl Strategy<Value = Accepts> {
        let bound = prop_oneof![0u64..40, Just(u64::MAX - 1), Just(u64::MAX)];
        let ranges = prop::collection::vec((bound.clone(), bound), 0..6);
        (any::<bool>(), any::<bool>(), ranges).prop_map(|(missing, unlike, ranges)| {
            let flags = Accepts {
                missing,
                unlike,
                ..Accepts::nothing()
            };
            ranges.into_iter().fold(flags, |all, (a, b)| {
                all.union(&Accepts::range(a.min(b), a.max(b)))
            })
        })
    }

    fn has(set: &Accepts, ordinal: Ordinal) -> bool {
        set.ranges
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&ordinal))
    }

    proptest! {
        #[test]
        fn sets_of_ordinals_obey_the_algebra(a in accepts(), b in accepts(), max in 1usize..4) {
            let mut coarse = a.clone();
            coarse.coarsen(max);
            prop_assert!(coarse.ranges.len() <= max && a.is_within(&coarse));
            prop_assert_eq!(&a.complement().complement(), &a);
            for at in (0..45).chain([u64::MAX - 2, u64::MAX - 1, u64::MAX]) {
                prop_assert_eq!(has(&a.complement(), at), !has(&a, at));
                prop_assert_eq!(has(&a.union(&b), at), has(&a, at) || has(&b, at));
                prop_assert_eq!(has(&a.intersection(&b), at), has(&a, at) && has(&b, at));
            }
            for set in [a.union(&b), a.intersection(&b), a.complement(), coarse] {
                let gaps = set.ranges.windows(2).all(|w| w[0].1 + 1 < w[1].0);
                prop_assert!(gaps, "{:?}", set.ranges);
            }
        }

        #[test]
        fn numbers_sort_as_their_ordinals(a: f64, b: f64) {
            if let (Some(x), Some(y)) = (of_number(a), of_number(b)) {
                prop_assert_eq!(a.partial_cmp(&b), Some(x.cmp(&y)));
            }
        }
    }

    #[test]
    fn the_two_zeros_are_one_number() {
        assert_eq!(of_number(0.0), of_number(-0.0));
        assert!(of_number(f64::NAN).is_none() && of_number_written(1e16).is_none());
    }
}
