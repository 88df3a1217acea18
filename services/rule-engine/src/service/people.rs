//! What people were shown and did, in memory: those who came lately, bounded by what
//! they fill. Everything here can be told twice and in any order; the database is the
//! truth. Decisions pay one lookup, or none where nothing was ever reported.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use attune_api::rules::v1::OutcomeType;
use parking_lot::{Mutex, RwLock};
use quick_cache::{
    Weighter,
    sync::{Cache, DefaultLifecycle},
};
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::{
    domain::{
        exposures::{Exposure, History, Kind, Slot, key_of},
        items::Items,
        models::{PersonKey, person_key},
    },
    store::exposures::{Dismissal, Followed, Parting},
};

/// What is recorded of some people.
#[derive(Default)]
pub struct Recorded {
    /// Of each person the newest first.
    pub outcomes: Vec<Followed>,
    pub dismissals: Vec<Dismissal>,
}

/// What holding a person at all takes, in entries.
const PERSON_SIZE: u64 = 8;
/// Entries that a person is expected to have.
const SIZE_EXPECTED: u64 = 64;
/// Merges that lead from one to the next, where each was into an older one that was then
/// merged itself.
const HOPS_MAX: usize = 256;

type Histories = Cache<PersonKey, Arc<History>, BySize, FxBuildHasher>;

/// The people of one workspace.
pub struct People {
    histories: Histories,
    size_max: u64,
    /// Whom a merged profile stands for.
    merged: RwLock<FxHashMap<PersonKey, PersonKey>>,
    /// Of whom nothing is taken in any more.
    erased: RwLock<FxHashSet<PersonKey>>,
    /// A history is changed by copying it, so that only one may be at it.
    changing: Mutex<()>,
    is_used: AtomicBool,
}

#[derive(Clone)]
struct BySize;

impl Weighter<PersonKey, Arc<History>> for BySize {
    fn weight(&self, _: &PersonKey, history: &Arc<History>) -> u64 {
        history.size() as u64 + PERSON_SIZE
    }
}

impl People {
    /// Holds about so many entries.
    pub fn new(size_max: u64) -> Self {
        let expected = usize::try_from(size_max / SIZE_EXPECTED).unwrap_or(usize::MAX);
        let histories = Cache::with(
            expected,
            size_max,
            BySize,
            FxBuildHasher,
            DefaultLifecycle::default(),
        );
        Self {
            histories,
            size_max,
            merged: RwLock::default(),
            erased: RwLock::default(),
            changing: Mutex::default(),
            is_used: AtomicBool::new(false),
        }
    }

    /// None for whom nothing is known.
    pub fn of(&self, profile_id: &str) -> Option<Arc<History>> {
        if profile_id.is_empty() || !self.is_used.load(Ordering::Relaxed) {
            return None;
        }
        self.histories.get(&person_key(profile_id))
    }

    /// Older ones would only push newer ones out.
    pub fn is_full(&self) -> bool {
        self.histories.weight() > self.size_max - self.size_max / 8
    }

    /// Takes in what people did; those of one person best one after the other.
    pub fn record(&self, items: &Items, outcomes: &[Followed]) {
        for of_one in outcomes.chunk_by(|a, b| a.profile_id == b.profile_id) {
            self.change(&of_one[0].profile_id, |history| {
                for outcome in of_one {
                    take_in(history, items, outcome);
                }
            });
        }
    }

    pub fn dismissed(&self, items: &Items, profile_id: &str, item_id: &str, time_ms: i64) {
        if let Some(item) = items.index_of(item_id) {
            self.change(profile_id, |history| history.dismiss(item, time_ms));
        }
    }

    /// Two profiles are one person; so is whoever still speaks of the merged one.
    pub fn merge(&self, kept_id: &str, merged_id: &str) {
        let (kept, merged) = (person_key(kept_id), person_key(merged_id));
        let _changing = self.changing.lock();
        let kept = self.living(kept);
        if kept == merged {
            return;
        }
        self.merged.write().insert(merged, kept);
        if let Some((_, theirs)) = self.histories.remove(&merged) {
            let mut ours = self.held(kept);
            ours.merge(&theirs);
            self.put(kept, ours);
        }
    }

    /// Two people after all, each with what was recorded under the ids that are theirs.
    /// Somebody who was never merged, such as a device that turns out to be shared, takes
    /// nothing.
    pub fn part(&self, items: &Items, parting: &Parting, recorded: &Recorded) {
        let kept = person_key(&parting.kept_id);
        let unmerged = person_key(&parting.unmerged_id);
        let _changing = self.changing.lock();
        {
            let mut merged = self.merged.write();
            if merged.remove(&unmerged).is_none() {
                return;
            }
            for (ids, living) in [
                (&parting.staying_ids, kept),
                (&parting.leaving_ids, unmerged),
            ] {
                merged.extend(ids.iter().map(|id| (person_key(id), living)));
            }
        }
        let mut sides: FxHashMap<PersonKey, History> = FxHashMap::default();
        for living in [kept, unmerged] {
            sides.insert(self.living(living), History::default());
        }
        // The newest come first, and are kept last.
        for outcome in recorded.outcomes.iter().rev() {
            let living = self.living(person_key(&outcome.profile_id));
            if let Some(history) = sides.get_mut(&living) {
                take_in(history, items, outcome);
            }
        }
        for held in &recorded.dismissals {
            let living = self.living(person_key(&held.profile_id));
            if let (Some(history), Some(item)) =
                (sides.get_mut(&living), items.index_of(&held.item_id))
            {
                history.dismiss(item, held.time_ms);
            }
        }
        for (living, history) in sides {
            self.histories.remove(&living);
            self.put(living, history);
        }
    }

