//! After how long people buy an item again, learnt from every repeat purchase. The time
//! between two purchases of an item is taken to be log-normal (Bhagat, Muralidharan,
//! Lobzhanidze and Vishwanath, "Buy It Again: Modeling Repeat Purchase
//! Recommendations", KDD 2018), its mean shrunk towards the item's category, and that
//! towards a month. Bounded by the items that were ever bought again.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{items::ItemIndex, plan::DAY_MS};

/// Sooner than this it was the same errand.
pub const SAME_ERRAND_MS: i64 = 12 * 3_600_000;
/// As many gaps as are remembered with full weight; older ones fade.
const MEMORY_GAPS: f32 = 64.0;
/// Where nothing else is known: a month, give or take a factor of two.
const PRIOR_DAYS: f32 = 30.0;
const PRIOR_VARIANCE: f32 = 0.5;
/// Gaps that a prior counts as: of all for a category, of the category for an item, of
/// the item for a person, and of what the catalog declares.
const CATEGORY_PRIOR_GAPS: f32 = 2.0;
const ITEM_PRIOR_GAPS: f32 = 4.0;
const PERSON_PRIOR_GAPS: f32 = 1.0;
const DECLARED_GAPS: f32 = 8.0;
/// Nobody is so regular that a day early is out of the question.
const VARIANCE_MIN: f32 = 0.05;
/// The share of buyers who come back where nothing is known, and the buyers that it
/// counts as; the same where the catalog says that they do.
const SHARE_PRIOR: (f32, f32) = (0.1, 2.0);
const DECLARED_SHARE: (f32, f32) = (0.7, 20.0);
/// Buyers that each purchase which the person repeated counts as.
const OWN_BUYERS: f32 = 2.0;

/// The logarithms of gaps in days, as sums that fade.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Gaps {
    count: f32,
    sum: f32,
    squares: f32,
}

impl Gaps {
    pub fn add(&mut self, gap_ms: i64) {
        let days = (gap_ms as f64 / DAY_MS) as f32;
        let ln = days.max(0.01).ln();
        if self.count >= MEMORY_GAPS {
            let fade = 1.0 - 1.0 / MEMORY_GAPS;
            self.count *= fade;
            self.sum *= fade;
            self.squares *= fade;
        }
        self.count += 1.0;
        self.sum += ln;
        self.squares += ln * ln;
    }

    /// The mean with a prior mean that counts as so many gaps.
    fn mean(&self, prior: f32, prior_gaps: f32) -> f32 {
        (self.sum + prior_gaps * prior) / (self.count + prior_gaps)
    }

    fn variance(&self) -> f32 {
        let around = |mean: f32| (self.squares - self.count * mean * mean).max(0.0);
        let spread = match self.count {
            count if count > 0.0 => around(self.sum / count),
            _ => 0.0,
        };
        let variance = (spread + ITEM_PRIOR_GAPS * PRIOR_VARIANCE) / (self.count + ITEM_PRIOR_GAPS);
        variance.max(VARIANCE_MIN)
    }
}

/// What the catalog says of an item's replenishment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Declared {
    pub is_replenishable: bool,
    /// How long one unit lasts; none where the catalog leaves it to what buying shows.
    pub days: Option<f32>,
}

/// What one person did with one item.
#[derive(Debug, Clone, Copy, Default)]
pub struct OwnPurchases {
    pub gaps: Gaps,
    /// Since the last one.
    pub since_ms: i64,
}

/// Gaps between purchases by item and by category.
#[derive(Debug, Default)]
pub struct Replenishment {
    items: FxHashMap<ItemIndex, Gaps>,
    /// By leaf category, as it was when the gap was learnt.
    leaves: FxHashMap<u32, Gaps>,
}

impl Replenishment {
    /// A person bought an item again; `leaf` is its category.
    pub fn record(&mut self, item: ItemIndex, leaf: u32, gap_ms: i64) {
        if gap_ms < SAME_ERRAND_MS {
            return;
        }
        self.items.entry(item).or_default().add(gap_ms);
        self.leaves.entry(leaf).or_default().add(gap_ms);
    }

    /// How well the moment suits buying the item again, 0..1: the share of its buyers
    /// who do, times the density of their time against its peak. Rises until the item
    /// is due and falls when that is long past. `buyers` counts all buyers of the item.
    pub fn due(
        &self,
        item: ItemIndex,
        leaf: u32,
        buyers: f32,
        declared: Declared,
        own: &OwnPurchases,
    ) -> f32 {
        let gaps = self.items.get(&item).copied().unwrap_or_default();
        let category = self.leaves.get(&leaf).copied().unwrap_or_default();
        let mean = match declared.days {
            Some(days) => gaps.mean(days.max(0.1).ln(), DECLARED_GAPS),
            None => {
                let prior = category.mean(PRIOR_DAYS.ln(), CATEGORY_PRIOR_GAPS);
                gaps.mean(prior, ITEM_PRIOR_GAPS)
            }
        };
        let mean = own.gaps.mean(mean, PERSON_PRIOR_GAPS);
        let days = (own.since_ms as f64 / DAY_MS).max(0.01) as f32;
        let off = days.ln() - mean;
        let density = (-off * off / (2.0 * gaps.variance())).exp();
        share(&gaps, buyers, declared, own) * density
    }

    /// Whether people are known to buy it again and again, without the catalog's word.
    pub fn is_bought_again(&self, item: ItemIndex, buyers: f32) -> bool {
        let gaps = self.items.get(&item).copied().unwrap_or_default();
        gaps.count >= 3.0 && gaps.count >= 0.2 * buyers
    }

