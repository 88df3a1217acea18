//! When a delivery that failed is tried again. Pure arithmetic: the clock and the
//! chance are given by the caller.

/// Exponential backoff with jitter and an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    pub attempts_max: i32,
    /// Before the second attempt, without jitter.
    pub delay_ms_min: i64,
    /// No delay is longer.
    pub delay_ms_max: i64,
}

/// What becomes of a message after an attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again at this time, in milliseconds.
    At(i64),
    GiveUp,
}

impl RetryPolicy {
    /// `attempt_count` attempts have been made, the last one failed at `now_ms` for a
    /// reason that may pass. `chance` is in 0..1.
    pub fn after_failure(&self, attempt_count: i32, now_ms: i64, chance: f64) -> Next {
        if attempt_count >= self.attempts_max {
            return Next::GiveUp;
        }
        Next::At(now_ms.saturating_add(self.delay_ms(attempt_count, chance)))
    }

    /// Half of the delay is fixed and half is left to chance: messages that failed
    /// together, because a server was down, do not come back together, and none comes
    /// back at once.
    fn delay_ms(&self, attempt_count: i32, chance: f64) -> i64 {
        let doublings = attempt_count.saturating_sub(1).clamp(0, 40) as u32;
        let full = self
            .delay_ms_min
            .saturating_mul(1 << doublings)
            .clamp(0, self.delay_ms_max);
        let half = full / 2;
        half + ((full - half) as f64 * chance.clamp(0.0, 1.0)) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        attempts_max: 5,
        delay_ms_min: 1_000,
        delay_ms_max: 6_000,
    };

    #[test]
    fn delays_double_up_to_the_limit_and_then_it_ends() {
        for (attempt_count, expected) in [
            (1, Next::At(1_000)),
            (2, Next::At(2_000)),
            (3, Next::At(4_000)),
            (4, Next::At(6_000)),
            (5, Next::GiveUp),
            (6, Next::GiveUp),
        ] {
            assert_eq!(POLICY.after_failure(attempt_count, 0, 1.0), expected);
        }
    }

    #[test]
    fn chance_moves_a_delay_within_its_upper_half() {
        assert_eq!(POLICY.after_failure(2, 10, 0.0), Next::At(1_010));
        assert_eq!(POLICY.after_failure(2, 10, 0.5), Next::At(1_510));
    }

    #[test]
    fn many_attempts_do_not_overflow() {
        let patient = RetryPolicy {
            attempts_max: i32::MAX,
            delay_ms_min: i64::MAX / 2,
            delay_ms_max: i64::MAX,
        };
        assert!(matches!(
            patient.after_failure(1_000_000, i64::MAX, 1.0),
            Next::At(i64::MAX)
        ));
    }
}
