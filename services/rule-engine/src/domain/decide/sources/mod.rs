//! How each source finds candidates and what it gives them, 0..1. Ranked sources give
//! by rank (as discounted cumulative gain discounts), since their own units compare
//! with nothing; neighbour sources give in proportion to their best.

mod again;
mod changed;
mod few;
mod follow;

use std::sync::LazyLock;

use smallvec::SmallVec;

use super::{
    ItemIndex, Placement,
    pool::{Feature, Lead, Part, Relation},
};
use crate::domain::{
    plan::{SourceKind, SourcePlan},
    popularity::Signal,
};
pub(super) use few::best_first;
pub(super) use follow::Workspace;
use follow::{Found, Trail};

const RECENTLY_VIEWED_MAX: usize = 20;

pub(super) fn collect(placement: &mut Placement<'_>, workspace: &mut Workspace) {
    let strategy = placement.strategy;
    for (number, source) in strategy.sources.iter().enumerate() {
        collect_one(placement, workspace, number, source);
    }
}

fn collect_one(
    placement: &mut Placement<'_>,
    workspace: &mut Workspace,
    number: usize,
    source: &SourcePlan,
) {
    let models = placement.scene.models;
    let limit = (3 * placement.ask.count).clamp(30, 300);
    let mut ranked = Ranking {
        placement,
        number,
        weight: source.weight,
        limit,
        taken: 0,
    };
    if few::take(&mut ranked, &source.kind, &mut workspace.few) {
        return;
    }
    match &source.kind {
        SourceKind::Editorial { items } => ranked.take(items.iter().copied()),
        SourceKind::Popular { signal } => ranked.take(models.popularity.popular(*signal).iter()),
        SourceKind::Trending { signal } => ranked.take(models.popularity.trending(*signal).iter()),
        SourceKind::RecentlyViewed => {
            ranked.limit = RECENTLY_VIEWED_MAX;
            let recent = ranked.placement.request.recent;
            let viewed = recent.iter().filter(|r| r.signal == Signal::View);
            ranked.take_distinct(viewed.map(|r| r.item));
        }
        SourceKind::New { window_ms } => changed::take_new(&mut ranked, *window_ms),
        SourceKind::PriceDropped {
            window_ms,
            share_min,
        } => changed::take_dropped(&mut ranked, *window_ms, *share_min),
        SourceKind::BackInStock { window_ms } => changed::take_restocked(&mut ranked, *window_ms),
        SourceKind::BuyAgain => again::take_due(&mut ranked),
        SourceKind::AlsoBought => ranked.follow(workspace, Trail::Purchases),
        SourceKind::Similar => ranked.follow(workspace, Trail::Likeness),
        SourceKind::AlsoViewed => ranked.follow(workspace, Trail::Views),
        SourceKind::CartComplement => ranked.follow(workspace, Trail::Complements),
        SourceKind::SegmentAffinity => ranked.follow(workspace, Trail::Segments),
        SourceKind::BecauseViewed => {
            let max = ranked.found_max();
            let found = follow::one_view(ranked.placement, workspace, max);
            ranked.take_found(found);
        }
    }
}

/// One source while it puts what it found into the pool.
struct Ranking<'p, 'a> {
    placement: &'p mut Placement<'a>,
    number: usize,
    weight: f64,
    limit: usize,
    taken: usize,
}

impl Ranking<'_, '_> {
    fn is_full(&self) -> bool {
        self.taken >= self.limit
    }

    /// By rank among those that may be shown here.
    fn take(&mut self, items: impl Iterator<Item = ItemIndex>) {
        for index in items {
            if self.is_full() {
                break;
            }
            let score = rank_score(self.taken);
            self.offer(index, score, None);
        }
    }

    fn take_distinct(&mut self, items: impl Iterator<Item = ItemIndex>) {
        let mut seen: SmallVec<[ItemIndex; 24]> = SmallVec::new();
        for index in items {
            if self.is_full() {
                break;
            }
            if !seen.contains(&index) {
                seen.push(index);
                self.offer(index, rank_score(self.taken), None);
            }
        }
    }

    fn follow(&mut self, workspace: &mut Workspace, trail: Trail) {
        let found = follow::follow(self.placement, workspace, trail, self.found_max());
        self.take_found(found);
    }

    /// Some of what is found may not be shown.
    fn found_max(&self) -> usize {
        2 * self.limit
    }

    /// What was found by following, in proportion to the best that may be shown.
    fn take_found(&mut self, found: &[Found]) {
        let mut best = None;
        for found in found {
            if self.is_full() {
                break;
            }
            let score = (found.sum / best.unwrap_or(found.sum)).min(1.0);
            if self.offer(found.index, score, found.lead) && best.is_none() {
                best = Some(found.sum);
            }
        }
    }

    /// True if the item was taken. One that is in the pool is eligible already.
    fn offer(&mut self, index: ItemIndex, value: f32, lead: Option<Lead>) -> bool {
        let placement = &mut *self.placement;
        let candidate = match placement.pool.position(index) {
            Some(candidate) => Some(candidate),
            None if placement.is_eligible(index) => placement.pool.enter(index),
            None => return false,
        };
        if let Some(candidate) = candidate {
            let part = Part {
                candidate,
                feature: Feature::Source(self.number as u16),
                value,
                lead,
            };
            placement.pool.add(part, self.weight);
        }
        self.taken += 1;
        true
    }
}

/// How a lead came to be one.
fn relation_of(signal: Signal) -> Relation {
    match signal {
        Signal::View => Relation::Viewed,
        Signal::Purchase => Relation::Bought,
        Signal::AddToCart => Relation::Present,
    }
}

/// 1, 0.63, 0.5, 0.43 …
pub(super) fn rank_score(rank: usize) -> f32 {
    static SCORES: LazyLock<[f32; 512]> =
        LazyLock::new(|| std::array::from_fn(|rank| 1.0 / (rank as f32 + 2.0).log2()));
    SCORES[rank.min(511)]
}
