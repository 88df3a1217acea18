//! Times and durations that move evenly with the clock: what becomes of them when they
//! are added and subtracted, and after how many milliseconds they meet, leave a span, or
//! leave the range that values have. Whole numbers throughout; nothing rounds.

use std::ops::RangeInclusive;

use crate::{
    functions::PartSpan,
    node::{Comparison, Operator},
    value::{DURATION_MS_MAX, TIME_MS_RANGE, Value, parse_time},
};

/// Differences of times, in milliseconds: 64 bits of nanoseconds.
const BETWEEN_MS_MAX: i64 = i64::MAX / 1_000_000;
const DURATIONS: RangeInclusive<i64> = -DURATION_MS_MAX..=DURATION_MS_MAX;

/// A time or a duration that moves with the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub kind: LineKind,
    /// As it is now.
    pub ms: i64,
    /// By how much it grows in a millisecond.
    pub slope: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineKind {
    Time,
    Duration,
}

/// A line that may be out of the range of its values, where it is missing.
pub(super) struct Ranged {
    kind: LineKind,
    ms: i128,
    slope: i128,
    range: RangeInclusive<i64>,
}

impl Line {
    pub fn value(self) -> Value<'static> {
        match self.kind {
            LineKind::Time => Value::Time(self.ms),
            LineKind::Duration => Value::Duration(self.ms),
        }
    }

    /// A value beside a line; a text is a time beside times.
    pub fn of(value: &Value<'_>, beside: LineKind) -> Option<Self> {
        let (kind, ms) = match value {
            Value::Time(ms) => (LineKind::Time, *ms),
            Value::Duration(ms) => (LineKind::Duration, *ms),
            Value::Text(text) if beside == LineKind::Time => (LineKind::Time, parse_time(text)?),
            _ => return None,
        };
        Some(Self { kind, ms, slope: 0 })
    }

    /// What an operator makes of two; None where they do not go together.
    pub fn reckon(operator: Operator, a: Self, b: Self) -> Option<Ranged> {
        use LineKind::{Duration, Time};
        let (kind, range) = match (operator, a.kind, b.kind) {
            (Operator::Add, Time, Duration) | (Operator::Add, Duration, Time) => {
                (Time, TIME_MS_RANGE)
            }
            (Operator::Subtract, Time, Duration) => (Time, TIME_MS_RANGE),
            (Operator::Subtract, Time, Time) => (Duration, -BETWEEN_MS_MAX..=BETWEEN_MS_MAX),
            (Operator::Add | Operator::Subtract, Duration, Duration) => (Duration, DURATIONS),
            _ => return None,
        };
        let times = if operator == Operator::Add { 1 } else { -1 };
        Some(Ranged {
            kind,
            ms: i128::from(a.ms) + times * i128::from(b.ms),
            slope: i128::from(a.slope) + times * i128::from(b.slope),
            range,
        })
    }

    /// None for a time.
    pub fn negated(self) -> Option<Ranged> {
        (self.kind == LineKind::Duration).then(|| Ranged {
            kind: self.kind,
            ms: -i128::from(self.ms),
            slope: -i128::from(self.slope),
            range: DURATIONS,
        })
    }

    /// After how many milliseconds a comparison with another line turns.
    pub fn turns_after(self, comparison: Comparison, other: Self) -> Option<i128> {
        let distance = i128::from(self.ms) - i128::from(other.ms);
        let slope = i128::from(self.slope) - i128::from(other.slope);
        if slope == 0 {
            return None;
        }
        let holds = |after_ms: i128| {
            let order = (distance + slope * after_ms).cmp(&0);
            match comparison {
                Comparison::Equal => order.is_eq(),
                Comparison::NotEqual => order.is_ne(),
                Comparison::Less => order.is_lt(),
                Comparison::LessOrEqual => order.is_le(),
                Comparison::Greater => order.is_gt(),
                Comparison::GreaterOrEqual => order.is_ge(),
            }
        };
        // They meet in the first of these milliseconds or just before it.
        let meeting = ceil_div(-distance, slope);
        [meeting, meeting + 1]
            .into_iter()
            .find(|after_ms| *after_ms > 0 && holds(*after_ms) != holds(0))
    }

    /// After how many milliseconds it is no longer in a span.
    pub fn leaves_after(self, span: PartSpan) -> Option<i128> {
        let (ms, slope) = (i128::from(self.ms), i128::from(self.slope));
        let after_ms = match slope {
            0 => return None,
            1.. => ceil_div(i128::from(span.end_ms) - ms, slope),
            _ => (ms - i128::from(span.start_ms)).div_euclid(-slope) + 1,
        };
        Some(after_ms.max(1))
    }
}

impl Ranged {
    /// None while it is out of its range.
    pub fn line(&self) -> Option<Line> {
        let ms = i64::try_from(self.ms).ok()?;
        self.range.contains(&ms).then_some(Line {
            kind: self.kind,
            ms,
            slope: i64::try_from(self.slope).ok()?,
        })
    }

    /// After how many milliseconds it leaves its range, or comes into it.
    pub fn crosses_after(&self) -> Option<i128> {
        let (low, high) = (
            i128::from(*self.range.start()),
            i128::from(*self.range.end()),
        );
        let (ms, slope) = (self.ms, self.slope);
        match slope {
            0 => None,
            _ if ms < low => (slope > 0).then(|| ceil_div(low - ms, slope)),
            _ if ms > high => (slope < 0).then(|| ceil_div(high - ms, slope)),
            1.. => Some((high - ms).div_euclid(slope) + 1),
            _ => Some((ms - low).div_euclid(-slope) + 1),
        }
    }
}

/// Rounded up; `by` is not zero.
fn ceil_div(of: i128, by: i128) -> i128 {
    let (of, by) = if by < 0 { (-of, -by) } else { (of, by) };
    -(-of).div_euclid(by)
}
