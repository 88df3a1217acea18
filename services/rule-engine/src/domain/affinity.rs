//! What people of a segment like more than others do. Attention is summed per segment
//! and item with forward decay, as popularity sums it, and an item counts by its share
//! of the segment's attention times the logarithm of how much that exceeds its share of
//! everybody's: its part of the Kullback-Leibler divergence between the two, so that
//! neither the rare nor the merely popular win. Bounded in segments and in items of each.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::items::ItemIndex;

const HALF_LIFE_MS: f64 = 14.0 * 86_400_000.0;
/// Sums are moved to a newer landmark before they leave the range of a double.
const EXPONENT_MAX: f64 = 512.0;
const SEGMENTS_MAX: usize = 512;
const ITEMS_PER_SEGMENT_MAX: usize = 512;
/// As many as a decision could use of one segment.
const TOP_MAX: usize = 128;
/// Events of a segment after which all of its items are ranked anew, and one more for
/// every four items; between, only those that an event touched.
const RERANK_AFTER: usize = 8;
/// Attention that everybody's taste counts as in a segment's: a purchase or two.
const PRIOR_ATTENTION: f64 = 12.0;

/// Attention by segment.
#[derive(Debug)]
pub struct Affinity {
    landmark_ms: i64,
    newest_ms: i64,
    /// Of everybody, since the first segment was heard of.
    items: Vec<f64>,
    total: f64,
    segments: FxHashMap<Arc<str>, Segment>,
}

#[derive(Debug, Default)]
struct Segment {
    total: f64,
    items: FxHashMap<ItemIndex, f64>,
    /// The highest first.
    top: Vec<(f32, ItemIndex)>,
    /// Since all items were ranked.
    events: usize,
}

impl Default for Affinity {
    fn default() -> Self {
        Self {
            landmark_ms: 0,
            newest_ms: i64::MIN,
            items: Vec::new(),
            total: 0.0,
            segments: FxHashMap::default(),
        }
    }
}

impl Affinity {
    /// Someone who is in these segments gave items attention.
    pub fn record(
        &mut self,
        segments: &[String],
        items: &[ItemIndex],
        attention: f64,
        time_ms: i64,
    ) {
        if segments.is_empty() && self.segments.is_empty() {
            return;
        }
        self.start_or_move_landmark(time_ms);
        let weight = attention * decay(time_ms, self.landmark_ms);
        for &item in items {
            if item as usize >= self.items.len() {
                self.items.resize(item as usize + 1, 0.0);
            }
            self.items[item as usize] += weight;
            self.total += weight;
        }
        for id in segments {
            self.make_room_for(id);
            let segment = self.segments.entry(id.as_str().into()).or_default();
            for &item in items {
                segment.total += weight;
                bump(&mut segment.items, item, weight);
            }
        }
        self.rerank(segments, items);
    }

    /// What a segment likes more than others do, the most telling first, with how
    /// telling it is; units compare within one segment only.
    pub fn top(&self, segment_id: &str) -> &[(f32, ItemIndex)] {
        self.segments.get(segment_id).map_or(&[], |s| &s.top)
    }

    /// The smallest segment leaves for a new one.
    fn make_room_for(&mut self, id: &str) {
        if self.segments.len() < SEGMENTS_MAX || self.segments.contains_key(id) {
            return;
        }
        let smallest = self
            .segments
            .iter()
            .min_by(|a, b| a.1.total.total_cmp(&b.1.total).then(a.0.cmp(b.0)));
        if let Some(id) = smallest.map(|(id, _)| Arc::clone(id)) {
            self.segments.remove(&id);
        }
    }

    fn rerank(&mut self, segments: &[String], touched: &[ItemIndex]) {
        let everybody = Everybody {
            items: &self.items,
            total: self.total,
            prior: PRIOR_ATTENTION / decay(self.landmark_ms, self.newest_ms).max(1e-300),
        };
        for id in segments {
            let Some(segment) = self.segments.get_mut(id.as_str()) else {
                continue;
            };
            segment.events += 1;
            if segment.events >= RERANK_AFTER + segment.items.len() / 4 {
                segment.events = 0;
                segment.rerank_all(&everybody);
            } else {
                segment.rerank(&everybody, touched);
            }
        }
    }

