//! How much attention items get: sums of what people did, each halved with age. Kept
//! by forward decay (Cormode, Shkapenyuk, Srivastava and Xu, "Forward Decay", ICDE
//! 2009): a sum is relative to a landmark and never needs ageing, the order of items
//! does not depend on the time of asking, and late or imported events count as what
//! they are. A year-old data set therefore has popular items like any other.

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use super::{
    bits::BitSet,
    items::{ItemChange, ItemIndex},
    ranked::Ranked,
};

const HOUR_MS: f64 = 3_600_000.0;
/// What is popular: half is forgotten in two weeks.
const LONG_HALF_LIFE_MS: f64 = 14.0 * 24.0 * HOUR_MS;
/// What is going on: half is forgotten in a day.
const SHORT_HALF_LIFE_MS: f64 = 24.0 * HOUR_MS;
/// Sums are moved to a newer landmark before they leave the range of a double.
const EXPONENT_MAX: f64 = 512.0;
/// As many as a decision behind a narrow filter could look through.
const RANKED_MAX: usize = 1024;
/// Below this many standard deviations above its own past, an item is not trending.
const SURPRISE_MIN: f64 = 1.0;
/// How far the newest event moves on before what is trending is judged anew.
const REJUDGE_AFTER_MS: i64 = 30 * 60 * 1000;
/// Items with fewer interactions are ones that little is known about.
const KNOWN_FROM: u8 = 5;

/// What people do with items that says something about the item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signal {
    View = 0,
    AddToCart = 1,
    Purchase = 2,
}

pub const SIGNALS: usize = 3;
/// What one of each adds where all count together.
const WEIGHTS: [f64; SIGNALS] = [1.0, 3.0, 8.0];

impl Signal {
    pub fn of_event(event_type: &str) -> Option<Self> {
        match event_type {
            "view" => Some(Self::View),
            "add_to_cart" => Some(Self::AddToCart),
            "purchase" => Some(Self::Purchase),
            _ => None,
        }
    }
}

/// Decayed sums of one item by signal, relative to the landmarks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    pub long: [f64; SIGNALS],
    pub short: [f64; SIGNALS],
}

impl Sums {
    /// One signal, or all by weight.
    fn long_of(&self, signal: Option<Signal>) -> f64 {
        of(&self.long, signal)
    }

    fn short_of(&self, signal: Option<Signal>) -> f64 {
        of(&self.short, signal)
    }
}

fn of(sums: &[f64; SIGNALS], signal: Option<Signal>) -> f64 {
    match signal {
        Some(signal) => sums[signal as usize],
        None => sums.iter().zip(WEIGHTS).map(|(sum, w)| sum * w).sum(),
    }
}

/// Each signal and, last, all together.
const VIEWS: [Option<Signal>; SIGNALS + 1] = [
    Some(Signal::View),
    Some(Signal::AddToCart),
    Some(Signal::Purchase),
    None,
];

fn view_of(signal: Option<Signal>) -> usize {
    signal.map_or(SIGNALS, |signal| signal as usize)
}

/// Attention by item.
#[derive(Debug)]
pub struct Popularity {
    long_landmark_ms: i64,
    short_landmark_ms: i64,
    newest_ms: i64,
    judged_ms: i64,
    sums: Vec<Sums>,
    counts: Vec<u8>,
    popular: [Ranked; SIGNALS + 1],
    trending: [Ranked; SIGNALS + 1],
    /// Offerable items with few interactions.
    little_known: RoaringBitmap,
}

impl Default for Popularity {
    fn default() -> Self {
        let ranked = || std::array::from_fn(|_| Ranked::new(RANKED_MAX));
        Self {
            long_landmark_ms: 0,
            short_landmark_ms: 0,
            newest_ms: i64::MIN,
            judged_ms: i64::MIN,
            sums: Vec::new(),
            counts: Vec::new(),
            popular: ranked(),
            trending: ranked(),
            little_known: RoaringBitmap::new(),
        }
    }
}

impl Popularity {
    /// The most popular first; only items that could be offered.
    pub fn popular(&self, signal: Option<Signal>) -> &Ranked {
        &self.popular[view_of(signal)]
    }

