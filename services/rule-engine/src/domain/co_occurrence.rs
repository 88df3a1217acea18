//! What is bought or viewed together: item-to-item collaborative filtering (Linden,
//! Smith and York 2003) by cosine over the people who did (Sarwar et al. 2001), kept
//! from counts that one event changes in place (Huang et al., "TencentRec", SIGMOD 2015)
//! and shrunk where they rest on few people (Bell and Koren 2007). Bounded in the
//! items held per person, the neighbours per item and the people.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::items::ItemIndex;

const HOUR_MS: i64 = 3_600_000;
/// What a pair from different sittings counts against one from the same.
const OTHER_SITTING_WEIGHT: f32 = 0.5;
const NEIGHBOURS_MAX: usize = 32;
/// Shrinkage: a pair seen this often is believed by half.
const SHRINK: f32 = 2.0;

/// A person, as a hash or an id of 128 bits.
pub type PersonKey = u128;

/// When two items of one person are a pair.
#[derive(Debug, Clone, Copy)]
pub struct Together {
    /// Further apart they have nothing to do with each other.
    window_ms: i64,
    /// Closer than this they were one basket or one visit.
    sitting_ms: i64,
    /// The newest items of a person that are held.
    per_person_max: usize,
}

/// Baskets of an afternoon, and what a month's baskets have in common.
pub const BOUGHT: Together = Together {
    window_ms: 30 * 24 * HOUR_MS,
    sitting_ms: 3 * HOUR_MS,
    per_person_max: 64,
};

/// A visit ends after half an hour without a view, as web analytics has it.
pub const VIEWED: Together = Together {
    window_ms: 24 * HOUR_MS,
    sitting_ms: HOUR_MS / 2,
    per_person_max: 20,
};

/// Counts of who had what with what.
#[derive(Debug)]
pub struct CoOccurrence {
    together: Together,
    people_by_item: Vec<f32>,
    neighbours: Vec<Vec<(ItemIndex, f32)>>,
    people: FxHashMap<PersonKey, Vec<(ItemIndex, i64)>>,
    people_max: usize,
    newest_ms: i64,
}

impl CoOccurrence {
    /// Remembers the recent items of at most about `people_max` people.
    pub fn new(together: Together, people_max: usize) -> Self {
        Self {
            together,
            people_by_item: Vec::new(),
            neighbours: Vec::new(),
            people: FxHashMap::default(),
            people_max: people_max.max(1),
            newest_ms: i64::MIN,
        }
    }

    /// A person bought or viewed items. The same item again within the window is no new
    /// person.
    pub fn record(&mut self, person: PersonKey, items: &[ItemIndex], time_ms: i64) {
        self.newest_ms = self.newest_ms.max(time_ms);
        let mut recent = self.people.remove(&person).unwrap_or_default();
        for &item in items {
            self.add(&mut recent, item, time_ms);
        }
        self.people.insert(person, recent);
        if self.people.len() > self.people_max {
            self.forget_people();
        }
    }

    /// When a person last had an item, as far as that is remembered.
    pub fn last_time(&self, person: PersonKey, item: ItemIndex) -> Option<i64> {
        let recent = self.people.get(&person)?;
        let held = recent.iter().find(|(held, _)| *held == item);
        held.map(|(_, time)| *time)
    }

    /// Two people are one. Pairs between what each had are not counted afterwards.
    pub fn merge(&mut self, kept: PersonKey, merged: PersonKey) {
        if let Some(theirs) = self.people.remove(&merged) {
            let ours = self.people.entry(kept).or_default();
            ours.extend(theirs);
            bound(ours, self.together.per_person_max);
        }
    }

    /// Forgets who they were; what they showed of items stays counted.
    pub fn forget(&mut self, person: PersonKey) {
        self.people.remove(&person);
    }

