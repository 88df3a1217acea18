//! The chain of audit entries: each holds the hash of the one before it, so that none
//! can be changed, dropped or put in later without all that follow telling so. Knows how
//! an entry is hashed and how a chain is followed; never where it is kept.

/// BLAKE3.
pub type Hash = [u8; blake3::OUT_LEN];

/// Parts this use of BLAKE3 from every other.
const CONTEXT: &str = "attune.dev profile audit entry v1";

/// What an entry says. No personal values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    pub time_ms: i64,
    pub actor: String,
    pub action: String,
    /// Empty where many were seen.
    pub profile_id: String,
    pub request_id: String,
    pub detail: String,
}

/// An access in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub sequence: i64,
    pub access: Access,
    pub hash: Hash,
}

/// A chain up to one of its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// 0 before the first entry.
    pub sequence: i64,
    pub hash: Hash,
}

impl Link {
    /// Before the first entry.
    pub const ORIGIN: Self = Self {
        sequence: 0,
        hash: [0; blake3::OUT_LEN],
    };

    /// The entry that comes next in the chain of a workspace.
    pub fn next(&self, workspace: &str, access: Access) -> Entry {
        let sequence = self.sequence + 1;
        let hash = self.hash_of(workspace, sequence, &access);
        Entry {
            sequence,
            access,
            hash,
        }
    }

    /// Whether the entry is the one that came next: its number and its hash fit.
    pub fn leads_to(&self, workspace: &str, entry: &Entry) -> bool {
        let sequence = self.sequence + 1;
        entry.sequence == sequence && entry.hash == self.hash_of(workspace, sequence, &entry.access)
    }

    /// Every field with its length before it, so that no two entries are written alike.
    fn hash_of(&self, workspace: &str, sequence: i64, access: &Access) -> Hash {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&self.hash);
        hasher.update(&sequence.to_be_bytes());
        hasher.update(&access.time_ms.to_be_bytes());
        let texts = [
            workspace,
            &access.actor,
            &access.action,
            &access.profile_id,
            &access.request_id,
            &access.detail,
        ];
        for text in texts {
            hasher.update(&(text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

impl From<&Entry> for Link {
    fn from(entry: &Entry) -> Self {
        Self {
            sequence: entry.sequence,
            hash: entry.hash,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "shop";

    fn access(detail: &str) -> Access {
        Access {
            time_ms: 1,
            actor: "key".to_owned(),
            action: "GetProfile".to_owned(),
            profile_id: "p".to_owned(),
            request_id: "r".to_owned(),
            detail: detail.to_owned(),
        }
    }

    fn chain(length: usize) -> Vec<Entry> {
        let mut last = Link::ORIGIN;
        let next = |index: usize| {
            let entry = last.next(SHOP, access(&index.to_string()));
            last = Link::from(&entry);
            entry
        };
        (0..length).map(next).collect()
    }

    /// The first that does not fit.
    fn broken(workspace: &str, chain: &[Entry]) -> Option<i64> {
        let mut last = Link::ORIGIN;
        for entry in chain {
            if !last.leads_to(workspace, entry) {
                return Some(last.sequence + 1);
            }
            last = Link::from(entry);
        }
        None
    }

    #[test]
    fn a_chain_fits_only_as_it_was_made() {
        assert_eq!(broken(SHOP, &chain(5)), None);
        assert_eq!(broken("other", &chain(5)), Some(1));
        type Tamper = fn(&mut Vec<Entry>);
        let rows: [(Tamper, i64); 8] = [
            (|c| c[2].access.time_ms += 1, 3),
            (|c| c[2].access.actor = "other".to_owned(), 3),
            (|c| c[2].access.profile_id.clear(), 3),
            (|c| c[2].access.detail.clear(), 3),
            (|c| c[2].hash[0] ^= 1, 3),
            (|c| drop(c.remove(1)), 2),
            (|c| c.swap(1, 3), 2),
            (
                |c| {
                    let access = c[3].access.clone();
                    c.insert(3, Link::ORIGIN.next(SHOP, access));
                },
                4,
            ),
        ];
        for (number, (tamper, at)) in rows.into_iter().enumerate() {
            let mut chain = chain(5);
            tamper(&mut chain);
            assert_eq!(broken(SHOP, &chain), Some(at), "row {number}");
        }
    }

    #[test]
    fn text_moved_from_one_field_to_the_next_makes_another_hash() {
        let one = Access {
            actor: "ab".to_owned(),
            action: "c".to_owned(),
            ..Access::default()
        };
        let other = Access {
            actor: "a".to_owned(),
            action: "bc".to_owned(),
            ..Access::default()
        };
        let hash = |access| Link::ORIGIN.next(SHOP, access).hash;
        assert_ne!(hash(one), hash(other));
    }
}
