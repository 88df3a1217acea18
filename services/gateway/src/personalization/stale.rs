//! The last good answers of peers, bounded in memory and age, for when one is down.
//! Written sparingly: about once a second for each key, since every answer passes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use attune_api::r#type::v1::{Subject, subject::Id};
use attune_rpc::Workspace;
use bytes::Bytes;
use moka::sync::Cache;

use super::{
    Person,
    once::{Key, Keys, OncePerSecond},
    wire,
};
use crate::config;

/// How long a ranking may stand in; merchandisers' changes cannot arrive meanwhile.
const RANKING_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long a longer ranking is kept against a shorter one.
const LONGER_AGE_MAX: Duration = Duration::from_secs(60);

/// A subject of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SubjectKey(Key);

/// A placement of a workspace on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlacementKey(Key);

/// What was shown last, without why: the reasons were another person's.
pub struct LastRanking {
    pub item_ids: Vec<Bytes>,
    pub strategy: Bytes,
    pub template: String,
    since: Instant,
}

pub struct Stale {
    keys: Keys,
    once: OncePerSecond,
    /// Counts how often all people were forgotten.
    generation: AtomicU64,
    people: Cache<SubjectKey, Arc<Person>>,
    rankings: Cache<PlacementKey, Arc<LastRanking>>,
}

impl Stale {
    pub fn new(settings: &config::Personalize) -> Self {
        let people = Cache::builder()
            .max_capacity(settings.stale_snapshot_bytes_max)
            .weigher(|_, person: &Arc<Person>| weight(person))
            .time_to_live(Duration::from_secs(settings.stale_snapshot_age_s_max))
            .build();
        let rankings = Cache::builder()
            .max_capacity(settings.stale_rankings_max)
            .time_to_live(RANKING_AGE_MAX)
            .build();
        Self {
            keys: Keys::default(),
            once: OncePerSecond::new(),
            generation: AtomicU64::new(0),
            people,
            rankings,
        }
    }

    pub fn subject(&self, workspace: &Workspace, subject: &Subject) -> SubjectKey {
        let workspace = workspace.as_str();
        SubjectKey(match &subject.id {
            None => self.keys.of((workspace, 0)),
            Some(Id::ProfileId(id)) => self.keys.of((workspace, 1, id)),
            Some(Id::UserId(id)) => self.keys.of((workspace, 2, id)),
            Some(Id::AnonymousId(id)) => self.keys.of((workspace, 3, id)),
            Some(Id::Identity(id)) => self.keys.of((workspace, 4, &id.namespace, &id.value)),
        })
    }

    pub fn placement(&self, workspace: &Workspace, channel: &str, name: &str) -> PlacementKey {
        PlacementKey(self.keys.of((workspace.as_str(), channel, name)))
    }

    /// To be taken before a person is read, and given back with what was read.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Not if all were forgotten since: what was read may be what was withdrawn. Nor
    /// strangers, of whom there is nothing to remember.
    pub fn remember_person(&self, key: SubjectKey, person: &Person, generation: u64) {
        let known = !person.profile_id.is_empty() && generation == self.generation();
        if known && self.once.admits(key.0) {
            let copy = Person {
                // Of its own: the original may be a part of a larger buffer.
                snapshot: Bytes::copy_from_slice(&person.snapshot),
                ..person.clone()
            };
            self.people.insert(key, Arc::new(copy));
        }
    }

    pub fn person(&self, key: SubjectKey) -> Option<Person> {
        self.people.get(&key).map(|person| Person::clone(&person))
    }

    pub fn forget_profiles(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.people.invalidate_all();
    }

    /// True if it was looked at: about once a second for each placement.
    pub fn remember_ranking(&self, key: PlacementKey, decision: &wire::PlacementDecision) -> bool {
        if decision.slots.is_empty() || !self.once.admits(key.0) {
            return false;
        }
        let longer = |last: Arc<LastRanking>| {
            last.item_ids.len() > decision.slots.len() && last.since.elapsed() < LONGER_AGE_MAX
        };
        if !self.rankings.get(&key).is_some_and(longer) {
            let ids = decision.slots.iter().map(|slot| &slot.item_id);
            let last = LastRanking {
                item_ids: ids.map(|id| Bytes::copy_from_slice(id)).collect(),
                strategy: Bytes::copy_from_slice(&decision.strategy),
                template: decision.template.clone(),
                since: Instant::now(),
            };
            self.rankings.insert(key, Arc::new(last));
        }
        true
    }

    pub fn ranking(&self, key: PlacementKey) -> Option<Arc<LastRanking>> {
        self.rankings.get(&key)
    }
}

fn weight(person: &Person) -> u32 {
    // What the cache and the allocator need for an entry besides.
    const OVERHEAD: usize = 256;
    let segments: usize = person.segments.iter().map(|s| s.len() + 24).sum();
    let bytes = person.snapshot.len() + person.profile_id.len() + segments + OVERHEAD;
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
