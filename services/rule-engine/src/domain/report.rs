//! What decisions led to, in numbers: how outcomes of slots become counts, and counts
//! rates with intervals. Each slot counts once for each kind of outcome, and whoever
//! did something with a slot saw it. Knows nothing of where counts are kept.

use super::attribution::Kind;

/// Of the normal distribution, for 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// Reports are of whole days in UTC.
pub const DAY_MS: i64 = 86_400_000;

/// What is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Measures {
    pub decisions: i64,
    pub exposures: i64,
    pub clicks: i64,
    pub dismissals: i64,
    pub conversions: i64,
    pub revenue: f64,
    /// The sum of the squares of what each slot brought.
    pub revenue_squares: f64,
}

impl Measures {
    pub fn add(&mut self, other: &Self) {
        self.decisions += other.decisions;
        self.exposures += other.exposures;
        self.clicks += other.clicks;
        self.dismissals += other.dismissals;
        self.conversions += other.conversions;
        self.revenue += other.revenue;
        self.revenue_squares += other.revenue_squares;
    }
}

/// What became of one slot so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SlotState {
    /// A bit for each [`Kind`].
    pub seen: i64,
    pub revenue: f64,
}

impl SlotState {
    /// Takes in an outcome and tells what it adds to the counts.
    pub fn take(&mut self, kind: Kind, value: f64) -> Measures {
        let mut added = Measures {
            exposures: self.first(Kind::Exposure),
            ..Measures::default()
        };
        match kind {
            Kind::Exposure => {}
            Kind::Click => added.clicks = self.first(kind),
            Kind::Dismissal => added.dismissals = self.first(kind),
            Kind::Conversion => {
                added.conversions = self.first(kind);
                let before = self.revenue;
                self.revenue += value;
                added.revenue = value;
                added.revenue_squares = self.revenue * self.revenue - before * before;
            }
        }
        added
    }

    /// 1 if this kind is new to the slot.
    fn first(&mut self, kind: Kind) -> i64 {
        let bit = 1 << kind as i64;
        let is_new = self.seen & bit == 0;
        self.seen |= bit;
        is_new.into()
    }
}

/// A rate with its 95 % interval.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Interval {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// A share and its score interval (Wilson 1927, "Probable inference, the law of
/// succession, and statistical inference"); all 0 of nothing.
pub fn share(part: i64, whole: i64) -> Interval {
    if whole <= 0 {
        return Interval::default();
    }
    let (n, p) = (whole as f64, part as f64 / whole as f64);
    let scale = 1.0 / (1.0 + Z * Z / n);
    let centre = scale * (p + Z * Z / (2.0 * n));
    let half = scale * Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    Interval {
        value: p,
        low: (centre - half).max(0.0),
        high: (centre + half).min(1.0),
    }
}

/// A mean and its interval by the normal approximation, from the sum and the sum of
/// squares; of one or none the interval is the value itself, for nothing is known of
/// how it varies.
pub fn mean(sum: f64, squares: f64, count: i64) -> Interval {
    if count <= 0 {
        return Interval::default();
    }
    let n = count as f64;
    let value = sum / n;
    let half = if count == 1 {
        0.0
    } else {
        // Rounding may leave a little less than nothing.
        let variance = ((squares - n * value * value) / (n - 1.0)).max(0.0);
        Z * (variance / n).sqrt()
    };
    Interval {
        value,
        low: value - half,
        high: value + half,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_slot_counts_once_for_each_kind_and_revenue_adds_up() {
        let mut slot = SlotState::default();
        let mut total = Measures::default();
        let outcomes = [
            (Kind::Click, 0.0),
            (Kind::Exposure, 0.0),
            (Kind::Click, 0.0),
            (Kind::Conversion, 30.0),
            (Kind::Conversion, 20.0),
            (Kind::Dismissal, 0.0),
        ];
        for (kind, value) in outcomes {
            total.add(&slot.take(kind, value));
        }
        let expected = Measures {
            decisions: 0,
            exposures: 1,
            clicks: 1,
            dismissals: 1,
            conversions: 1,
            revenue: 50.0,
            revenue_squares: 2500.0,
        };
        assert_eq!(total, expected);
    }

    #[test]
    fn shares_have_the_intervals_of_the_literature() {
        // Newcombe 1998, "Two-sided confidence intervals for the single proportion",
        // table I, method 3.
        let rows = [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ];
        for (part, whole, low, high) in rows {
            let found = share(part, whole);
            let is_near = |a: f64, b: f64| (a - b).abs() < 0.000_05;
            assert!(is_near(found.low, low), "{part}/{whole}: {found:?}");
            assert!(is_near(found.high, high), "{part}/{whole}: {found:?}");
        }
        assert_eq!(share(0, 0), Interval::default());
    }

    #[test]
    fn a_mean_has_the_normal_interval() {
        // 2, 4, 4, 4, 5, 5, 7, 9: mean 5, sample variance 32/7.
        let found = mean(40.0, 232.0, 8);
        let half = Z * (32.0_f64 / 7.0 / 8.0).sqrt();
        assert!((found.value - 5.0).abs() < 1e-12);
        assert!((found.high - 5.0 - half).abs() < 1e-12);
        assert!((5.0 - found.low - half).abs() < 1e-12);
        let one = mean(7.0, 49.0, 1);
        assert_eq!((one.low, one.high), (7.0, 7.0));
    }

    proptest! {
        #[test]
        fn the_order_of_outcomes_changes_no_count(
            outcomes in prop::collection::vec((1..5_i32, 0..100_u8), 0..12),
        ) {
            let count = |outcomes: &mut dyn Iterator<Item = &(i32, u8)>| {
                let mut slot = SlotState::default();
                let mut total = Measures::default();
                for (kind, value) in outcomes {
                    let kind = Kind::of_number(*kind).unwrap();
                    total.add(&slot.take(kind, (*value).into()));
                }
                total
            };
            let forward = count(&mut outcomes.iter());
            prop_assert_eq!(forward, count(&mut outcomes.iter().rev()));
            prop_assert!(forward.exposures <= 1 && forward.clicks <= forward.exposures);
            prop_assert_eq!(forward.exposures == 1, !outcomes.is_empty());
        }
    }
}
