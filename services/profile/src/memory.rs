//! Profiles in use, held as what their readers want: encoded snapshots, packed, found by
//! hash.
//! Bounded by weight. The database is the truth; nothing is held here that it does not
//! say, which the generations guarantee: whoever wants to keep what was read takes the
//! generation before reading, and it is kept only if nothing was written since.

use std::sync::Arc;

use parking_lot::Mutex;
use quick_cache::{Weighter, sync::Cache};
use rustc_hash::FxHashMap;
use uuid::Uuid;

use crate::{
    config::Config,
    domain::{Identity, Owner, ProfileId, merge::Between, purposes::Learning, standing::Standing},
    packed::PackedSnapshot,
};

/// What an entry takes besides its snapshot: key, value, slot and table.
const IDENTITY_BYTES: u64 = 128;
const PROFILE_BYTES: u64 = 296;
const SHARDS: usize = 4096;

/// Where something is held; a keyed hash, so that neither identifiers nor workspaces
/// are, and so that one workspace's key is never another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u128);

impl Key {
    /// One of `count` places, the same for the same key.
    pub fn shard(self, count: usize) -> usize {
        // The low bits of a hash are as good as any.
        (self.0 as usize) % count
    }
}

/// A living profile in use.
#[derive(Debug, Clone, PartialEq)]
pub struct Hot {
    pub standing: Standing,
    /// Whether what the person does may be learned from.
    pub learning: Learning,
    /// Absent where only writers asked so far.
    pub snapshot: Option<PackedSnapshot>,
    /// The same for where the person asked from last, where more is allowed there.
    pub elsewhere: Option<Box<PackedSnapshot>>,
}

/// How often anything near a key was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation(u64);

/// What was held when a write was decided, before its commit.
#[derive(Debug, Clone)]
pub struct Noted {
    pub key: Key,
    pub hot: Option<Arc<Hot>>,
    generation: Generation,
}

/// Bytes that an entry takes, the cache's own included.
#[derive(Debug, Clone, Copy)]
struct Bytes;

impl Weighter<Key, Option<Owner>> for Bytes {
    fn weight(&self, _: &Key, _: &Option<Owner>) -> u64 {
        IDENTITY_BYTES
    }
}

impl Weighter<Key, Arc<Hot>> for Bytes {
    fn weight(&self, _: &Key, hot: &Arc<Hot>) -> u64 {
        let elsewhere = hot.elsewhere.as_deref();
        let held = hot.snapshot.iter().chain(elsewhere);
        let snapshots: usize = held.map(PackedSnapshot::weight).sum();
        PROFILE_BYTES + snapshots as u64
    }
}

pub struct Memory {
    secret: [u8; 32],
    identities: Cache<Key, Option<Owner>, Bytes>,
    profiles: Cache<Key, Arc<Hot>, Bytes>,
    shards: Box<[Mutex<u64>]>,
}