    fn start_or_move_landmark(&mut self, time_ms: i64) {
        if self.newest_ms == i64::MIN {
            self.landmark_ms = time_ms;
        }
        self.newest_ms = self.newest_ms.max(time_ms);
        if exponent(time_ms, self.landmark_ms) <= EXPONENT_MAX {
            return;
        }
        self.landmark_ms += (EXPONENT_MAX * HALF_LIFE_MS) as i64;
        let factor = (-EXPONENT_MAX).exp2();
        self.items.iter_mut().for_each(|sum| *sum *= factor);
        self.total *= factor;
        for segment in self.segments.values_mut() {
            segment.total *= factor;
            segment.items.values_mut().for_each(|sum| *sum *= factor);
        }
    }
}

fn exponent(time_ms: i64, landmark_ms: i64) -> f64 {
    time_ms.saturating_sub(landmark_ms) as f64 / HALF_LIFE_MS
}

fn decay(time_ms: i64, landmark_ms: i64) -> f64 {
    exponent(time_ms, landmark_ms).exp2()
}

/// A full table gives up its smallest entry; a newcomer never pushes out a larger one.
fn bump(items: &mut FxHashMap<ItemIndex, f64>, item: ItemIndex, weight: f64) {
    if let Some(sum) = items.get_mut(&item) {
        *sum += weight;
        return;
    }
    if items.len() >= ITEMS_PER_SEGMENT_MAX {
        let smallest = items
            .iter()
            .min_by(|a, b| a.1.total_cmp(b.1).then(a.0.cmp(b.0)));
        match smallest {
            Some((smallest, sum)) if *sum <= weight => {
                let smallest = *smallest;
                items.remove(&smallest);
            }
            _ => return,
        }
    }
    items.insert(item, weight);
}

struct Everybody<'a> {
    items: &'a [f64],
    total: f64,
    /// In the units of the sums.
    prior: f64,
}

impl Everybody<'_> {
    fn telling(&self, segment_total: f64, item: ItemIndex, attention: f64) -> f32 {
        let held = self.items.get(item as usize).copied().unwrap_or(0.0);
        // Never less than what the segment gave, which everybody's includes.
        let share = held.max(attention) / self.total.max(held).max(f64::MIN_POSITIVE);
        let in_segment = (attention + self.prior * share) / (segment_total + self.prior);
        (in_segment * (in_segment / share).ln()) as f32
    }
}

impl Segment {
    fn rerank_all(&mut self, everybody: &Everybody<'_>) {
        let all = self.items.iter();
        self.top = all
            .map(|(item, sum)| (everybody.telling(self.total, *item, *sum), *item))
            .filter(|(telling, _)| *telling > 0.0)
            .collect();
        self.top
            .sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        self.top.truncate(TOP_MAX);
    }

    fn rerank(&mut self, everybody: &Everybody<'_>, touched: &[ItemIndex]) {
        for item in touched {
            self.top.retain(|(_, held)| held != item);
            let Some(sum) = self.items.get(item) else {
                continue;
            };
            let telling = everybody.telling(self.total, *item, *sum);
            let before =
                |held: &(f32, ItemIndex)| held.0 > telling || held.0 == telling && held.1 < *item;
            let at = self.top.partition_point(before);
            if telling > 0.0 && at < TOP_MAX {
                self.top.insert(at, (telling, *item));
                self.top.truncate(TOP_MAX);
            }
        }
    }
}

/// What is stored of it: by position in the list of ids that goes with it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct StoredAffinity {
    landmark_ms: i64,
    newest_ms: i64,
    items: Vec<(u32, f64)>,
    segments: Vec<StoredSegment>,
}

/// Its id, its sum and its items'.
type StoredSegment = (String, f64, Vec<(u32, f64)>);