    /// The most surprising first; only items that could be offered.
    pub fn trending(&self, signal: Option<Signal>) -> &Ranked {
        &self.trending[view_of(signal)]
    }

    pub fn little_known(&self) -> &RoaringBitmap {
        &self.little_known
    }

    /// Comparable between items of one workspace, not between times.
    pub fn standing(&self, index: ItemIndex) -> f64 {
        self.sums_of(index).long_of(None)
    }

    /// Someone did something with an item.
    pub fn record(&mut self, signal: Signal, index: ItemIndex, time_ms: i64, offerable: &BitSet) {
        self.start_or_move_landmarks(time_ms);
        self.grow(index);
        self.newest_ms = self.newest_ms.max(time_ms);
        let before = self.sums[index as usize];
        let mut now = before;
        now.long[signal as usize] += decay(time_ms, self.long_landmark_ms, LONG_HALF_LIFE_MS);
        now.short[signal as usize] += decay(time_ms, self.short_landmark_ms, SHORT_HALF_LIFE_MS);
        self.sums[index as usize] = now;
        self.count(index);
        if !offerable.get(index) {
            return;
        }
        for view in [Some(signal), None] {
            let (was, is) = (before.long_of(view), now.long_of(view));
            self.popular[view_of(view)].update(index, was, is);
        }
        self.rejudge_one(signal, index, &now);
    }

    /// An item came, went or changed.
    pub fn item_changed(&mut self, change: ItemChange, offerable: &BitSet) {
        let index = change.index;
        let known = self.counts.get(index as usize).copied().unwrap_or(0);
        if change.is_offerable && known < KNOWN_FROM {
            self.little_known.insert(index);
        } else {
            self.little_known.remove(index);
        }
        let sums = self.sums_of(index);
        for signal in VIEWS {
            let value = sums.long_of(signal);
            if value <= 0.0 {
                continue;
            }
            let ranked = &mut self.popular[view_of(signal)];
            if change.is_offerable {
                ranked.offer(index, value);
            } else if ranked.remove(index, value) && ranked.len() == RANKED_MAX * 3 / 4 {
                // Those who were too low for the list when it was full belong in it now.
                self.rebuild_popular(signal, offerable);
            }
        }
    }

    /// Judges anew what is trending, if enough has happened since it was last done.
    pub fn refresh(&mut self, offerable: &BitSet) {
        if self.newest_ms.saturating_sub(self.judged_ms) >= REJUDGE_AFTER_MS {
            self.rebuild_trending(offerable);
        }
    }

    /// All lists from the sums, as after loading.
    pub fn rebuild(&mut self, offerable: &BitSet) {
        for signal in VIEWS {
            self.rebuild_popular(signal, offerable);
        }
        self.rebuild_trending(offerable);
        self.little_known = offerable
            .iter()
            .filter(|index| self.counts.get(*index as usize).copied().unwrap_or(0) < KNOWN_FROM)
            .collect();
    }

    fn rebuild_popular(&mut self, signal: Option<Signal>, offerable: &BitSet) {
        let all = offerable.iter().filter_map(|index| {
            let value = self.sums.get(index as usize)?.long_of(signal);
            (value > 0.0).then_some((value, index))
        });
        self.popular[view_of(signal)].rebuild(all);
    }

    fn rebuild_trending(&mut self, offerable: &BitSet) {
        self.judged_ms = self.newest_ms;
        let ages = self.ages();
        for signal in VIEWS {
            let all = offerable.iter().filter_map(|index| {
                let surprise = ages.surprise(self.sums.get(index as usize)?, signal);
                (surprise >= SURPRISE_MIN).then_some((surprise, index))
            });
            self.trending[view_of(signal)].rebuild(all);
        }
    }

    /// Exact for the item touched; the others keep the order they had when they were
    /// last judged.
    fn rejudge_one(&mut self, signal: Signal, index: ItemIndex, now: &Sums) {
        let ages = self.ages();
        for view in [Some(signal), None] {
            let surprise = ages.surprise(now, view);
            let ranked = &mut self.trending[view_of(view)];
            ranked.remove_index(index);
            if surprise >= SURPRISE_MIN {
                ranked.offer(index, surprise);
            }
        }
    }