    /// What goes with an item and how strongly, 0..1, in no order.
    pub fn neighbours(&self, item: ItemIndex) -> impl Iterator<Item = (ItemIndex, f32)> + '_ {
        let people = self.people_of(item);
        self.neighbours
            .get(item as usize)
            .into_iter()
            .flatten()
            .map(move |&(other, pairs)| {
                let cosine = pairs / (people * self.people_of(other)).sqrt().max(1.0);
                (other, (cosine * pairs / (pairs + SHRINK)).min(1.0))
            })
    }

    /// How many people had an item.
    pub fn people_of(&self, item: ItemIndex) -> f32 {
        self.people_by_item
            .get(item as usize)
            .copied()
            .unwrap_or(0.0)
    }

    fn add(&mut self, recent: &mut Vec<(ItemIndex, i64)>, item: ItemIndex, time_ms: i64) {
        let Together {
            window_ms,
            sitting_ms,
            per_person_max,
        } = self.together;
        self.grow(item);
        let mut is_again = false;
        let mut latest_ms = time_ms;
        for (other, when) in recent.iter_mut() {
            let apart = time_ms.abs_diff(*when) as i64;
            if *other == item {
                is_again |= apart <= window_ms;
                latest_ms = time_ms.max(*when);
                *when = latest_ms;
            }
        }
        if is_again {
            return;
        }
        self.people_by_item[item as usize] += 1.0;
        for &(other, when) in recent.iter() {
            let apart = time_ms.abs_diff(when) as i64;
            if other == item || apart > window_ms {
                continue;
            }
            let weight = if apart <= sitting_ms {
                1.0
            } else {
                OTHER_SITTING_WEIGHT
            };
            bump(&mut self.neighbours[item as usize], other, weight);
            bump(&mut self.neighbours[other as usize], item, weight);
        }
        recent.retain(|(other, _)| *other != item);
        recent.push((item, latest_ms));
        bound(recent, per_person_max);
    }

    fn grow(&mut self, item: ItemIndex) {
        if item as usize >= self.people_by_item.len() {
            self.people_by_item.resize(item as usize + 1, 0.0);
            self.neighbours.resize(item as usize + 1, Vec::new());
        }
    }

    /// Those who had nothing within the window first; if that is not enough, the half
    /// that had something longest ago.
    fn forget_people(&mut self) {
        let oldest = self.newest_ms.saturating_sub(self.together.window_ms);
        self.people.retain(|_, recent| latest(recent) >= oldest);
        if self.people.len() > self.people_max / 2 {
            let mut times: Vec<i64> = self.people.values().map(|r| latest(r)).collect();
            let middle = times.len() / 2;
            let (_, median, _) = times.select_nth_unstable(middle);
            let median = *median;
            self.people.retain(|_, recent| latest(recent) > median);
        }
    }
}

fn latest(recent: &[(ItemIndex, i64)]) -> i64 {
    recent.iter().map(|(_, t)| *t).max().unwrap_or(i64::MIN)
}

fn bound(recent: &mut Vec<(ItemIndex, i64)>, max: usize) {
    if recent.len() > max {
        recent.sort_by_key(|(_, time)| *time);
        let excess = recent.len() - max;
        recent.drain(..excess);
    }
}

/// A full list gives up its rarest pair; a newcomer never pushes out one seen oftener.
fn bump(list: &mut Vec<(ItemIndex, f32)>, other: ItemIndex, weight: f32) {
    if let Some((_, pairs)) = list.iter_mut().find(|(held, _)| *held == other) {
        *pairs += weight;
        return;
    }
    if list.len() < NEIGHBOURS_MAX {
        list.push((other, weight));
        return;
    }
    let rarest = list.iter_mut().min_by(|a, b| a.1.total_cmp(&b.1));
    if let Some(rarest) = rarest.filter(|(_, pairs)| *pairs <= weight) {
        *rarest = (other, weight);
    }
}

/// What is stored of it: items by position in the list of ids that goes with it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct StoredCoOccurrence {
    newest_ms: i64,
    items: Vec<(f32, Vec<(u32, f32)>)>,
    people: Vec<(PersonKey, Vec<(u32, i64)>)>,
}

