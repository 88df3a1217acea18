//! All keys, in memory, because every call asks. Read from the database when their
//! version changed: at once after a change here, within seconds after one elsewhere,
//! and when a key is shown that is not known yet. Never asks the database for a key
//! that is known.

use std::{collections::HashMap, num::NonZeroU32, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use attune_errors::Fault;
use attune_rpc::{Actor, Slept, Tasks, Workspace};
use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use tokio::sync::Mutex;

use crate::{
    domain::key::{KeyHash, Scopes},
    store::{Store, StoredKey},
};

/// Who a call is from, as its key says.
#[derive(Debug)]
pub struct Principal {
    pub workspace: Workspace,
    /// The key, by its id.
    pub actor: Actor,
    pub scopes: Scopes,
    rate: u32,
    limiter: Option<DefaultDirectRateLimiter>,
}

/// Why a key does not open the door.
#[derive(Debug)]
pub enum Refusal {
    /// No key in memory; it may be newer than what is there.
    Unknown(KeyHash),
    Final(Fault),
}

#[derive(Default)]
struct Keys {
    version: i64,
    by_hash: HashMap<KeyHash, Arc<Principal>>,
}

pub struct Keyring {
    store: Store,
    keys: ArcSwap<Keys>,
    /// Held while reading, so that many unknown keys cost one read at a time.
    reading: Mutex<()>,
    /// Bounds what strangers with made-up keys can cost.
    unknown: DefaultDirectRateLimiter,
    rate_default: u32,
    clock: DefaultClock,
}

impl Keyring {
    /// How often a key that is not known may make us look into the database.
    const UNKNOWN_PER_SECOND: NonZeroU32 = NonZeroU32::new(20).unwrap(); // A constant: 20 is not 0, or this would not compile.

    pub async fn open(store: Store, rate_default: u32) -> Result<Self, attune_storage::Error> {
        let keyring = Self {
            store,
            keys: ArcSwap::default(),
            reading: Mutex::new(()),
            unknown: RateLimiter::direct(Quota::per_second(Self::UNKNOWN_PER_SECOND)),
            rate_default,
            clock: DefaultClock::default(),
        };
        keyring.read().await?;
        Ok(keyring)
    }

    /// The key's principal, if it is known and within its rate.
    pub fn admit(&self, secret: &str) -> Result<Arc<Principal>, Refusal> {
        let hash = KeyHash::of(secret);
        self.admit_hash(hash)
    }

    fn admit_hash(&self, hash: KeyHash) -> Result<Arc<Principal>, Refusal> {
        let Some(principal) = self.keys.load().by_hash.get(&hash).cloned() else {
            return Err(Refusal::Unknown(hash));
        };
        if let Some(limiter) = &principal.limiter
            && let Err(not_until) = limiter.check()
        {
            let wait = not_until.wait_time_from(self.clock.now());
            return Err(Refusal::Final(Fault::rate_limited(wait)));
        }
        Ok(principal)
    }

    /// As [`Keyring::admit`] for a key that was not known, after looking whether it is
    /// now.
    pub async fn admit_after_refresh(&self, hash: KeyHash) -> Result<Arc<Principal>, Fault> {
        if self.unknown.check().is_ok()
            && let Err(error) = self.refresh().await
        {
            // A key may be good and still not be known: never tell that it is invalid.
            return Err(error.to_fault("gateway", ""));
        }
        self.admit_hash(hash).map_err(|refusal| match refusal {
            Refusal::Unknown(_) => Fault::key_invalid(),
            Refusal::Final(fault) => fault,
        })
    }

    /// Reads the keys again if any changed.
    pub async fn refresh(&self) -> Result<(), attune_storage::Error> {
        if self.store.key_version().await? == self.keys.load().version {
            return Ok(());
        }
        self.read().await
    }

    async fn read(&self) -> Result<(), attune_storage::Error> {
        let _reading = self.reading.lock().await;
        // The version first: a change in between is read again rather than missed.
        let version = self.store.key_version().await?;
        let stored = self.store.all_keys().await?;
        let before = self.keys.load_full();
        let by_hash = stored
            .into_iter()
            .filter_map(|key| {
                let hash = key.hash;
                let principal = self.principal(key, before.by_hash.get(&hash))?;
                Some((hash, principal))
            })
            .collect();
        self.keys.store(Arc::new(Keys { version, by_hash }));
        Ok(())
    }

    /// A key whose limit did not change keeps what it has used of it.
    fn principal(&self, key: StoredKey, before: Option<&Arc<Principal>>) -> Option<Arc<Principal>> {
        let rate = match key.requests_per_second_max {
            0 => self.rate_default,
            own => own,
        };
        let workspace = Workspace::new(&key.workspace).ok()?;
        let actor = Actor::key(&key.api_key_id).ok()?;
        let unchanged = before.filter(|p| {
            p.rate == rate && p.scopes == key.scopes && p.workspace == workspace && p.actor == actor
        });
        if let Some(unchanged) = unchanged {
            return Some(unchanged.clone());
        }
        Some(Arc::new(Principal {
            workspace,
            actor,
            scopes: key.scopes,
            rate,
            limiter: NonZeroU32::new(rate).map(|r| RateLimiter::direct(Quota::per_second(r))),
        }))
    }

    /// Follows changes by other replicas. A database that is down leaves the keys as
    /// they are.
    pub fn follow(self: &Arc<Self>, tasks: &Tasks, every: Duration) {
        let (keyring, stop) = (self.clone(), tasks.clone());
        tasks.spawn("gateway keys", async move {
            while stop.sleep(every).await == Slept::Through {
                if let Err(error) = keyring.refresh().await {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "keys could not be read again");
                }
            }
        });
    }
}