    pub fn touched(&self) -> impl Iterator<Item = ItemIndex> + '_ {
        self.items.keys().copied()
    }

    /// By position in the list of ids that goes with it.
    pub fn store(&self, position: &FxHashMap<ItemIndex, u32>) -> StoredReplenishment {
        let items = self.items.iter();
        StoredReplenishment {
            items: items
                .filter_map(|(item, gaps)| Some((*position.get(item)?, *gaps)))
                .collect(),
        }
    }

    /// The categories follow from the items, as they are filed now.
    pub fn restore(
        stored: StoredReplenishment,
        indexes: &[ItemIndex],
        leaf_of: impl Fn(ItemIndex) -> u32,
    ) -> Self {
        let mut restored = Self::default();
        for (position, gaps) in stored.items {
            let Some(item) = indexes.get(position as usize) else {
                continue;
            };
            restored.items.insert(*item, gaps);
            let leaf = restored.leaves.entry(leaf_of(*item)).or_default();
            leaf.count += gaps.count;
            leaf.sum += gaps.sum;
            leaf.squares += gaps.squares;
        }
        restored
    }
}

/// The share of buyers who buy again; someone who did so before tells more than others.
fn share(gaps: &Gaps, buyers: f32, declared: Declared, own: &OwnPurchases) -> f32 {
    let (prior, prior_buyers) = match declared.is_replenishable {
        true => DECLARED_SHARE,
        false => SHARE_PRIOR,
    };
    let own_buyers = OWN_BUYERS * own.gaps.count;
    let again = gaps.count.min(buyers) + prior * prior_buyers + own_buyers;
    let all = buyers.max(gaps.count) + prior_buyers + own_buyers;
    again / all
}

/// What is stored of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct StoredReplenishment {
    items: Vec<(u32, Gaps)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = DAY_MS as i64;
    const MILK: ItemIndex = 1;
    const DAIRY: u32 = 7;

    fn learnt() -> Replenishment {
        let mut model = Replenishment::default();
        for person in 0..20 {
            model.record(MILK, DAIRY, (6 + person % 3) * DAY);
        }
        model
    }

    fn due(model: &Replenishment, item: ItemIndex, days: i64, gaps: &[i64]) -> f32 {
        let mut own = OwnPurchases {
            since_ms: days * DAY,
            ..OwnPurchases::default()
        };
        gaps.iter().for_each(|gap| own.gaps.add(gap * DAY));
        model.due(item, DAIRY, 30.0, Declared::default(), &own)
    }

    /// The day on which the score is highest.
    fn peak(score: impl Fn(i64) -> f32) -> i64 {
        (1..200)
            .max_by(|a, b| score(*a).total_cmp(&score(*b)))
            .unwrap()
    }

    #[test]
    fn an_item_is_due_after_its_cycle_and_not_long_after() {
        let model = learnt();
        let at = |days| due(&model, MILK, days, &[]);
        assert!((6..=9).contains(&peak(at)), "{}", peak(at));
        assert!(at(2) < at(5) && at(5) < at(7));
        assert!(at(60) < at(14) && at(14) < at(8));
        assert!(at(60) < 0.05);
    }

    #[test]
    fn a_persons_own_cycle_counts_more_than_that_of_others() {
        let model = learnt();
        let peak = peak(|days| due(&model, MILK, days, &[20, 22, 19, 21]));
        assert!((15..=21).contains(&peak), "{peak}");
    }

    #[test]
    fn an_unknown_item_takes_after_its_category_and_then_after_a_month() {
        let model = learnt();
        let like_milk = peak(|days| due(&model, 2, days, &[]));
        assert!((6..=10).contains(&like_milk), "{like_milk}");
        let like_nothing = peak(|days| due(&Replenishment::default(), 2, days, &[]));
        assert_eq!(like_nothing, 30);
    }

    #[test]
    fn what_the_catalog_declares_stands_until_buying_shows_otherwise() {
        let declared = Declared {
            is_replenishable: true,
            days: Some(90.0),
        };
        let at = |model: &Replenishment, days: i64| {
            let own = OwnPurchases {
                since_ms: days * DAY,
                ..OwnPurchases::default()
            };
            model.due(MILK, DAIRY, 30.0, declared, &own)
        };
        let fresh = Replenishment::default();
        assert_eq!(peak(|days| at(&fresh, days)), 90);
        assert!(at(&fresh, 90) > 0.1);
        let learnt = learnt();
        assert!(peak(|days| at(&learnt, days)) < 20);
    }

    #[test]
    fn errands_of_one_day_are_no_cycle() {
        let mut model = Replenishment::default();
        model.record(MILK, DAIRY, 3_600_000);
        assert_eq!(model.touched().count(), 0);
        assert!(!model.is_bought_again(MILK, 1.0));
        assert!(learnt().is_bought_again(MILK, 30.0));
    }

    #[test]
    fn a_restored_state_answers_the_same() {
        let model = learnt();
        let position = FxHashMap::from_iter([(MILK, 0)]);
        let bytes = postcard::to_stdvec(&model.store(&position)).unwrap();
        let stored = postcard::from_bytes(&bytes).unwrap();
        let again = Replenishment::restore(stored, &[MILK], |_| DAIRY);
        for item in [MILK, 2] {
            assert_eq!(due(&model, item, 7, &[]), due(&again, item, 7, &[]));
        }
    }
}
