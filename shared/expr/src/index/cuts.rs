//! Where the ordinals of a column change rows. Cuts that lie close together, as those of
//! ages, days or symbols do, are kept in 16 bits each, so that finding a value's row is
//! a few vector instructions over one or two cache lines.

use super::accepts::Ordinal;

/// Sorted starts of rows; row 0 starts at 0 and has no cut.
#[derive(Debug, Clone)]
pub(crate) enum Cuts {
    /// Twice the distance from `base` in steps of `1 << shift`, plus one if the cut lies
    /// right after that step rather than at it: `x > a` cuts right after `a`.
    Near {
        base: Ordinal,
        shift: u32,
        /// The last lane or more is filled up with a code that lies after all others.
        codes: Box<[[u16; LANES]]>,
    },
    Far(Box<[Ordinal]>),
}

/// Codes that are compared at once.
const LANES: usize = 8;
const FILLER: u16 = u16::MAX;
/// Keeps codes below the filler.
const STEP_MAX: u64 = (FILLER >> 1) as u64 - 1;
const LAST: u64 = FILLER as u64 - 1;

impl Cuts {
    pub fn new(cuts: &[Ordinal]) -> Self {
        Self::near(cuts).unwrap_or_else(|| Self::Far(cuts.into()))
    }

    fn near(cuts: &[Ordinal]) -> Option<Self> {
        let (first, last) = (*cuts.first()?, *cuts.last()?);
        // The step that a cut lies at or right after.
        let step = |cut: Ordinal| {
            let before = cut.wrapping_sub(1);
            if cut > 0 && before.trailing_zeros() > cut.trailing_zeros() {
                before
            } else {
                cut
            }
        };
        let base = step(first);
        let distances = || cuts.iter().map(|cut| step(*cut).wrapping_sub(base));
        let apart = distances().filter(|distance| *distance > 0);
        let shift = apart.map(u64::trailing_zeros).min().unwrap_or(0);
        if last.wrapping_sub(base) >> shift > STEP_MAX {
            return None;
        }
        let mut codes = vec![[FILLER; LANES]; cuts.len().div_ceil(LANES)];
        let places = codes.as_flattened_mut().iter_mut();
        for (place, (cut, distance)) in places.zip(cuts.iter().zip(distances())) {
            let is_after = u64::from(step(*cut) != *cut);
            *place = ((distance >> shift) * 2 + is_after) as u16;
        }
        Some(Self::Near {
            base,
            shift,
            codes: codes.into_boxed_slice(),
        })
    }

    /// The row an ordinal falls in: the number of cuts at or below it.
    #[inline]
    pub fn row(&self, ordinal: Ordinal) -> usize {
        match self {
            Self::Near { base, shift, codes } => {
                let Some(distance) = ordinal.checked_sub(*base) else {
                    return 0;
                };
                let step = distance >> shift;
                // Between two steps is after a cut that lies right after the first.
                let is_between = u64::from(step << shift != distance);
                let code = (step.min(STEP_MAX + 1) * 2 + is_between).min(LAST) as u16;
                let mut below = [0; LANES];
                for lanes in codes {
                    for (below, cut) in below.iter_mut().zip(lanes) {
                        *below += u16::from(*cut <= code);
                    }
                }
                usize::from(below.iter().sum::<u16>())
            }
            Self::Far(cuts) => cuts.partition_point(|cut| *cut <= ordinal),
        }
    }

    pub fn decode(&self) -> Vec<Ordinal> {
        match self {
            Self::Near { base, shift, codes } => codes
                .as_flattened()
                .iter()
                .take_while(|code| **code != FILLER)
                .map(|code| base + (u64::from(code >> 1) << shift) + u64::from(code & 1))
                .collect(),
            Self::Far(cuts) => cuts.to_vec(),
        }
    }

    pub fn bytes(&self) -> usize {
        match self {
            Self::Near { codes, .. } => size_of_val(&**codes),
            Self::Far(cuts) => cuts.len() * 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::accepts::of_number;
    use proptest::prelude::*;

    fn ordinals() -> impl Strategy<Value = Vec<u64>> {
        let ages = (0u32..120, any::<bool>()).prop_filter_map("a number", |(age, is_after)| {
            Some(of_number(age.into())? + u64::from(is_after))
        });
        let any = prop_oneof![
            ages,
            1u64..200,
            any::<u64>().prop_map(|n| n.max(1)),
            Just(u64::MAX),
        ];
        prop::collection::btree_set(any, 0..40).prop_map(|set| set.into_iter().collect())
    }

    proptest! {
        #[test]
        fn a_row_is_the_number_of_cuts_at_or_below(cuts in ordinals(), others in ordinals()) {
            let coded = Cuts::new(&cuts);
            prop_assert_eq!(coded.decode(), cuts.clone());
            let around = cuts.iter().flat_map(|c| [c - 1, *c, c.saturating_add(1)]);
            for ordinal in around.chain(others).chain([0, u64::MAX]) {
                let expected = cuts.iter().filter(|cut| **cut <= ordinal).count();
                prop_assert_eq!(coded.row(ordinal), expected, "{} in {:?}", ordinal, coded);
            }
        }
    }

    #[test]
    fn ages_take_two_bytes_each() {
        let ages: Option<Vec<u64>> = (18..90).map(|age| of_number(age.into())).collect();
        assert!(matches!(
            Cuts::new(&ages.unwrap_or_default()),
            Cuts::Near { .. }
        ));
    }
}
