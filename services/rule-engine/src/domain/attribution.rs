//! Which outcomes are put down to a decision, and for how long its tokens are taken.
//! Goes by the decision's time, which its id tells. Knows nothing of how outcomes are
//! stored or counted.

use uuid::Uuid;

const HOUR_MS: i64 = 3_600_000;

/// What people do with a slot; the contract's `OutcomeType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Exposure = 1,
    Click = 2,
    Dismissal = 3,
    Conversion = 4,
}

impl Kind {
    pub fn of_number(number: i32) -> Option<Self> {
        [
            Self::Exposure,
            Self::Click,
            Self::Dismissal,
            Self::Conversion,
        ]
        .into_iter()
        .find(|kind| *kind as i32 == number)
    }
}

/// How long after a decision what happens is its doing.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    pub click_ms: i64,
    pub conversion_ms: i64,
    /// How long beyond the longer of the two outcomes are still taken.
    pub grace_ms: i64,
}

impl Windows {
    pub fn of_hours(click: u32, conversion: u32, grace: u32) -> Self {
        let ms = |hours: u32| i64::from(hours) * HOUR_MS;
        Self {
            click_ms: ms(click),
            conversion_ms: ms(conversion),
            grace_ms: ms(grace),
        }
    }

    /// Whether an outcome of this time is counted. A sender whose clock is behind may
    /// tell a time before the decision; it cannot have been later than it was.
    pub fn attribute(self, kind: Kind, decision_ms: i64, time_ms: i64) -> bool {
        let window_ms = match kind {
            Kind::Exposure | Kind::Click | Kind::Dismissal => self.click_ms,
            Kind::Conversion => self.conversion_ms,
        };
        time_ms.saturating_sub(decision_ms) <= window_ms
    }

    /// Whether nothing more is taken for a decision.
    pub fn are_over(self, decision_ms: i64, now_ms: i64) -> bool {
        let longest_ms = self.click_ms.max(self.conversion_ms);
        now_ms.saturating_sub(decision_ms) > longest_ms.saturating_add(self.grace_ms)
    }
}

/// When a decision was made: the first 48 bits of its id (a UUID of version 7).
pub fn decision_ms(id: Uuid) -> i64 {
    (id.as_u128() >> 80) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_window() {
        let windows = Windows::of_hours(24, 168, 10);
        let rows = [
            (Kind::Click, 0, true),
            (Kind::Click, 24, true),
            (Kind::Click, 25, false),
            (Kind::Exposure, 25, false),
            (Kind::Dismissal, 25, false),
            (Kind::Conversion, 25, true),
            (Kind::Conversion, 168, true),
            (Kind::Conversion, 169, false),
            (Kind::Click, -5, true),
        ];
        for (kind, hours, expected) in rows {
            let attributed = windows.attribute(kind, 0, hours * HOUR_MS);
            assert_eq!(attributed, expected, "{kind:?} after {hours} h");
        }
        assert!(!windows.are_over(0, 178 * HOUR_MS));
        assert!(windows.are_over(0, 178 * HOUR_MS + 1));
    }

    #[test]
    fn a_decision_tells_its_time() {
        let id = uuid::Builder::from_unix_timestamp_millis(1_700_000_000_123, &[0xff; 10]);
        assert_eq!(decision_ms(id.into_uuid()), 1_700_000_000_123);
    }
}