impl Memory {
    pub fn new(config: &Config) -> Self {
        let secret =
            *blake3::hash(&[Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat())
                .as_bytes();
        let (identities, profiles) = (
            config.hot_identities_mib << 20,
            config.hot_profiles_mib << 20,
        );
        let identities =
            Cache::with_weighter((identities / IDENTITY_BYTES) as usize, identities, Bytes);
        // A profile in use takes 2 KiB; the estimate only sizes the first table.
        let profiles = Cache::with_weighter((profiles / 2048) as usize, profiles, Bytes);
        Self {
            secret,
            identities,
            profiles,
            shards: (0..SHARDS).map(|_| Mutex::new(0)).collect(),
        }
    }

    pub fn identity_key(&self, workspace: &str, identity: &Identity) -> Key {
        self.key(workspace, identity.key().as_bytes())
    }

    pub fn profile_key(&self, workspace: &str, profile_id: ProfileId) -> Key {
        self.key(workspace, profile_id.as_bytes())
    }

    /// Of two profiles together.
    pub fn pair_key(&self, workspace: &str, pair: Between) -> Key {
        let both = [*pair.one.as_bytes(), *pair.other.as_bytes()];
        self.key(workspace, both.as_flattened())
    }

    fn key(&self, workspace: &str, rest: &[u8]) -> Key {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        // A workspace's name holds no zero, so the two cannot run into each other.
        hasher
            .update(workspace.as_bytes())
            .update(&[0])
            .update(rest);
        let mut half = [0; 16];
        half.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Key(u128::from_le_bytes(half))
    }

    /// Whose an identifier is, or that it is nobody's. Where other processes write too,
    /// its owner may be part of somebody else by now, or of nobody.
    pub fn owner(&self, key: Key) -> Option<Option<Owner>> {
        self.identities.get(&key)
    }

    /// A living profile.
    pub fn profile(&self, key: Key) -> Option<Arc<Hot>> {
        self.profiles.get(&key)
    }

    pub fn generation(&self, key: Key) -> Generation {
        Generation(*self.shard(key).lock())
    }

    /// Keeps a profile read from the database, unless it was written since.
    pub fn keep_profile(&self, key: Key, read_at: Generation, hot: Arc<Hot>) {
        let generation = self.shard(key).lock();
        if Generation(*generation) == read_at {
            self.profiles.insert(key, hot);
        }
    }

    /// Keeps whose an identifier is, unless that was written since.
    pub fn keep_owner(&self, key: Key, read_at: Generation, owner: Option<Owner>) {
        let generation = self.shard(key).lock();
        if Generation(*generation) == read_at {
            self.identities.insert(key, owner);
        }
    }

    /// Before a commit: whatever is being read now will not be kept.
    pub fn note(&self, keys: &[Key]) -> Vec<Noted> {
        for key in keys {
            *self.shard(*key).lock() += 1;
        }
        keys.iter()
            .map(|key| {
                let generation = self.shard(*key).lock();
                Noted {
                    key: *key,
                    hot: self.profiles.get(key),
                    generation: Generation(*generation),
                }
            })
            .collect()
    }

    /// After a commit: replaces what was noted by what is now true. None forgets, as
    /// does a profile that somebody else wrote or loaded in between.
    pub fn replace(&self, changes: impl Iterator<Item = (Noted, Option<Arc<Hot>>)>) {
        let mut own: FxHashMap<usize, u64> = FxHashMap::default();
        for (noted, hot) in changes {
            let own = own.entry(Self::index(noted.key)).or_default();
            let mut generation = self.shard(noted.key).lock();
            let untouched = *generation == noted.generation.0 + *own;
            let held = self.profiles.get(&noted.key);
            let same = match (&held, &noted.hot) {
                (None, _) => true,
                (Some(held), Some(noted)) => Arc::ptr_eq(held, noted),
                (Some(_), None) => false,
            };
            match hot {
                Some(hot) if untouched && same => self.profiles.insert(noted.key, hot),
                _ => drop(self.profiles.remove(&noted.key)),
            }
            *generation += 1;
            *own += 1;
        }
    }

    /// After a commit: whose an identifier is now.
    pub fn set_owner(&self, key: Key, owner: Owner) {
        let mut generation = self.shard(key).lock();
        *generation += 1;
        self.identities.insert(key, Some(owner));
    }

    /// Somebody else may have changed whose identifiers are.
    pub fn forget_owners(&self) {
        for shard in &self.shards {
            *shard.lock() += 1;
        }
        self.identities.clear();
    }

    /// Whose an identifier was remembered to be is nobody any more.
    pub fn forget_owner(&self, key: Key) {
        let mut generation = self.shard(key).lock();
        *generation += 1;
        self.identities.remove(&key);
    }

    /// Somebody else wrote this profile.
    pub fn forget_profile(&self, key: Key) {
        let mut generation = self.shard(key).lock();
        *generation += 1;
        self.profiles.remove(&key);
    }

    /// Somebody else may have written anything.
    pub fn forget_all(&self) {
        for shard in &self.shards {
            *shard.lock() += 1;
        }
        self.profiles.clear();
        self.identities.clear();
    }

    fn shard(&self, key: Key) -> &Mutex<u64> {
        &self.shards[Self::index(key)]
    }

    fn index(key: Key) -> usize {
        key.shard(SHARDS)
    }
}
