//! Sums of doubles that do not depend on the order of what is added, within the money
//! and quantities of one person: 106 bits instead of 53. Knows nothing of events.

/// A sum as two doubles, the second what the first cannot hold (T. J. Dekker, "A
/// floating-point technique for extending the available precision", 1971).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sum {
    high: f64,
    low: f64,
}

impl Sum {
    #[must_use]
    pub fn plus(self, number: f64) -> Self {
        let (sum, error) = two_sum(self.high, number);
        Self::normal(sum, error + self.low)
    }

    /// What was added since this was `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        let (sum, error) = two_sum(self.high, -earlier.high);
        let (low, low_error) = two_sum(self.low, -earlier.low);
        let first = Self::normal(sum, error + low);
        Self::normal(first.high, first.low + low_error)
    }

    pub fn value(self) -> f64 {
        self.high + self.low
    }

    fn normal(high: f64, low: f64) -> Self {
        // Beyond the range of doubles there is no error term.
        if !high.is_finite() {
            return Self { high, low: 0.0 };
        }
        let sum = high + low;
        Self {
            high: sum,
            low: low - (sum - high),
        }
    }
}

/// The rounded sum and what rounding lost (Knuth, TAOCP 2, 4.2.2).
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let of_b = sum - a;
    let of_a = sum - of_b;
    (sum, (a - of_a) + (b - of_b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_part_of_a_sum_is_what_its_own_numbers_come_to(
            cents in prop::collection::vec(-1_000_000_i64..1_000_000_000, 0..60),
            at in 0_usize..60,
        ) {
            let numbers: Vec<f64> = cents.iter().map(|c| *c as f64 / 100.0).collect();
            let at = at.min(numbers.len());
            let sum = |numbers: &[f64]| numbers.iter().fold(Sum::default(), |s, n| s.plus(*n));
            let backwards = numbers[at..].iter().rev().fold(Sum::default(), |s, n| s.plus(*n));
            let part = sum(&numbers).since(sum(&numbers[..at]));
            prop_assert_eq!(part.value(), sum(&numbers[at..]).value());
            prop_assert_eq!(part.value(), backwards.value());
        }
    }

    #[test]
    fn what_overflows_is_infinite() {
        assert_eq!(
            Sum::default().plus(f64::MAX).plus(f64::MAX).value(),
            f64::INFINITY
        );
    }
}
