//! From ranked candidates to slots: pins, promotions, exploration, the ranking within
//! the limits of diversity, and what is shown where that does not suffice. Says what put
//! each item where it is and how likely that was; the reasons are written elsewhere.

mod chance;
mod limits;
mod marginal;

use super::{
    ItemIndex, Placement, RuleAction, draw::Draw, pool::Rank, sources::best_first, trace::Cause,
};
use chance::Chance;
use limits::Limits;
use marginal::Marginal;

/// Items looked at, the newest first, where neither sources nor popularity suffice.
const LAST_RESORT_MAX: usize = 4096;

/// What put an item into a slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Origin {
    Pin { rule: usize },
    Promotion,
    Ranking,
    Exploration,
    Fallback,
    Popular,
    New,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Filled {
    pub index: ItemIndex,
    pub origin: Origin,
    /// With which it was put here, given the slots that were filled before.
    pub propensity: f64,
}

/// Slots while they are filled. Reused from one placement to the next.
#[derive(Default)]
pub(super) struct Slots {
    pub filled: Vec<Option<Filled>>,
    limits: Limits,
    marginal: Marginal,
    chance: Chance,
    promoted: Vec<ItemIndex>,
    draw: Draw,
}

impl Slots {
    /// So many empty slots; whatever is left to chance follows from the seed.
    pub fn begin(&mut self, count: usize, seed: u64) {
        self.filled.clear();
        self.filled.resize(count, None);
        self.limits.clear();
        self.chance.begin(count);
        self.draw = Draw::new(seed);
    }

    pub fn is_full(&self) -> bool {
        self.filled.iter().all(Option::is_some)
    }

    /// Pins in the order of their rules; where a position is taken, the next free one.
    pub fn pin(&mut self, placement: &mut Placement<'_>) {
        let active = placement.active;
        for (rule, plan) in active.iter().enumerate() {
            let RuleAction::Pin { position, items } = &plan.action else {
                continue;
            };
            let mut wanted = *position;
            for &index in items {
                let free = (wanted..self.filled.len()).find(|at| self.filled[*at].is_none());
                let Some(at) = free else {
                    break;
                };
                if placement.is_eligible(index) {
                    self.place(placement, at, index, Origin::Pin { rule }, 1.0);
                    wanted = at + 1;
                }
            }
        }
    }

    /// The ranking of a strategy; of the placement's own one with promotions at even
    /// distances in it, and now and then something little known.
    pub fn rank(&mut self, placement: &mut Placement<'_>) {
        let is_own = placement.is_own_strategy();
        let promotions = placement.strategy.promotions.as_ref();
        let promotions = promotions.filter(|_| is_own);
        let mut queue = Queue::new(placement, self);
        let mut promoted = 0;
        for at in 0..self.filled.len() {
            if self.filled[at].is_some() {
                continue;
            }
            // What a pin held up is made up for in the next free slot.
            let is_due = |share| promoted < whole(share, at + 1);
            if promotions.is_some_and(|p| is_due(p.share))
                && let Some(index) = self.next_promoted(placement, &queue)
            {
                promoted += 1;
                self.place(placement, at, index, Origin::Promotion, 1.0);
                continue;
            }
            let next = queue.next(placement, self);
            let drawn = is_own.then(|| self.explore(placement, at, next)).flatten();
            if let Some((index, propensity)) = drawn {
                self.place(placement, at, index, Origin::Exploration, propensity);
            } else if let Some(index) = next {
                let propensity = match is_own {
                    true => self.chance.left_at(at),
                    false => self.chance.left_for(at, index),
                };
                self.place(placement, at, index, Origin::Ranking, propensity);
            }
        }
        queue.give_back(placement);
        self.marginal.clear();
        self.promoted.clear();
    }

    /// Something little known instead of the next of the ranking, with the strategy's
    /// share as its probability where there is any.
    fn explore(
        &mut self,
        placement: &Placement<'_>,
        at: usize,
        next: Option<ItemIndex>,
    ) -> Option<(ItemIndex, f64)> {
        let share = placement.strategy.exploration_share;
        if share <= 0.0 {
            return None;
        }
        self.chance.look_around(placement);
        let (limits, draw) = (&self.limits, &mut self.draw);
        let may_be = |index: ItemIndex| {
            Some(index) != next && is_free(placement, index) && limits.allow(placement, index)
        };
        self.chance.draw(at, share, draw, may_be)
    }

