//! From ranked candidates to slots: pins, exploration, the ranking under the limit per
//! category, and what is shown where that does not suffice.

use rustc_hash::FxHashMap;

use super::{Decided, ItemIndex, Placement, RuleAction, draw::Draw, reasons, trace::Cause};
use crate::domain::items::NO_CATEGORY;

/// Items drawn for one exploration slot before it is given to the ranking.
const DRAWS_MAX: usize = 16;
/// Items looked at, the newest first, where neither sources nor popularity suffice.
const LAST_RESORT_MAX: usize = 4096;

/// What put an item into a slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Origin {
    Pin { rule: usize },
    Ranking { candidate: u32 },
    Exploration,
    Fallback,
    Popular,
    New,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Filled {
    pub index: ItemIndex,
    pub origin: Origin,
    pub propensity: f64,
}

pub(super) fn fill(placement: &mut Placement<'_>) -> Decided {
    let count = placement.ask.count;
    let mut filling = Filling {
        slots: vec![None; count],
        per_category: FxHashMap::default(),
        placement,
    };
    filling.pin();
    filling.rank();
    let had_nothing = filling.slots.iter().all(Option::is_none);
    if had_nothing {
        filling.fall_back();
    }
    filling.top_up();
    if !had_nothing {
        filling.fall_back();
    }
    let slots = std::mem::take(&mut filling.slots);
    let filled: Vec<Filled> = slots.into_iter().flatten().collect();
    let is_fallback =
        !filled.is_empty() && filled.iter().all(|slot| slot.origin == Origin::Fallback);
    Decided {
        slots: reasons::explain(placement, &filled),
        is_fallback,
        trace: None,
    }
}

struct Filling<'p, 'a> {
    placement: &'p mut Placement<'a>,
    slots: Vec<Option<Filled>>,
    per_category: FxHashMap<u32, usize>,
}

impl Filling<'_, '_> {
    /// Pins in the order of their rules; where a position is taken, the next free one.
    fn pin(&mut self) {
        let active = self.placement.active;
        for (rule, plan) in active.iter().enumerate() {
            let RuleAction::Pin { position, items } = &plan.action else {
                continue;
            };
            let mut wanted = *position;
            for &index in items {
                let free = (wanted..self.slots.len()).find(|at| self.slots[*at].is_none());
                let Some(at) = free else {
                    break;
                };
                if self.placement.is_eligible(index) {
                    self.place(at, index, Origin::Pin { rule }, 1.0);
                    wanted = at + 1;
                }
            }
        }
    }

    fn rank(&mut self) {
        let share = self.placement.ask.plan.strategy.exploration_share;
        let mut draw = Draw::new(self.placement.ask.seed);
        let sorted = 4 * self.slots.len();
        let mut order = self.placement.pool.ranking(sorted);
        let mut next = 0;
        for at in 0..self.slots.len() {
            if self.slots[at].is_some() {
                continue;
            }
            if share > 0.0 && draw.happens(share) && self.explore(at, share, &mut draw) {
                continue;
            }
            while next < order.len() {
                if next == sorted {
                    order[sorted..].sort_unstable();
                }
                let (candidate, index) = (order[next].candidate(), order[next].index());
                next += 1;
                if !self.is_free(index) {
                    continue;
                }
                if self.fits_category(index) {
                    self.place(at, index, Origin::Ranking { candidate }, 1.0 - share);
                    break;
                }
                self.placement.tally.refuse(index, Cause::DiversityLimit);
            }
        }
        self.placement.pool.reuse(order);
    }

    /// Draws uniformly among the items little is known about.
    fn explore(&mut self, at: usize, share: f64, draw: &mut Draw) -> bool {
        let little_known = self.placement.scene.models.popularity.little_known();
        let size = little_known.len();
        for _ in 0..DRAWS_MAX.min(size as usize) {
            let Some(index) = little_known.select(draw.below(size) as u32) else {
                break;
            };
            if self.placement.is_eligible(index) && self.fits_category(index) {
                self.place(at, index, Origin::Exploration, share / size as f64);
                return true;
            }
        }
        false
    }

    fn fall_back(&mut self) {
        let plan = &self.placement.ask.plan;
        self.fill_from(plan.fallback.iter().copied(), Origin::Fallback);
    }

    fn top_up(&mut self) {
        let scene = self.placement.scene;
        let popular = scene.models.popularity.popular(None);
        self.fill_from(popular.iter(), Origin::Popular);
        let newest = scene.items.by_publication().take(LAST_RESORT_MAX);
        self.fill_from(newest, Origin::New);
    }

    fn fill_from(&mut self, items: impl Iterator<Item = ItemIndex>, origin: Origin) {
        let mut at = 0;
        for index in items {
            while self.slots.get(at).is_some_and(Option::is_some) {
                at += 1;
            }
            if at == self.slots.len() {
                return;
            }
            if self.placement.is_eligible(index) && self.fits_category(index) {
                self.place(at, index, origin, 1.0);
            }
        }
    }

    /// Candidates were eligible when they were found; since then one may have been shown.
    fn is_free(&self, index: ItemIndex) -> bool {
        !self.placement.blocked.contains(index)
    }

    fn fits_category(&self, index: ItemIndex) -> bool {
        let max = self.placement.ask.plan.strategy.category_max;
        if max == 0 {
            return true;
        }
        let leaf = self.placement.scene.items.leaf_of(index);
        leaf == NO_CATEGORY || self.per_category.get(&leaf).copied().unwrap_or(0) < max
    }

    fn place(&mut self, at: usize, index: ItemIndex, origin: Origin, propensity: f64) {
        if self.placement.ask.plan.strategy.category_max > 0 {
            let leaf = self.placement.scene.items.leaf_of(index);
            *self.per_category.entry(leaf).or_default() += 1;
        }
        let mark = self.placement.mark;
        self.placement.blocked.get_or_insert(index, mark);
        self.slots[at] = Some(Filled {
            index,
            origin,
            propensity,
        });
    }
}