    fn ages(&self) -> Ages {
        Ages {
            long: decay(self.long_landmark_ms, self.newest_ms, LONG_HALF_LIFE_MS),
            short: decay(self.short_landmark_ms, self.newest_ms, SHORT_HALF_LIFE_MS),
        }
    }

    fn sums_of(&self, index: ItemIndex) -> Sums {
        self.sums.get(index as usize).copied().unwrap_or_default()
    }

    fn grow(&mut self, index: ItemIndex) {
        if index as usize >= self.sums.len() {
            self.sums.resize(index as usize + 1, Sums::default());
            self.counts.resize(index as usize + 1, 0);
        }
    }

    fn count(&mut self, index: ItemIndex) {
        let count = &mut self.counts[index as usize];
        *count = count.saturating_add(1);
        if *count == KNOWN_FROM {
            self.little_known.remove(index);
        }
    }

    fn start_or_move_landmarks(&mut self, time_ms: i64) {
        if self.newest_ms == i64::MIN {
            self.long_landmark_ms = time_ms;
            self.short_landmark_ms = time_ms;
            return;
        }
        if exponent(time_ms, self.long_landmark_ms, LONG_HALF_LIFE_MS) > EXPONENT_MAX {
            let factor = move_landmark(&mut self.long_landmark_ms, LONG_HALF_LIFE_MS);
            for sums in &mut self.sums {
                sums.long.iter_mut().for_each(|sum| *sum *= factor);
            }
            self.popular.iter_mut().for_each(|r| r.scale(factor));
        }
        if exponent(time_ms, self.short_landmark_ms, SHORT_HALF_LIFE_MS) > EXPONENT_MAX {
            let factor = move_landmark(&mut self.short_landmark_ms, SHORT_HALF_LIFE_MS);
            for sums in &mut self.sums {
                sums.short.iter_mut().for_each(|sum| *sum *= factor);
            }
        }
    }
}

/// What brings sums relative to their landmarks to the time of the newest event.
struct Ages {
    long: f64,
    short: f64,
}

impl Ages {
    /// By how many standard deviations the recent past exceeds what the longer past
    /// would let one expect of a Poisson process, smoothed by one event.
    fn surprise(&self, sums: &Sums, signal: Option<Signal>) -> f64 {
        let recent = sums.short_of(signal) * self.short;
        let expected = sums.long_of(signal) * self.long * SHORT_HALF_LIFE_MS / LONG_HALF_LIFE_MS;
        (recent - expected) / (expected + 1.0).sqrt()
    }
}

fn exponent(time_ms: i64, landmark_ms: i64, half_life_ms: f64) -> f64 {
    time_ms.saturating_sub(landmark_ms) as f64 / half_life_ms
}

fn decay(time_ms: i64, landmark_ms: i64, half_life_ms: f64) -> f64 {
    exponent(time_ms, landmark_ms, half_life_ms).exp2()
}

/// A whole number of half-lives on, so that scaling is exact.
fn move_landmark(landmark_ms: &mut i64, half_life_ms: f64) -> f64 {
    *landmark_ms += (EXPONENT_MAX * half_life_ms) as i64;
    (-EXPONENT_MAX).exp2()
}

/// What is stored of it: by position in the list of ids that goes with it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct StoredPopularity {
    long_landmark_ms: i64,
    short_landmark_ms: i64,
    newest_ms: i64,
    sums: Vec<(Sums, u8)>,
}

