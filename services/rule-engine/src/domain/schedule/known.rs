//! The span in which a schedule's answer is known not to change, in one atomic word, so
//! that readers neither wait nor see half of it.

use std::sync::atomic::{AtomicU64, Ordering};

const MINUTE_MS: i64 = 60_000;
const IS_OPEN: u64 = 1;
const LENGTH_BITS: u32 = 32;
const START_BITS: u32 = 31;

/// An answer and from when until when it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub start_ms: i64,
    pub end_ms: i64,
    pub is_open: bool,
}

/// A [`Span`] in whole minutes: 31 bits of start since the epoch, 32 bits of length and
/// the answer. What does not fit, before 1970 or after the year 6000, is not remembered.
#[derive(Debug, Default)]
pub(super) struct Known(AtomicU64);

impl Known {
    pub fn at(&self, now_ms: i64) -> Option<bool> {
        let word = self.0.load(Ordering::Relaxed);
        let length = (word >> 1 & ((1 << LENGTH_BITS) - 1)) as i64;
        let start = (word >> (1 + LENGTH_BITS)) as i64;
        let since_ms = now_ms - start * MINUTE_MS;
        (0..length * MINUTE_MS)
            .contains(&since_ms)
            .then_some(word & IS_OPEN != 0)
    }

    /// Rounded inwards, for some clocks once ran off by seconds.
    pub fn remember(&self, span: &Span) {
        let start = span.start_ms.div_euclid(MINUTE_MS)
            + i64::from(span.start_ms.rem_euclid(MINUTE_MS) != 0);
        let end = span.end_ms.div_euclid(MINUTE_MS);
        let length = end - start;
        if !(0..1 << START_BITS).contains(&start) || !(1..1 << LENGTH_BITS).contains(&length) {
            return;
        }
        let word = (start as u64) << (1 + LENGTH_BITS) | (length as u64) << 1;
        let word = word | u64::from(span.is_open);
        self.0.store(word, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_minutes_within_the_span_are_known() {
        let known = Known::default();
        assert_eq!(known.at(0), None);
        known.remember(&Span {
            start_ms: MINUTE_MS + 1,
            end_ms: 4 * MINUTE_MS - 1,
            is_open: true,
        });
        let asked = [
            2 * MINUTE_MS - 1,
            2 * MINUTE_MS,
            3 * MINUTE_MS - 1,
            3 * MINUTE_MS,
        ];
        assert_eq!(
            asked.map(|ms| known.at(ms)),
            [None, Some(true), Some(true), None]
        );
        known.remember(&Span {
            start_ms: -MINUTE_MS,
            end_ms: MINUTE_MS,
            is_open: false,
        });
        assert_eq!(known.at(0), None);
    }
}
