//! Ids of items as 96 bits that stand for them, so that a lookup touches one cell of a
//! table and no string. Never leaves the process: the keys are drawn when it starts.

use std::{
    hash::{Hash, Hasher},
    sync::LazyLock,
};

/// Longer ids are hashed another way: the keys must not be a memory of their own.
const WORDS_MAX: usize = 64;

/// What stands for an id.
///
/// Two ids that differ have the same with a probability of 2⁻⁹⁷, whoever chose them,
/// since nobody knows the keys (multilinear hashing with 128-bit keys over 32-bit words
/// is strongly universal in the upper 97 bits: Lemire and Kaser, "Strongly universal
/// string hashing is fast", 2014). Among ten million ids that is a chance of 10⁻¹⁵ that
/// any two are confused, less than that of memory that fails; ids are not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdHash([u32; 3]);

impl Hash for IdHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.0[0]) << 32 | u64::from(self.0[1]));
    }
}

impl IdHash {
    pub fn of(id: &str) -> Self {
        static KEYS: LazyLock<Keys> = LazyLock::new(Keys::draw);
        KEYS.hash(id.as_bytes())
    }
}

struct Keys {
    words: [u128; WORDS_MAX],
    start: u128,
    length: u128,
    long: [u8; 32],
}

impl Keys {
    fn draw() -> Self {
        Self {
            words: std::array::from_fn(|_| rand::random()),
            start: rand::random(),
            length: rand::random(),
            long: rand::random(),
        }
    }

    fn hash(&self, id: &[u8]) -> IdHash {
        if id.len() > 4 * WORDS_MAX {
            return self.hash_long(id);
        }
        // The length, for a last word that is filled up with zeros.
        let mut sum = product(self.length, id.len() as u32).wrapping_add(self.start);
        let (words, rest) = id.as_chunks::<4>();
        let mut keys = self.words.iter();
        for (word, key) in words.iter().zip(&mut keys) {
            sum = sum.wrapping_add(product(*key, u32::from_le_bytes(*word)));
        }
        if let (false, Some(key)) = (rest.is_empty(), keys.next()) {
            let mut word = [0; 4];
            word[..rest.len()].copy_from_slice(rest);
            sum = sum.wrapping_add(product(*key, u32::from_le_bytes(word)));
        }
        IdHash([(sum >> 96) as u32, (sum >> 64) as u32, (sum >> 32) as u32])
    }

    fn hash_long(&self, id: &[u8]) -> IdHash {
        let hash = blake3::keyed_hash(&self.long, id);
        let (words, _) = hash.as_bytes().as_chunks::<4>();
        IdHash([0, 1, 2].map(|at| u32::from_le_bytes(words[at])))
    }
}

fn product(key: u128, word: u32) -> u128 {
    key.wrapping_mul(u128::from(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_that_differ_have_different_hashes_and_equal_ones_the_same() {
        let long = "x".repeat(4 * WORDS_MAX);
        let mut ids: Vec<String> = (0..50_000).map(|n| format!("item-{n}")).collect();
        ids.extend(["", "\0", "\0\0", "abcd", "abcd\0", "abc"].map(str::to_owned));
        ids.extend(
            [&long[1..], &long, &format!("{long}x"), &format!("{long}y")].map(str::to_owned),
        );
        let hashes: HashSet<[u32; 3]> = ids.iter().map(|id| IdHash::of(id).0).collect();
        assert_eq!(hashes.len(), ids.len());
        for id in &ids {
            assert_eq!(IdHash::of(id), IdHash::of(&id.clone()));
        }
    }
}