impl Popularity {
    /// Indexes that have anything to store.
    pub fn touched(&self) -> impl Iterator<Item = ItemIndex> + '_ {
        (0..self.counts.len() as ItemIndex).filter(|index| self.counts[*index as usize] > 0)
    }

    pub fn store(&self, indexes: &[ItemIndex]) -> StoredPopularity {
        StoredPopularity {
            long_landmark_ms: self.long_landmark_ms,
            short_landmark_ms: self.short_landmark_ms,
            newest_ms: self.newest_ms,
            sums: indexes
                .iter()
                .map(|index| {
                    let count = self.counts.get(*index as usize).copied().unwrap_or(0);
                    (self.sums_of(*index), count)
                })
                .collect(),
        }
    }

    pub fn restore(stored: StoredPopularity, indexes: &[ItemIndex], offerable: &BitSet) -> Self {
        let mut restored = Self {
            long_landmark_ms: stored.long_landmark_ms,
            short_landmark_ms: stored.short_landmark_ms,
            newest_ms: stored.newest_ms,
            ..Self::default()
        };
        for (index, (sums, count)) in indexes.iter().zip(stored.sums) {
            restored.grow(*index);
            restored.sums[*index as usize] = sums;
            restored.counts[*index as usize] = count;
        }
        restored.rebuild(offerable);
        restored
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 24 * 3_600_000;

    fn all(n: u32) -> BitSet {
        let mut bits = BitSet::default();
        (0..n).for_each(|i| {
            bits.set(i, true);
        });
        bits
    }

    fn popular(p: &Popularity) -> Vec<u32> {
        p.popular(None).iter().collect()
    }

    #[test]
    fn a_purchase_counts_more_than_a_view_and_the_new_more_than_the_old() {
        let mut p = Popularity::default();
        let items = all(4);
        p.record(Signal::View, 0, 100 * DAY_MS, &items);
        p.record(Signal::Purchase, 1, 100 * DAY_MS, &items);
        p.record(Signal::View, 2, 60 * DAY_MS, &items);
        p.record(Signal::View, 3, 101 * DAY_MS, &items);
        assert_eq!(popular(&p), [1, 3, 0, 2]);
    }

    #[test]
    fn events_a_hundred_years_apart_keep_their_order() {
        let mut p = Popularity::default();
        let items = all(3);
        for (index, day) in [(0, 0), (1, 20_000), (2, 36_500)] {
            p.record(Signal::View, index, day * DAY_MS, &items);
        }
        p.record(Signal::View, 0, 36_501 * DAY_MS, &items);
        assert_eq!(popular(&p)[..2], [0, 2]);
    }

    #[test]
    fn what_grows_faster_than_its_past_is_trending() {
        let mut p = Popularity::default();
        let items = all(2);
        for day in 0..60 {
            for hour in 0..12 {
                p.record(Signal::View, 0, day * DAY_MS + hour * 7_200_000, &items);
            }
        }
        for minute in 0..20 {
            p.record(Signal::View, 1, 60 * DAY_MS + minute * 60_000, &items);
        }
        p.refresh(&items);
        assert_eq!(p.trending(None).iter().collect::<Vec<_>>(), [1]);
        assert_eq!(popular(&p), [0, 1]);
    }

    #[test]
    fn an_item_that_is_not_offerable_leaves_the_lists_and_comes_back() {
        let mut p = Popularity::default();
        let mut items = all(2);
        p.record(Signal::View, 0, DAY_MS, &items);
        p.record(Signal::Purchase, 1, DAY_MS, &items);
        let change = |is_offerable| ItemChange {
            index: 1,
            is_offerable,
        };
        items.set(1, false);
        p.item_changed(change(false), &items);
        assert_eq!(popular(&p), [0]);
        items.set(1, true);
        p.item_changed(change(true), &items);
        assert_eq!(popular(&p), [1, 0]);
    }

    #[test]
    fn a_restored_state_answers_the_same() {
        let mut p = Popularity::default();
        let items = all(50);
        p.rebuild(&items);
        for i in 0..500_i64 {
            let index = (i * i % 50) as u32;
            p.record(Signal::View, index, i * 3_600_000, &items);
        }
        p.refresh(&items);
        let indexes: Vec<u32> = p.touched().collect();
        let bytes = postcard::to_stdvec(&p.store(&indexes)).unwrap();
        let again = Popularity::restore(postcard::from_bytes(&bytes).unwrap(), &indexes, &items);
        assert_eq!(popular(&p), popular(&again));
        assert_eq!(p.little_known(), again.little_known());
    }
}
