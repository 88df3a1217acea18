//! Whether messages are presumed to be new: most are, and then nothing is looked up that
//! the database finds out by itself as it writes them. Where it does find one that it has,
//! nothing of the batch is written, it is looked up after all, and so are some batches
//! after it: who sends again once does so more often. Right either way; only cheaper.

use std::sync::atomic::{AtomicU32, Ordering};

/// Batches that are looked up after one that was presumed to be new and was not. Taken in
/// twice is thus at most one of as many.
const DOUBTED: u32 = 64;

/// Of the one writer of a process.
#[derive(Debug, Default)]
pub struct Presumption(AtomicU32);

impl Presumption {
    /// Whether it holds for the next batch.
    pub fn holds(&self) -> bool {
        let less = |doubted: u32| doubted.checked_sub(1);
        let relaxed = Ordering::Relaxed;
        self.0.fetch_update(relaxed, relaxed, less).is_err()
    }

    pub fn failed(&self) {
        self.0.store(DOUBTED, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_doubted_for_a_while_after_it_failed() {
        let presumption = Presumption::default();
        assert!(presumption.holds() && presumption.holds());
        presumption.failed();
        let doubted = (0..100).take_while(|_| !presumption.holds()).count();
        assert_eq!(doubted, 64);
        assert!(presumption.holds());
    }
}
