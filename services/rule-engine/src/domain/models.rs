//! What behaviour has taught about the items of one workspace, and how it is stored
//! with the ids it speaks of, so that indexes never leave the process.

use attune_api::profile::v1::Event;
use attune_api::time;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{
    bits::BitSet,
    co_purchase::{CoPurchase, StoredCoPurchase},
    items::{ItemChange, ItemIndex, Items},
    popularity::{Popularity, Signal, StoredPopularity},
};

pub use super::co_purchase::PersonKey;

/// Items of one event that are looked at.
const ITEMS_PER_EVENT_MAX: usize = 100;

/// One workspace's models.
#[derive(Debug)]
pub struct Models {
    pub popularity: Popularity,
    pub co_purchase: CoPurchase,
}

impl Models {
    pub fn new(people_max: usize) -> Self {
        Self {
            popularity: Popularity::default(),
            co_purchase: CoPurchase::new(people_max),
        }
    }

    /// Learns from one event whose items have the given indexes.
    pub fn record(&mut self, learnt: &Learnt, offerable: &BitSet) {
        for index in &learnt.items {
            self.popularity
                .record(learnt.signal, *index, learnt.time_ms, offerable);
        }
        if learnt.signal == Signal::Purchase {
            self.co_purchase
                .record(learnt.person, &learnt.items, learnt.time_ms);
        }
    }

    pub fn merge_people(&mut self, kept_profile_id: &str, merged_profile_id: &str) {
        self.co_purchase
            .merge(person_key(kept_profile_id), person_key(merged_profile_id));
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
    pub time_ms: i64,
}

impl Learnt {
    /// None where an event says nothing about items that have an index.
    pub fn from_event(
        profile_id: &str,
        event: &Event,
        commit_ms: i64,
        mut index_of: impl FnMut(&str) -> Option<ItemIndex>,
    ) -> Option<Self> {
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
            person: person_key(profile_id),
            items,
            time_ms: time_ms.min(commit_ms),
        })
    }
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
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct StoredModels {
    item_ids: Vec<String>,
    popularity: StoredPopularity,
    co_purchase: StoredCoPurchase,
}

impl Models {
    pub fn store(&self, items: &Items) -> StoredModels {
        let mut indexes: Vec<ItemIndex> = self.popularity.touched().collect();
        indexes.extend(self.co_purchase.touched());
        indexes.sort_unstable();
        indexes.dedup();
        let position: FxHashMap<ItemIndex, u32> =
            indexes.iter().zip(0..).map(|(i, p)| (*i, p)).collect();
        StoredModels {
            item_ids: indexes.iter().map(|i| items.id(*i).to_string()).collect(),
            popularity: self.popularity.store(&indexes),
            co_purchase: self.co_purchase.store(&indexes, &position),
        }
    }

    pub fn restore(stored: StoredModels, items: &mut Items, people_max: usize) -> Self {
        let indexes: Vec<ItemIndex> = stored.item_ids.iter().map(|id| items.intern(id)).collect();
        let offerable = items.offerable();
        Self {
            popularity: Popularity::restore(stored.popularity, &indexes, offerable),
            co_purchase: CoPurchase::restore(stored.co_purchase, &indexes, people_max),
        }
    }
}
