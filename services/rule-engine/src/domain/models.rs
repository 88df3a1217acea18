//! What behaviour has taught about the items of one workspace, and how it is stored
//! with the ids it speaks of, so that indexes never leave the process.

use attune_api::{events::v1::EventRecorded, time};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{
    affinity::{Affinity, StoredAffinity},
    bits::BitSet,
    co_occurrence::{BOUGHT, CoOccurrence, StoredCoOccurrence, VIEWED},
    inverted::Reach,
    items::{ItemChange, ItemIndex, Items},
    popularity::{Popularity, Signal, StoredPopularity, StoredPopularity1},
    projected::Projected,
    replenishment::{OwnPurchases, Replenishment, StoredReplenishment},
};

pub use super::co_occurrence::PersonKey;

/// Items of one event that are looked at.
const ITEMS_PER_EVENT_MAX: usize = 100;
/// Segments of one event that are looked at.
const SEGMENTS_PER_EVENT_MAX: usize = 32;
/// What one of each signal counts as attention: a view, a basket, a purchase.
const ATTENTION: [f64; 3] = [1.0, 3.0, 8.0];

/// One workspace's models.
#[derive(Debug)]
pub struct Models {
    pub popularity: Popularity,
    pub bought: CoOccurrence,
    pub viewed: CoOccurrence,
    pub replenishment: Replenishment,
    pub affinity: Affinity,
    /// How far neighbours are followed.
    pub reach: Reach,
}

/// How many people are remembered by what they did lately.
#[derive(Debug, Clone, Copy)]
pub struct PeopleMax {
    pub purchasers: usize,
    pub viewers: usize,
}

impl Models {
    pub fn new(people_max: PeopleMax) -> Self {
        Self {
            popularity: Popularity::default(),
            bought: CoOccurrence::new(BOUGHT, people_max.purchasers),
            viewed: CoOccurrence::new(VIEWED, people_max.viewers),
            replenishment: Replenishment::default(),
            affinity: Affinity::default(),
            reach: Reach::default(),
        }
    }

    /// Learns from one event whose items have the given indexes.
    pub fn record(&mut self, learnt: &Learnt, items: &Items) {
        let Learnt {
            signal,
            person,
            time_ms,
            ..
        } = *learnt;
        for index in &learnt.items {
            self.popularity
                .record(signal, *index, time_ms, items.offerable());
        }
        self.affinity.record(
            &learnt.segments,
            &learnt.items,
            ATTENTION[signal as usize],
            time_ms,
        );
        match signal {
            Signal::View => self.viewed.record(person, &learnt.items, time_ms),
            Signal::AddToCart => {}
            Signal::Purchase => {
                for &item in &learnt.items {
                    if let Some(last_ms) = self.bought.last_time(person, item) {
                        let gap_ms = time_ms.saturating_sub(last_ms);
                        self.replenishment.record(item, items.leaf_of(item), gap_ms);
                    }
                }
                self.bought.record(person, &learnt.items, time_ms);
            }
        }
    }

    /// A merge that is undone later leaves what the two had in common with the one that
    /// stayed: pairs are counted, not remembered by whose they were.
    pub fn merge_people(&mut self, kept_profile_id: &str, merged_profile_id: &str) {
        let (kept, merged) = (person_key(kept_profile_id), person_key(merged_profile_id));
        self.bought.merge(kept, merged);
        self.viewed.merge(kept, merged);
    }

    /// Forgets a person; what they showed of items stays counted.
    pub fn forget_person(&mut self, profile_id: &str) {
        let person = person_key(profile_id);
        self.bought.forget(person);
        self.viewed.forget(person);
    }

    /// How well the moment suits a person's buying an item again, 0..1.
    pub fn due(&self, items: &Items, item: ItemIndex, own: &OwnPurchases) -> f32 {
        let buyers = self.bought.people_of(item);
        let declared = items.get(item).map(Projected::declared);
        let declared = declared.unwrap_or_default();
        self.replenishment
            .due(item, items.leaf_of(item), buyers, declared, own)
    }

