//! Lets something through about once a second for each key, in a fixed amount of
//! memory and without a lock: every answer passes here. Keys that share a place let
//! each other through more often, never less.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

/// A name made short: 128 bits under keys of this process, which nobody can make meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u64, u64);

/// Makes keys.
#[derive(Default)]
pub struct Keys(RandomState, RandomState);

impl Keys {
    pub fn of(&self, name: impl Hash) -> Key {
        Key(self.0.hash_one(&name), self.1.hash_one(&name))
    }
}

/// Remembers which keys were let through this second.
pub struct OncePerSecond {
    /// 32 bits of the key and the second, together.
    places: Box<[AtomicU64]>,
    start: Instant,
}

impl OncePerSecond {
    const PLACES: usize = 1 << 15;

    pub fn new() -> Self {
        Self {
            places: (0..Self::PLACES).map(|_| AtomicU64::new(0)).collect(),
            start: Instant::now(),
        }
    }

    /// True for the first to ask in a second.
    pub fn admits(&self, key: Key) -> bool {
        self.admits_at(key, self.start.elapsed().as_secs())
    }

    fn admits_at(&self, key: Key, second: u64) -> bool {
        // Zero is the state of a place that nobody had.
        let mark = (key.1 << 32) | ((second + 1) & u64::from(u32::MAX));
        // Always a place, since there is a power of two of them.
        let place = &self.places[key.0 as usize & (Self::PLACES - 1)];
        if place.load(Ordering::Relaxed) == mark {
            return false;
        }
        place.store(mark, Ordering::Relaxed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_let_through_once_a_second() {
        let keys = Keys::default();
        let (one, other) = (keys.of(("a", "b")), keys.of(("ab", "")));
        assert_ne!(one, other);
        let once = OncePerSecond::new();
        let admitted = [(one, 0), (one, 0), (other, 0), (one, 1), (one, 1)]
            .map(|(key, second)| once.admits_at(key, second));
        assert_eq!(admitted, [true, false, true, true, false]);
    }
}