    /// Whether what is told of somebody is to be told of a stranger.
    pub fn is_erased(&self, profile_id: &str) -> bool {
        !profile_id.is_empty() && self.erased.read().contains(&person_key(profile_id))
    }

    /// Nothing is known of this person any more, nor will be.
    pub fn forget(&self, profile_id: &str) {
        let person = person_key(profile_id);
        let _changing = self.changing.lock();
        self.erased.write().insert(person);
        self.histories.remove(&person);
        let mut merged = self.merged.write();
        merged.retain(|from, to| *from != person && *to != person);
    }

    /// A stranger's outcomes say nothing of a person.
    fn change(&self, profile_id: &str, change: impl FnOnce(&mut History)) {
        if profile_id.is_empty() {
            return;
        }
        let _changing = self.changing.lock();
        if self.is_erased(profile_id) {
            return;
        }
        let person = self.living(person_key(profile_id));
        let mut history = self.held(person);
        change(&mut history);
        self.put(person, history);
    }

    /// A copy, because a decision must find the person also while this one is changed.
    fn held(&self, person: PersonKey) -> History {
        let held = self.histories.get(&person);
        held.map_or_else(History::default, |held| History::clone(&held))
    }

    fn put(&self, person: PersonKey, history: History) {
        if history.size() > 0 {
            self.histories.insert(person, Arc::new(history));
            self.is_used.store(true, Ordering::Relaxed);
        }
    }

    fn living(&self, person: PersonKey) -> PersonKey {
        let merged = self.merged.read();
        let mut living = person;
        for _ in 0..HOPS_MAX {
            match merged.get(&living) {
                Some(next) => living = *next,
                None => break,
            }
        }
        living
    }
}

fn take_in(history: &mut History, items: &Items, outcome: &Followed) {
    let Some(item) = items.index_of(&outcome.item_id) else {
        return;
    };
    let slot = Slot {
        item,
        decision: key_of(&outcome.decision_id),
        time_ms: outcome.time_ms,
    };
    match OutcomeType::try_from(outcome.outcome_type) {
        Ok(OutcomeType::Exposure) => {
            let rules = outcome.rule_ids.split_ascii_whitespace().map(key_of);
            let rules: SmallVec<[u32; 16]> = rules.collect();
            history.expose(&Exposure {
                slot,
                placement: key_of(&outcome.placement),
                channel: key_of(&outcome.channel),
                rules: &rules,
            });
        }
        Ok(OutcomeType::Click) => history.respond(Kind::Clicked, &slot),
        Ok(OutcomeType::Conversion) => history.respond(Kind::Converted, &slot),
        Ok(OutcomeType::Dismiss) => history.dismiss(item, outcome.time_ms),
        Ok(OutcomeType::Unspecified) | Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attune_api::catalog::v1::Item;

    fn items() -> Items {
        let mut items = Items::default();
        for id in ["a", "b"] {
            let item = Item {
                item_id: id.into(),
                ..Item::default()
            };
            items.upsert(&item, None);
        }
        items
    }

    fn outcome(profile_id: &str, outcome_type: OutcomeType, decision: u32) -> Followed {
        Followed {
            sequence: 1,
            workspace: "default".into(),
            decision_id: decision.to_string(),
            outcome_type: outcome_type.into(),
            item_id: "a".into(),
            profile_id: profile_id.into(),
            time_ms: 1_000_000,
            placement: "home".into(),
            channel: "web".into(),
            rule_ids: "r1 r2".into(),
        }
    }

    fn shown(people: &People, profile_id: &str) -> u32 {
        let history = people.of(profile_id);
        history.map_or(0, |history| history.count(Kind::Shown, 0, 0))
    }

    #[test]
    fn exposures_count_for_the_person_alone_and_for_no_stranger() {
        let (items, people) = (items(), People::new(10_000));
        for decision in [1, 1, 2] {
            people.record(&items, &[outcome("p", OutcomeType::Exposure, decision)]);
            people.record(&items, &[outcome("", OutcomeType::Exposure, decision)]);
        }
        let history = people.of("p").unwrap();
        assert_eq!(history.count(Kind::Shown, 0, 0), 2);
        assert_eq!(history.count(Kind::Rule, key_of("r2"), 0), 2);
        assert_eq!(history.count(Kind::Placement, key_of("home"), 0), 2);
        assert!(people.of("q").is_none() && people.of("").is_none());
    }

    #[test]
    fn a_merge_holds_for_what_is_told_of_the_merged_one_later() {
        let (items, people) = (items(), People::new(10_000));
        people.record(&items, &[outcome("old", OutcomeType::Exposure, 1)]);
        people.record(&items, &[outcome("kept", OutcomeType::Exposure, 2)]);
        people.merge("kept", "old");
        people.merge("kept", "old");
        people.merge("last", "kept");
        people.record(&items, &[outcome("old", OutcomeType::Exposure, 3)]);
        assert_eq!(shown(&people, "last"), 3);
        assert_eq!((shown(&people, "old"), shown(&people, "kept")), (0, 0));
        people.forget("last");
        assert_eq!(shown(&people, "last"), 0);
    }

    #[test]
    fn memory_is_bounded() {
        let (items, people) = (items(), People::new(3_000));
        for n in 0..2_000 {
            let profile_id = format!("p{n}");
            people.record(&items, &[outcome(&profile_id, OutcomeType::Exposure, n)]);
        }
        assert!(people.histories.weight() <= 3_200);
        assert!(people.histories.len() < 400);
    }
}