    /// Promoted items by rank, then by popularity, then by age.
    fn next_promoted(&mut self, placement: &Placement<'_>, queue: &Queue) -> Option<ItemIndex> {
        let promotions = placement.strategy.promotions.as_ref()?;
        let items = placement.scene.items;
        if self.promoted.is_empty() {
            let mut ranked = queue.order.clone();
            ranked.sort_unstable();
            let ranked = ranked.into_iter().map(Rank::index);
            let popular = placement.scene.models.popularity.popular(None).iter();
            let newest = items.by_publication().take(LAST_RESORT_MAX);
            let all = ranked.chain(popular).chain(newest);
            let promoted = all.filter(|index| promotions.filter.holds(items, *index));
            for index in promoted {
                // Twice what is due, for limits may leave some out.
                if self.promoted.len() == 2 * self.filled.len() {
                    break;
                }
                if !self.promoted.contains(&index) && placement.eligibility(index).is_ok() {
                    self.promoted.push(index);
                }
            }
        }
        let mut promoted = self.promoted.iter().copied();
        promoted.find(|&index| is_free(placement, index) && self.limits.allow(placement, index))
    }

    /// What an editor chose for want of better.
    pub fn fall_back(&mut self, placement: &mut Placement<'_>) {
        self.limits.begin(placement, &self.filled);
        let plan = &placement.ask.plan;
        self.fill_from(placement, plan.fallback.iter().copied(), Origin::Fallback);
    }

    /// What is popular, and then what is new.
    pub fn top_up(&mut self, placement: &mut Placement<'_>) {
        let scene = placement.scene;
        if let Some(few) = placement.filters.selective().filter(|_| !self.is_full()) {
            let (popular, others) = best_first(scene, few);
            self.fill_from(placement, popular.into_iter(), Origin::Popular);
            self.fill_from(placement, others.into_iter(), Origin::New);
            return;
        }
        let popular = scene.models.popularity.popular(None);
        self.fill_from(placement, popular.iter(), Origin::Popular);
        let newest = scene.items.by_publication().take(LAST_RESORT_MAX);
        self.fill_from(placement, newest, Origin::New);
    }

    fn fill_from(
        &mut self,
        placement: &mut Placement<'_>,
        items: impl Iterator<Item = ItemIndex>,
        origin: Origin,
    ) {
        let mut at = 0;
        for index in items {
            while self.filled.get(at).is_some_and(Option::is_some) {
                at += 1;
            }
            if at == self.filled.len() {
                return;
            }
            if placement.is_eligible(index) && self.limits.allow(placement, index) {
                let propensity = self.chance.left_for(at, index);
                self.place(placement, at, index, origin, propensity);
            }
        }
    }

    fn place(
        &mut self,
        placement: &mut Placement<'_>,
        at: usize,
        index: ItemIndex,
        origin: Origin,
        propensity: f64,
    ) {
        self.limits.count(placement, index);
        self.marginal.placed(placement, index);
        placement.blocked.get_or_insert(index, placement.mark);
        self.filled[at] = Some(Filled {
            index,
            origin,
            propensity,
        });
    }
}

/// How many of the first `slots` a share comes to, without what floats add.
fn whole(share: f64, slots: usize) -> usize {
    (share * slots as f64 + 1e-9) as usize
}

/// Candidates were eligible when they were found; since then one may have been shown.
fn is_free(placement: &Placement<'_>, index: ItemIndex) -> bool {
    !placement.blocked.contains(index)
}

/// The candidates of one strategy, the best first.
struct Queue {
    order: Vec<Rank>,
    next: usize,
    sorted: usize,
}

impl Queue {
    fn new(placement: &mut Placement<'_>, slots: &mut Slots) -> Self {
        let sorted = 4 * slots.filled.len();
        let order = placement.pool.ranking(sorted);
        let head = &order[..sorted.min(order.len())];
        slots.marginal.begin(placement, head);
        for filled in slots.filled.iter().flatten() {
            slots.marginal.placed(placement, filled.index);
        }
        slots.limits.begin(placement, &slots.filled);
        Self {
            order,
            next: 0,
            sorted,
        }
    }

    /// The best that is free and within the limits. The same again until it is placed.
    fn next(&mut self, placement: &mut Placement<'_>, slots: &Slots) -> Option<ItemIndex> {
        let may_be = |index| is_free(placement, index) && slots.limits.allow(placement, index);
        if let Some(index) = slots.marginal.best(may_be) {
            return Some(index);
        }
        while self.next < self.order.len() {
            if self.next == self.sorted {
                self.order[self.sorted..].sort_unstable();
            }
            let index = self.order[self.next].index();
            if is_free(placement, index) {
                if slots.limits.allow(placement, index) {
                    return Some(index);
                }
                placement.tally.refuse(index, Cause::DiversityLimit);
            }
            self.next += 1;
        }
        None
    }

    fn give_back(self, placement: &mut Placement<'_>) {
        placement.pool.reuse(self.order);
    }
}