impl CoOccurrence {
    /// Indexes that have anything to store.
    pub fn touched(&self) -> impl Iterator<Item = ItemIndex> + '_ {
        (0..self.people_by_item.len() as ItemIndex)
            .filter(|index| self.people_by_item[*index as usize] > 0.0)
    }

    /// `position` gives an index its place in the list of ids.
    pub fn store(
        &self,
        indexes: &[ItemIndex],
        position: &FxHashMap<ItemIndex, u32>,
    ) -> StoredCoOccurrence {
        let place = |index: &ItemIndex| position.get(index).copied();
        StoredCoOccurrence {
            newest_ms: self.newest_ms,
            items: indexes
                .iter()
                .map(|index| {
                    let list = self.neighbours.get(*index as usize);
                    let list = list.into_iter().flatten();
                    let list = list.filter_map(|(other, n)| Some((place(other)?, *n)));
                    (self.people_of(*index), list.collect())
                })
                .collect(),
            people: self
                .people
                .iter()
                .map(|(person, recent)| {
                    let recent = recent.iter();
                    let recent = recent.filter_map(|(item, time)| Some((place(item)?, *time)));
                    (*person, recent.collect())
                })
                .collect(),
        }
    }

    pub fn restore(
        stored: StoredCoOccurrence,
        indexes: &[ItemIndex],
        together: Together,
        people_max: usize,
    ) -> Self {
        let mut restored = Self::new(together, people_max);
        restored.newest_ms = stored.newest_ms;
        let at = |position: u32| indexes.get(position as usize).copied();
        for (index, (people, list)) in indexes.iter().zip(stored.items) {
            restored.grow(*index);
            restored.people_by_item[*index as usize] = people;
            restored.neighbours[*index as usize] = list
                .into_iter()
                .filter_map(|(position, pairs)| Some((at(position)?, pairs)))
                .collect();
        }
        for (person, recent) in stored.people {
            let recent = recent.into_iter();
            let recent = recent.filter_map(|(position, time)| Some((at(position)?, time)));
            restored.people.insert(person, recent.collect());
        }
        restored
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(model: &CoOccurrence, item: ItemIndex) -> Vec<ItemIndex> {
        let mut all: Vec<_> = model.neighbours(item).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all.into_iter().map(|(item, _)| item).collect()
    }

    #[test]
    fn the_popular_item_does_not_win_everywhere() {
        let mut model = CoOccurrence::new(BOUGHT, 1000);
        for person in 0..40 {
            // Everybody buys 9; those who buy 0 buy 1 with it.
            let basket: &[u32] = if person % 4 == 0 { &[0, 1, 9] } else { &[2, 9] };
            model.record(person, basket, HOUR_MS);
        }
        assert_eq!(best(&model, 0), [1, 9]);
    }

    #[test]
    fn what_is_far_apart_is_no_pair() {
        let mut model = CoOccurrence::new(BOUGHT, 10);
        model.record(1, &[0], 0);
        model.record(1, &[1], BOUGHT.window_ms + 1);
        assert_eq!(model.neighbours(0).count(), 0);
        // For views a day is far.
        let mut model = CoOccurrence::new(VIEWED, 10);
        model.record(1, &[0], 0);
        model.record(1, &[1], 25 * HOUR_MS);
        model.record(1, &[2], 25 * HOUR_MS + 1);
        assert_eq!(best(&model, 1), [2]);
        assert_eq!(model.last_time(1, 0), Some(0));
        assert_eq!(model.last_time(1, 9), None);
    }

    #[test]
    fn the_same_basket_counts_more_than_another() {
        let mut model = CoOccurrence::new(BOUGHT, 10);
        model.record(1, &[0, 1], 0);
        model.record(1, &[2], 24 * HOUR_MS);
        assert_eq!(best(&model, 0), [1, 2]);
    }

    #[test]
    fn buying_the_same_again_changes_nothing() {
        let mut model = CoOccurrence::new(BOUGHT, 10);
        model.record(1, &[0, 1], 0);
        let before: Vec<_> = model.neighbours(0).collect();
        model.record(1, &[0, 1], HOUR_MS);
        assert_eq!(model.neighbours(0).collect::<Vec<_>>(), before);
    }

    #[test]
    fn neighbours_and_people_are_bounded() {
        let mut model = CoOccurrence::new(BOUGHT, 100);
        for person in 0..1000 {
            model.record(person, &[0, 1 + person as u32], person as i64 * HOUR_MS);
        }
        assert!(model.neighbours(0).count() <= NEIGHBOURS_MAX);
        assert!(model.people.len() <= 100);
    }

    #[test]
    fn a_restored_state_answers_the_same() {
        let mut model = CoOccurrence::new(BOUGHT, 100);
        for person in 0..50_u32 {
            let basket = [person % 7, person % 5 + 7];
            model.record(person.into(), &basket, i64::from(person) * HOUR_MS);
        }
        let indexes: Vec<u32> = model.touched().collect();
        let position = indexes.iter().zip(0..).map(|(i, p)| (*i, p)).collect();
        let bytes = postcard::to_stdvec(&model.store(&indexes, &position)).unwrap();
        let mut again =
            CoOccurrence::restore(postcard::from_bytes(&bytes).unwrap(), &indexes, BOUGHT, 100);
        // The people came back as well: the next purchase pairs with the past.
        for m in [&mut model, &mut again] {
            m.record(3, &[11], 60 * HOUR_MS);
        }
        for item in 0..12 {
            assert_eq!(best(&model, item), best(&again, item));
        }
    }
}