impl Affinity {
    /// Indexes that have anything to store.
    pub fn touched(&self) -> impl Iterator<Item = ItemIndex> + '_ {
        let held = self.items.iter().zip(0..);
        held.filter(|(sum, _)| **sum > 0.0).map(|(_, item)| item)
    }

    pub fn store(&self, position: &FxHashMap<ItemIndex, u32>) -> StoredAffinity {
        let place = |item: ItemIndex, sum: f64| Some((*position.get(&item)?, sum));
        let touched = self.touched();
        StoredAffinity {
            landmark_ms: self.landmark_ms,
            newest_ms: self.newest_ms,
            items: touched
                .filter_map(|item| place(item, self.items[item as usize]))
                .collect(),
            segments: self
                .segments
                .iter()
                .map(|(id, segment)| {
                    let items = segment.items.iter();
                    let items = items.filter_map(|(item, sum)| place(*item, *sum));
                    (id.to_string(), segment.total, items.collect())
                })
                .collect(),
        }
    }

    pub fn restore(stored: StoredAffinity, indexes: &[ItemIndex]) -> Self {
        let mut restored = Self {
            landmark_ms: stored.landmark_ms,
            newest_ms: if stored.segments.is_empty() {
                i64::MIN
            } else {
                stored.newest_ms
            },
            ..Self::default()
        };
        let at = |position: u32| indexes.get(position as usize).copied();
        for (position, sum) in stored.items {
            if let Some(item) = at(position) {
                let length = restored.items.len().max(item as usize + 1);
                restored.items.resize(length, 0.0);
                restored.items[item as usize] = sum;
                restored.total += sum;
            }
        }
        let mut ids = Vec::new();
        for (id, total, items) in stored.segments {
            let items = items.into_iter();
            let items = items.filter_map(|(position, sum)| Some((at(position)?, sum)));
            let segment = Segment {
                total,
                items: items.collect(),
                // So many that all are ranked at once.
                events: usize::MAX / 2,
                ..Segment::default()
            };
            restored.segments.insert(id.as_str().into(), segment);
            ids.push(id);
        }
        restored.rerank(&ids, &[]);
        restored
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn top(model: &Affinity, segment: &str) -> Vec<ItemIndex> {
        model.top(segment).iter().map(|(_, item)| *item).collect()
    }

    fn record(model: &mut Affinity, segment: &str, item: ItemIndex, day: i64) {
        model.record(&[segment.to_owned()], &[item], 1.0, day * DAY_MS);
    }

    #[test]
    fn what_a_segment_likes_more_than_others_comes_first_and_the_popular_last() {
        let mut model = Affinity::default();
        for day in 0..40 {
            // Everybody likes 9; climbers 1 and a little 2; cooks 3.
            record(&mut model, "climbers", 9, day);
            record(&mut model, "cooks", 9, day);
            record(&mut model, "climbers", 1, day);
            record(&mut model, "cooks", 3, day);
            if day % 4 == 0 {
                record(&mut model, "climbers", 2, day);
            }
        }
        assert_eq!(top(&model, "climbers")[..2], [1, 2]);
        assert_eq!(top(&model, "cooks")[0], 3);
        assert!(top(&model, "unheard").is_empty());
    }

    #[test]
    fn one_event_is_seen_at_once_and_the_past_fades() {
        let mut model = Affinity::default();
        for day in 0..30 {
            record(&mut model, "climbers", 1, day);
            record(&mut model, "cooks", 3, day);
        }
        record(&mut model, "climbers", 5, 30);
        assert!(top(&model, "climbers").contains(&5));
        for day in 200..230 {
            record(&mut model, "climbers", 6, day);
            record(&mut model, "cooks", 3, day);
        }
        assert_eq!(top(&model, "climbers")[0], 6);
        // A hundred years on, sums are still numbers.
        record(&mut model, "climbers", 7, 36_500);
        assert!(model.top("climbers").iter().all(|(t, _)| t.is_finite()));
    }

    #[test]
    fn segments_and_their_items_are_bounded() {
        let mut model = Affinity::default();
        for n in 0..2_000 {
            record(&mut model, &format!("s{n}"), n, 0);
            record(&mut model, "one", n, 0);
        }
        assert!(model.segments.len() <= SEGMENTS_MAX);
        assert_eq!(model.segments["one"].items.len(), ITEMS_PER_SEGMENT_MAX);
    }

    #[test]
    fn a_restored_state_answers_the_same() {
        let mut model = Affinity::default();
        for n in 0..300_u32 {
            let segment = if n % 3 == 0 { "climbers" } else { "cooks" };
            record(&mut model, segment, n % 17 * (n % 3 + 1), i64::from(n));
        }
        let indexes: Vec<u32> = model.touched().collect();
        let position = indexes.iter().zip(0..).map(|(i, p)| (*i, p)).collect();
        let bytes = postcard::to_stdvec(&model.store(&position)).unwrap();
        let mut again = Affinity::restore(postcard::from_bytes(&bytes).unwrap(), &indexes);
        // Ranked anew, both.
        for segment in model.segments.values_mut() {
            segment.events = usize::MAX / 2;
        }
        model.rerank(&["climbers".into(), "cooks".into()], &[]);
        record(&mut again, "climbers", 5, 301);
        record(&mut model, "climbers", 5, 301);
        for segment in ["climbers", "cooks"] {
            assert_eq!(top(&model, segment), top(&again, segment));
        }
    }
}
