//! How much attention items get: sums of what people did, each halved with age. Kept
//! by forward decay (Cormode, Shkapenyuk, Srivastava and Xu, "Forward Decay", ICDE
//! 2009): a sum is relative to a landmark and never needs ageing, the order of items
//! does not depend on the time of asking, and late or imported events count as what
//! they are. A year-old data set therefore has popular items like any other.
//!
//! What is popular is an estimate, since a decayed sum of one event is no evidence: the
//! share of the next events that an item will get, with the share it has had of all
//! events ever as what is expected beforehand (the posterior mean of a multinomial under
//! a Dirichlet prior, as Zhai and Lafferty smooth language models, "A Study of Smoothing
//! Methods", ACM TOIS 22(2), 2004). Where much has happened lately, the prior is nothing;
//! after a quiet year, one event does not outweigh a history.

mod sums;
#[cfg(test)]
mod tests;

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use super::{
    bits::BitSet,
    items::{ItemChange, ItemIndex},
    ranked::Ranked,
};
use sums::{EXPONENT_MAX, VIEWS, decay, exponent, move_landmark, of, view_of};
pub use sums::{SIGNALS, Signal, Sums};

const HOUR_MS: f64 = 3_600_000.0;
/// What is popular: half is forgotten in two weeks.
const LONG_HALF_LIFE_MS: f64 = 14.0 * 24.0 * HOUR_MS;
/// What is going on: half is forgotten in a day.
const SHORT_HALF_LIFE_MS: f64 = 24.0 * HOUR_MS;
/// As many as a decision behind a narrow filter could look through.
const RANKED_MAX: usize = 1024;
/// How many events of today the whole past weighs as much as.
const PRIOR_EVENTS: f64 = 1000.0;
/// How far the past's weight moves before everything is ranked by the new one. Time
/// moves it by this much in about four days, and so do a fifth more events.
const PULL_DRIFT_MAX: f64 = 1.2;
/// Below this many standard deviations above its own past, an item is not trending.
const SURPRISE_MIN: f64 = 1.0;
/// How far the newest event moves on before what is trending is judged anew.
const REJUDGE_AFTER_MS: i64 = 30 * 60 * 1000;
/// Items with fewer interactions are ones that little is known about.
const KNOWN_FROM: u8 = 5;

/// Attention by item.
#[derive(Debug)]
pub struct Popularity {
    long_landmark_ms: i64,
    short_landmark_ms: i64,
    newest_ms: i64,
    judged_ms: i64,
    sums: Vec<Sums>,
    counts: Vec<u8>,
    /// All that ever was, of all items.
    totals: [f64; SIGNALS],
    /// What one event of the past adds to a decayed sum, by view.
    pulls: [f64; SIGNALS + 1],
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
            totals: [0.0; SIGNALS],
            pulls: [0.0; SIGNALS + 1],
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
        self.estimate(&self.sums_of(index), None)
    }

    fn estimate(&self, sums: &Sums, signal: Option<Signal>) -> f64 {
        sums.estimate(signal, self.pulls[view_of(signal)])
    }

    /// What [`popular`](Self::popular) orders by, for any item; None for one that nobody
    /// has done anything with.
    pub fn attention(&self, signal: Option<Signal>) -> impl Fn(ItemIndex) -> Option<f64> + '_ {
        move |index| {
            let value = self.estimate(self.sums.get(index as usize)?, signal);
            (value > 0.0).then_some(value)
        }
    }

    /// What [`trending`](Self::trending) orders by, for any item, as of the newest
    /// event; None for one that is not trending.
    pub fn surprise(&self, signal: Option<Signal>) -> impl Fn(ItemIndex) -> Option<f64> + '_ {
        let ages = self.ages();
        move |index| {
            let surprise = ages.surprise(&self.sums_of(index), signal);
            Some(surprise).filter(|surprise| *surprise >= SURPRISE_MIN)
        }
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
        now.ever[signal as usize] += 1.0;
        self.totals[signal as usize] += 1.0;
        self.sums[index as usize] = now;
        self.count(index);
        if offerable.get(index) {
            for view in [Some(signal), None] {
                let (was, is) = (self.estimate(&before, view), self.estimate(&now, view));
                self.popular[view_of(view)].update(index, was, is);
            }
            self.rejudge_one(signal, index, &now);
        }
        self.follow_pulls(offerable);
    }

    /// Ranks anew where the past has come to weigh much more or less. Rare: see
    /// [`PULL_DRIFT_MAX`].
    fn follow_pulls(&mut self, offerable: &BitSet) {
        let today = decay(self.newest_ms, self.long_landmark_ms, LONG_HALF_LIFE_MS);
        for signal in VIEWS {
            let total = of(&self.totals, signal);
            if total == 0.0 {
                continue;
            }
            let (pull, held) = (PRIOR_EVENTS * today / total, self.pulls[view_of(signal)]);
            if pull > held * PULL_DRIFT_MAX || pull < held / PULL_DRIFT_MAX {
                self.pulls[view_of(signal)] = pull;
                self.rebuild_popular(signal, offerable);
            }
        }
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
            let value = self.estimate(&sums, signal);
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
        let pull = self.pulls[view_of(signal)];
        let all = offerable.iter().filter_map(|index| {
            let value = self.sums.get(index as usize)?.estimate(signal, pull);
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
            let factor = move_landmark(&mut self.long_landmark_ms, time_ms, LONG_HALF_LIFE_MS);
            for sums in &mut self.sums {
                sums.long.iter_mut().for_each(|sum| *sum *= factor);
            }
            self.pulls.iter_mut().for_each(|pull| *pull *= factor);
            self.popular.iter_mut().for_each(|r| r.scale(factor));
        }
        if exponent(time_ms, self.short_landmark_ms, SHORT_HALF_LIFE_MS) > EXPONENT_MAX {
            let factor = move_landmark(&mut self.short_landmark_ms, time_ms, SHORT_HALF_LIFE_MS);
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

/// What is stored of it: by position in the list of ids that goes with it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct StoredPopularity {
    long_landmark_ms: i64,
    short_landmark_ms: i64,
    newest_ms: i64,
    pulls: [f64; SIGNALS + 1],
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
            pulls: self.pulls,
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
            pulls: stored.pulls,
            ..Self::default()
        };
        for (index, (sums, count)) in indexes.iter().zip(stored.sums) {
            restored.grow(*index);
            for (total, ever) in restored.totals.iter_mut().zip(sums.ever) {
                *total += ever;
            }
            restored.sums[*index as usize] = sums;
            restored.counts[*index as usize] = count;
        }
        restored.rebuild(offerable);
        restored
    }
}

/// As the first format had it: without all that ever was.
#[derive(Debug, Serialize, Deserialize)]
pub struct StoredPopularity1 {
    long_landmark_ms: i64,
    short_landmark_ms: i64,
    newest_ms: i64,
    sums: Vec<([[f64; SIGNALS]; 2], u8)>,
}

impl From<StoredPopularity1> for StoredPopularity {
    /// What is left of the past today stands for all of it.
    fn from(old: StoredPopularity1) -> Self {
        let today = decay(old.long_landmark_ms, old.newest_ms, LONG_HALF_LIFE_MS);
        let sums = old.sums.into_iter().map(|([long, short], count)| {
            let ever = long.map(|sum| sum * today);
            (Sums { long, short, ever }, count)
        });
        Self {
            long_landmark_ms: old.long_landmark_ms,
            short_landmark_ms: old.short_landmark_ms,
            newest_ms: old.newest_ms,
            pulls: [0.0; SIGNALS + 1],
            sums: sums.collect(),
        }
    }
}
