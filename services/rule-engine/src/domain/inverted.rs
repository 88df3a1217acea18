//! Items by what they have in common, and from it the items most like one: shared
//! features weighed by inverse document frequency (Spärck Jones 1972), as a share of
//! what the item itself has. Bounded: the rarest features are followed first, and only
//! so far.

use attune_api::catalog::v1::ItemState;
use rustc_hash::FxHashMap;

use super::{
    items::{ItemIndex, Items},
    projected::Feature,
};

/// How far the search for candidates goes.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// Entries of inverted lists that one search may visit.
    pub visits_max: usize,
    /// Candidates that are compared feature by feature.
    pub compared_max: usize,
    /// Similar items of one item.
    pub neighbours_max: usize,
    /// Items that lead to others in one decision.
    pub seeds_max: usize,
}

impl Default for Reach {
    fn default() -> Self {
        Self {
            visits_max: 2048,
            compared_max: 96,
            neighbours_max: 24,
            seeds_max: 6,
        }
    }
}

/// Below this share two items are not alike, they are only of the same type.
const SHARE_MIN: f32 = 0.1;

/// An item and how alike it is, 0..1.
pub type Neighbour = (ItemIndex, f32);

/// Feature to items.
#[derive(Debug, Default)]
pub struct Inverted {
    lists: FxHashMap<Feature, Vec<ItemIndex>>,
}

impl Inverted {
    pub fn insert(&mut self, feature: Feature, index: ItemIndex) {
        let list = self.lists.entry(feature).or_default();
        if let Err(at) = list.binary_search(&index) {
            list.insert(at, index);
        }
    }

    pub fn remove(&mut self, feature: Feature, index: ItemIndex) {
        if let Some(list) = self.lists.get_mut(&feature) {
            if let Ok(at) = list.binary_search(&index) {
                list.remove(at);
            }
            if list.is_empty() {
                self.lists.remove(&feature);
            }
        }
    }

    /// The published items most like `index`, the most alike first; among equals the one with
    /// the higher `standing`, then the lower index.
    pub fn neighbours(
        &self,
        items: &Items,
        index: ItemIndex,
        reach: &Reach,
        standing: impl Fn(ItemIndex) -> f64,
    ) -> Vec<Neighbour> {
        let Some(item) = items.get(index) else {
            return Vec::new();
        };
        let weights = self.weights(&item.features, items.len());
        let whole: f32 = weights.iter().map(|w| w.weight).sum();
        if whole <= 0.0 {
            return Vec::new();
        }
        let mut found: Vec<(f32, f64, ItemIndex)> = self
            .candidates(&weights, index, reach)
            .into_iter()
            .filter_map(|candidate| {
                let other = items.get(candidate)?;
                if other.state != ItemState::Published {
                    return None;
                }
                let share = shared_weight(&weights, &other.features) / whole;
                (share >= SHARE_MIN).then(|| (share, standing(candidate), candidate))
            })
            .collect();
        found.sort_unstable_by(|a, b| {
            b.0.total_cmp(&a.0)
                .then(b.1.total_cmp(&a.1))
                .then(a.2.cmp(&b.2))
        });
        found.truncate(reach.neighbours_max);
        found.into_iter().map(|(share, _, i)| (i, share)).collect()
    }

    /// The item's features with their weights, sorted by feature.
    fn weights(&self, features: &[Feature], item_count: usize) -> Vec<Weighted> {
        features
            .iter()
            .map(|feature| {
                let holders = self.lists.get(feature).map_or(0, Vec::len).max(1);
                let idf = (1.0 + item_count as f32 / holders as f32).ln();
                Weighted {
                    feature: *feature,
                    holders,
                    weight: idf * idf,
                }
            })
            .collect()
    }

    /// Follows the rarest features first. A list that does not fit what is left of the
    /// budget is followed from the item's own place in it, since neighbours in the
    /// order of arrival are more often alike than the ends of a list.
    fn candidates(&self, weights: &[Weighted], index: ItemIndex, reach: &Reach) -> Vec<ItemIndex> {
        let mut by_rarity: Vec<&Weighted> = weights.iter().filter(|w| w.holders > 1).collect();
        by_rarity.sort_unstable_by_key(|w| (w.holders, w.feature));
        let mut budget = reach.visits_max;
        let mut seen: FxHashMap<ItemIndex, f32> = FxHashMap::default();
        for weighted in by_rarity {
            let Some(list) = self.lists.get(&weighted.feature) else {
                continue;
            };
            if list.len() > budget && seen.len() >= reach.neighbours_max {
                break;
            }
            for candidate in around(list, index, budget) {
                if *candidate != index {
                    *seen.entry(*candidate).or_default() += weighted.weight;
                }
            }
            budget = budget.saturating_sub(list.len());
            if budget == 0 {
                break;
            }
        }
        let mut seen: Vec<_> = seen.into_iter().collect();
        if seen.len() > reach.compared_max {
            seen.select_nth_unstable_by(reach.compared_max, |a, b| {
                b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
            });
            seen.truncate(reach.compared_max);
        }
        seen.into_iter().map(|(candidate, _)| candidate).collect()
    }
}

struct Weighted {
    feature: Feature,
    holders: usize,
    weight: f32,
}

fn around(list: &[ItemIndex], index: ItemIndex, budget: usize) -> &[ItemIndex] {
    if list.len() <= budget {
        return list;
    }
    let at = list.binary_search(&index).unwrap_or_else(|at| at);
    let start = at.saturating_sub(budget / 2).min(list.len() - budget);
    &list[start..start + budget]
}

/// Both sides are sorted by feature.
fn shared_weight(weights: &[Weighted], features: &[Feature]) -> f32 {
    let mut rest = features;
    let mut shared = 0.0;
    for weighted in weights {
        let skip = rest.partition_point(|feature| *feature < weighted.feature);
        rest = &rest[skip..];
        if rest.first() == Some(&weighted.feature) {
            shared += weighted.weight;
        }
    }
    shared
}