    /// Whether an item is bought again and again, by the catalog's word or by what
    /// buying shows.
    pub fn is_replenishable(&self, items: &Items, item: ItemIndex) -> bool {
        let is_declared = |item| items.get(item).is_some_and(|i| i.is_replenishable);
        let buyers = self.bought.people_of(item);
        is_declared(item) || self.replenishment.is_bought_again(item, buyers)
    }

    pub fn item_changed(&mut self, change: ItemChange, offerable: &BitSet) {
        self.popularity.item_changed(change, offerable);
    }
}

/// What there is to learn from an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Learnt {
    pub signal: Signal,
    pub person: PersonKey,
    pub items: Vec<ItemIndex>,
    /// The person was in them.
    pub segments: Vec<String>,
    pub time_ms: i64,
}

impl Learnt {
    /// None where an event says nothing about items that have an index.
    pub fn from_event(
        recorded: &EventRecorded,
        commit_ms: i64,
        mut index_of: impl FnMut(&str) -> Option<ItemIndex>,
    ) -> Option<Self> {
        let event = recorded.event.as_ref()?;
        let signal = Signal::of_event(&event.r#type)?;
        let mut items: Vec<ItemIndex> = event
            .items
            .iter()
            .take(ITEMS_PER_EVENT_MAX)
            .filter_map(|item| index_of(&item.item_id))
            .collect();
        items.sort_unstable();
        items.dedup();
        // A clock that runs ahead must not make everything else look old.
        let time_ms = event.time.as_ref().map_or(commit_ms, time::to_ms);
        (!items.is_empty()).then(|| Self {
            signal,
            person: person_key(&recorded.profile_id),
            items,
            segments: segments(recorded),
            time_ms: time_ms.min(commit_ms),
        })
    }
}

fn segments(recorded: &EventRecorded) -> Vec<String> {
    let segments = recorded.segments.iter();
    segments.take(SEGMENTS_PER_EVENT_MAX).cloned().collect()
}

/// Profile ids are UUIDs; anything else is hashed to the same width.
pub fn person_key(profile_id: &str) -> PersonKey {
    uuid::Uuid::parse_str(profile_id).map_or_else(
        |_| {
            let mut key = [0; 16];
            key.copy_from_slice(&blake3::hash(profile_id.as_bytes()).as_bytes()[..16]);
            u128::from_be_bytes(key)
        },
        |id| id.as_u128(),
    )
}

/// The models as they are stored: what they say of `item_ids[i]` stands at `i`.
/// Encoded without names, so that a field can only be added at the end, as a part of
/// its own that older formats lack.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct StoredModels {
    first: StoredSince2,
    second: StoredSince3,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored1 {
    item_ids: Vec<String>,
    popularity: StoredPopularity1,
    bought: StoredCoOccurrence,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct StoredSince2 {
    item_ids: Vec<String>,
    popularity: StoredPopularity,
    bought: StoredCoOccurrence,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct StoredSince3 {
    viewed: StoredCoOccurrence,
    replenishment: StoredReplenishment,
    affinity: StoredAffinity,
}

impl StoredModels {
    /// The format that [`StoredModels::encode`] writes; those before it can be read.
    pub const FORMAT: i64 = 3;

    pub fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_stdvec(self)
    }

    /// What an older format did not know starts empty: the log it could be learnt from
    /// may be trimmed.
    pub fn decode(bytes: &[u8], format: i64) -> Result<Self, postcard::Error> {
        let (first, second) = match format {
            1 => {
                let old: Stored1 = postcard::from_bytes(bytes)?;
                let first = StoredSince2 {
                    item_ids: old.item_ids,
                    popularity: old.popularity.into(),
                    bought: old.bought,
                };
                (first, StoredSince3::default())
            }
            2 => (postcard::from_bytes(bytes)?, StoredSince3::default()),
            _ => return postcard::from_bytes(bytes),
        };
        Ok(Self { first, second })
    }
}

impl Models {
    pub fn store(&self, items: &Items) -> StoredModels {
        let mut indexes: Vec<ItemIndex> = self.popularity.touched().collect();
        indexes.extend(self.bought.touched());
        indexes.extend(self.viewed.touched());
        indexes.extend(self.replenishment.touched());
        indexes.extend(self.affinity.touched());
        indexes.sort_unstable();
        indexes.dedup();
        let position: FxHashMap<ItemIndex, u32> =
            indexes.iter().zip(0..).map(|(i, p)| (*i, p)).collect();
        StoredModels {
            first: StoredSince2 {
                item_ids: indexes.iter().map(|i| items.id(*i).to_string()).collect(),
                popularity: self.popularity.store(&indexes),
                bought: self.bought.store(&indexes, &position),
            },
            second: StoredSince3 {
                viewed: self.viewed.store(&indexes, &position),
                replenishment: self.replenishment.store(&position),
                affinity: self.affinity.store(&position),
            },
        }
    }

    pub fn restore(stored: StoredModels, items: &mut Items, people_max: PeopleMax) -> Self {
        let StoredModels { first, second } = stored;
        let ids = first.item_ids.iter();
        let indexes: Vec<ItemIndex> = ids.map(|id| items.intern(id)).collect();
        let PeopleMax {
            purchasers,
            viewers,
        } = people_max;
        Self {
            popularity: Popularity::restore(first.popularity, &indexes, items.offerable()),
            bought: CoOccurrence::restore(first.bought, &indexes, BOUGHT, purchasers),
            viewed: CoOccurrence::restore(second.viewed, &indexes, VIEWED, viewers),
            replenishment: Replenishment::restore(second.replenishment, &indexes, |item| {
                items.leaf_of(item)
            }),
            affinity: Affinity::restore(second.affinity, &indexes),
            reach: Reach::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn learnt(signal: Signal, items: &[ItemIndex], time_ms: i64) -> Learnt {
        Learnt {
            signal,
            person: 7,
            items: items.to_vec(),
            segments: vec!["climbers".into()],
            time_ms,
        }
    }

    /// Spelt out as it was once written, whatever the types are now: `a` bought twice,
    /// `b` once.
    fn of_the_first_format() -> Vec<u8> {
        let sums = |purchases: f64| ([[0.0, 0.0, purchases]; 2], 1_u8);
        let popularity = (0_i64, 0_i64, 9 * DAY_MS, vec![sums(2.5), sums(1.0)]);
        let pairs = vec![(2.0_f32, vec![(1_u32, 1.0_f32)]), (1.0, vec![(0, 1.0)])];
        let people = vec![(7_u128, vec![(1_u32, 0_i64), (0, 9 * DAY_MS)])];
        let bought = (9 * DAY_MS, pairs, people);
        postcard::to_stdvec(&(vec!["a", "b"], popularity, bought)).unwrap()
    }

    #[test]
    fn models_of_every_format_are_taken_over() {
        let mut items = Items::default();
        for id in ["a", "b", "c"] {
            items.intern(id);
        }
        let people_max = PeopleMax {
            purchasers: 10,
            viewers: 10,
        };
        let mut models = Models::new(people_max);
        models.record(&learnt(Signal::Purchase, &[0, 1], 0), &items);
        models.record(&learnt(Signal::Purchase, &[0], 9 * DAY_MS), &items);
        models.record(&learnt(Signal::View, &[1, 2], 9 * DAY_MS), &items);
        let stored = models.store(&items);
        let second = postcard::to_stdvec(&stored.first).unwrap();
        let third = stored.encode().unwrap();
        for (bytes, format) in [
            (of_the_first_format(), 1),
            (second, 2),
            (third, StoredModels::FORMAT),
        ] {
            let stored = StoredModels::decode(&bytes, format).unwrap();
            let again = Models::restore(stored, &mut items, people_max);
            assert!(again.popularity.standing(0) > again.popularity.standing(1));
            assert_eq!(again.bought.last_time(7, 0), Some(9 * DAY_MS));
            let is_new = format == StoredModels::FORMAT;
            assert_eq!(again.viewed.neighbours(1).count(), usize::from(is_new));
            assert_eq!(again.replenishment.touched().count(), usize::from(is_new));
            assert_eq!(again.affinity.touched().count(), if is_new { 3 } else { 0 });
        }
        assert!(StoredModels::decode(b"", 1).is_err());
    }
}
