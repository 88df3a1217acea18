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
use quick_cache::{Weighter, sync::Cache};

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

/// About what one person takes; how many are expected follows from it.
const PERSON_BYTES: u64 = 2048;

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

/// What was known of somebody last.
struct LastPerson {
    person: Person,
    since: Instant,
}

pub struct Stale {
    keys: Keys,
    once: OncePerSecond,
    /// Counts how often all people were forgotten.
    generation: AtomicU64,
    people: Cache<SubjectKey, Arc<LastPerson>, Weights>,
    person_age_max: Duration,
    rankings: Cache<PlacementKey, Arc<LastRanking>>,
}

impl Stale {
    pub fn new(settings: &config::Personalize) -> Self {
        let bytes_max = settings.stale_snapshot_bytes_max;
        let people_max = usize::try_from(bytes_max / PERSON_BYTES).unwrap_or(usize::MAX);
        let rankings_max = usize::try_from(settings.stale_rankings_max).unwrap_or(usize::MAX);
        Self {
            keys: Keys::default(),
            once: OncePerSecond::new(),
            generation: AtomicU64::new(0),
            people: Cache::with_weighter(people_max, bytes_max, Weights),
            person_age_max: Duration::from_secs(settings.stale_snapshot_age_s_max),
            rankings: Cache::new(rankings_max),
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
            let person = Arc::new(LastPerson {
                person: copy,
                since: Instant::now(),
            });
            self.people.insert(key, person);
        }
    }

    pub fn person(&self, key: SubjectKey) -> Option<Person> {
        let last = self.people.get(&key)?;
        (last.since.elapsed() < self.person_age_max).then(|| last.person.clone())
    }

    pub fn forget_profiles(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.people.clear();
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
        let last = self.rankings.get(&key)?;
        (last.since.elapsed() < RANKING_AGE_MAX).then_some(last)
    }
}

/// Entries are weighed by what they hold.
#[derive(Clone)]
struct Weights;

impl Weighter<SubjectKey, Arc<LastPerson>> for Weights {
    fn weight(&self, _: &SubjectKey, last: &Arc<LastPerson>) -> u64 {
        weight(&last.person)
    }
}

fn weight(person: &Person) -> u64 {
    // What the cache and the allocator need for an entry besides.
    const OVERHEAD: usize = 256;
    let segments: usize = person.segments.iter().map(|s| s.len() + 24).sum();
    let bytes = person.snapshot.len() + person.profile_id.len() + segments + OVERHEAD;
    bytes as u64
}
