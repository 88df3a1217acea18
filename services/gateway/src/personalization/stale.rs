//! The last good answers of peers, bounded in memory and age, for when one is down.
//! Written sparingly: what is fresh already is left alone, since every answer passes.

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

use super::{Person, wire};
use crate::config;

/// What is younger than this is not written again.
const FRESH: Duration = Duration::from_secs(1);
/// How long a ranking may stand in; merchandisers' changes cannot arrive meanwhile.
const RANKING_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// A subject of a workspace.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SubjectKey(Box<str>);

impl SubjectKey {
    pub fn of(workspace: &Workspace, subject: &Subject) -> Self {
        let workspace = workspace.as_str();
        Self(match &subject.id {
            Some(Id::ProfileId(id)) => join(&[workspace, "p", id]),
            Some(Id::UserId(id)) => join(&[workspace, "u", id]),
            Some(Id::AnonymousId(id)) => join(&[workspace, "a", id]),
            Some(Id::Identity(identity)) => {
                join(&[workspace, "i", &identity.namespace, &identity.value])
            }
            None => join(&[workspace]),
        })
    }
}

/// A placement of a workspace on a channel.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PlacementKey(Box<str>);

impl PlacementKey {
    pub fn of(workspace: &Workspace, channel: &str, placement: &str) -> Self {
        Self(join(&[workspace.as_str(), channel, placement]))
    }
}

/// Parted by a character that only the last part may hold.
fn join(parts: &[&str]) -> Box<str> {
    parts.join("\0").into_boxed_str()
}

struct LastPerson {
    person: Person,
    since: Instant,
}

/// What was shown last, without why: the reasons were another person's.
pub struct LastRanking {
    pub item_ids: Vec<Bytes>,
    pub strategy: Bytes,
    pub template: String,
    since: Instant,
}

pub struct Stale {
    /// Counts how often all people were forgotten.
    generation: AtomicU64,
    people: Cache<SubjectKey, Arc<LastPerson>>,
    rankings: Cache<PlacementKey, Arc<LastRanking>>,
}

impl Stale {
    pub fn new(settings: &config::Personalize) -> Self {
        let people = Cache::builder()
            .max_capacity(settings.stale_snapshot_bytes_max)
            .weigher(weight)
            .time_to_live(Duration::from_secs(settings.stale_snapshot_age_s_max))
            .build();
        let rankings = Cache::builder()
            .max_capacity(settings.stale_rankings_max)
            .time_to_live(RANKING_AGE_MAX)
            .build();
        Self {
            generation: AtomicU64::new(0),
            people,
            rankings,
        }
    }

    /// To be taken before a person is read, and given back with what was read.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Not if all were forgotten since: what was read may be what was withdrawn. Nor
    /// strangers, of whom there is nothing to remember.
    pub fn remember_person(&self, key: SubjectKey, person: &Person, generation: u64) {
        let fresh = |last: Arc<LastPerson>| last.since.elapsed() < FRESH;
        if person.profile_id.is_empty()
            || generation != self.generation()
            || self.people.get(&key).is_some_and(fresh)
        {
            return;
        }
        let last = LastPerson {
            person: Person {
                // A copy of its own: the original may be a part of a larger buffer.
                snapshot: Bytes::copy_from_slice(&person.snapshot),
                ..person.clone()
            },
            since: Instant::now(),
        };
        self.people.insert(key, Arc::new(last));
    }

    pub fn person(&self, key: &SubjectKey) -> Option<Person> {
        self.people.get(key).map(|last| last.person.clone())
    }

    pub fn forget_profiles(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.people.invalidate_all();
    }

    /// True if it was worth remembering: about once a second for each placement.
    pub fn remember_ranking(&self, key: PlacementKey, decision: &wire::PlacementDecision) -> bool {
        let good_enough = |last: Arc<LastRanking>| {
            last.since.elapsed() < FRESH && last.item_ids.len() >= decision.slots.len()
        };
        if decision.slots.is_empty() || self.rankings.get(&key).is_some_and(good_enough) {
            return false;
        }
        let ids = decision.slots.iter().map(|slot| &slot.item_id);
        let last = LastRanking {
            item_ids: ids.map(|id| Bytes::copy_from_slice(id)).collect(),
            strategy: Bytes::copy_from_slice(&decision.strategy),
            template: decision.template.clone(),
            since: Instant::now(),
        };
        self.rankings.insert(key, Arc::new(last));
        true
    }

    pub fn ranking(&self, key: &PlacementKey) -> Option<Arc<LastRanking>> {
        self.rankings.get(key)
    }
}

fn weight(key: &SubjectKey, last: &Arc<LastPerson>) -> u32 {
    // What the cache and the allocator need for an entry besides.
    const OVERHEAD: usize = 256;
    let person = &last.person;
    let segments: usize = person.segments.iter().map(|s| s.len() + 24).sum();
    let bytes = key.0.len() + person.snapshot.len() + person.profile_id.len() + segments;
    u32::try_from(bytes + OVERHEAD).unwrap_or(u32::MAX)
}
