//! A caller's deadline, spent in slices: every hop gets a share of what is left, so
//! that a slow one costs its part of the answer and never the answer.

use std::time::{Duration, Instant};

/// Shares of what is left when a hop begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    pub ingest: f64,
    pub profile: f64,
    pub decide: f64,
    pub catalog: f64,
    pub messaging: f64,
}

/// The time that one answer may take.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    end: Instant,
}

impl Budget {
    /// Keeps a twentieth back, at most this, to compose and send the answer in.
    const RESERVE_MAX: Duration = Duration::from_millis(50);

    pub fn new(now: Instant, deadline: Option<Instant>, default: Duration) -> Self {
        let deadline = deadline.unwrap_or(now + default);
        let total = deadline.saturating_duration_since(now);
        let reserve = (total / 20).min(Self::RESERVE_MAX);
        Self {
            end: deadline.checked_sub(reserve).unwrap_or(deadline),
        }
    }

    /// How long the next hop may take.
    pub fn slice(&self, now: Instant, share: f64) -> Duration {
        self.end
            .saturating_duration_since(now)
            .mul_f64(share.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn slices_shrink_with_the_time_that_is_left() {
        let start = Instant::now();
        let budget = Budget::new(start, Some(start + MS(1000)), MS(9999));
        assert_eq!(budget.slice(start, 0.5), MS(475));
        assert_eq!(budget.slice(start + MS(450), 0.5), MS(250));
        assert_eq!(budget.slice(start + MS(2000), 0.5), Duration::ZERO);
    }

    #[test]
    fn a_caller_without_a_deadline_gets_the_default() {
        let start = Instant::now();
        let budget = Budget::new(start, None, MS(100));
        assert_eq!(budget.slice(start, 1.0), MS(95));
    }

    #[test]
    fn a_deadline_in_the_past_leaves_nothing() {
        let now = Instant::now() + MS(10);
        let budget = Budget::new(now, Some(now - MS(5)), MS(100));
        assert_eq!(budget.slice(now, 1.0), Duration::ZERO);
    }
}
