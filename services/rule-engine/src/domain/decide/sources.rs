//! How each source finds candidates and what it gives them, 0..1. Ranked sources give
//! by rank (as discounted cumulative gain discounts), since their own units compare
//! with nothing; neighbour sources give in proportion to their best.

use std::sync::LazyLock;

use smallvec::SmallVec;

use super::{
    ItemIndex, Placement,
    places::Places,
    pool::{Lead, Relation},
};
use crate::domain::{
    plan::{SourceKind, SourcePlan},
    popularity::Signal,
};

const RECENTLY_VIEWED_MAX: usize = 20;
/// Items that lead to others.
const SEEDS_MAX: usize = 6;
/// What each older lead counts against the one after it.
const AGEING: f32 = 0.85;

/// Memory for following neighbours.
#[derive(Default)]
pub(super) struct Workspace {
    found: Vec<Found>,
    places: Places,
    ranked: Vec<(Rank, u32)>,
}

impl Workspace {
    fn clear(&mut self) {
        self.found.clear();
        self.places.clear();
    }
}

/// The higher sum first and among equals the lower item, in a number; sums are never
/// below 0, so that their bits order as they do.
type Rank = u64;

#[derive(Clone, Copy)]
struct Found {
    index: ItemIndex,
    sum: f32,
    best: f32,
    lead: Lead,
}

impl Found {
    fn rank(&self) -> Rank {
        u64::from(!self.sum.to_bits()) << 32 | u64::from(self.index)
    }
}

#[derive(Clone, Copy)]
struct Seed {
    weight: f32,
    lead: Lead,
}

pub(super) fn collect(placement: &mut Placement<'_>, workspace: &mut Workspace) {
    let strategy = &placement.ask.plan.strategy;
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
        SourceKind::New { window_ms } => ranked.take_new(*window_ms),
        SourceKind::AlsoBought => {
            follow_purchases(ranked.placement, workspace);
            ranked.take_found(workspace);
        }
        SourceKind::Similar => {
            follow_likeness(ranked.placement, workspace);
            ranked.take_found(workspace);
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
    /// By rank among those that may be shown here.
    fn take(&mut self, items: impl Iterator<Item = ItemIndex>) {
        for index in items {
            if self.taken == self.limit {
                break;
            }
            let score = rank_score(self.taken);
            self.offer(index, score, None);
        }
    }

    fn take_distinct(&mut self, items: impl Iterator<Item = ItemIndex>) {
        let mut seen: SmallVec<[ItemIndex; 24]> = SmallVec::new();
        for index in items {
            if self.taken == self.limit {
                break;
            }
            if !seen.contains(&index) {
                seen.push(index);
                self.offer(index, rank_score(self.taken), None);
            }
        }
    }

    /// By age: 1 for what was published just now, 0 at the window's end.
    fn take_new(&mut self, window_ms: i64) {
        let now_ms = self.placement.request.now_ms;
        for &(time_ms, index) in self.placement.scene.items.newest() {
            let age_ms = now_ms.saturating_sub(time_ms).max(0);
            if age_ms >= window_ms || self.taken == self.limit {
                break;
            }
            let score = 1.0 - age_ms as f32 / window_ms as f32;
            self.offer(index, score, None);
        }
    }

    fn take_found(&mut self, workspace: &mut Workspace) {
        let ranked = &mut workspace.ranked;
        ranked.clear();
        ranked.extend(workspace.found.iter().map(Found::rank).zip(0..));
        // Twice the limit, for some will not be eligible; what is beyond is not sorted.
        if ranked.len() > 2 * self.limit {
            ranked.select_nth_unstable_by_key(2 * self.limit, |(rank, _)| *rank);
            ranked.truncate(2 * self.limit);
        }
        ranked.sort_unstable_by_key(|(rank, _)| *rank);
        let mut best = None;
        for (_, at) in ranked.iter() {
            if self.taken == self.limit {
                break;
            }
            let Found {
                index, sum, lead, ..
            } = workspace.found[*at as usize];
            let score = (sum / best.unwrap_or(sum)).min(1.0);
            if self.offer(index, score, Some(lead)) && best.is_none() {
                best = Some(sum);
            }
        }
    }

    /// True if the item was taken. One that is in the pool is eligible already.
    fn offer(&mut self, index: ItemIndex, score: f32, lead: Option<Lead>) -> bool {
        let placement = &mut *self.placement;
        let candidate = match placement.pool.position(index) {
            Some(candidate) => Some(candidate),
            None if placement.is_eligible(index) => placement.pool.enter(index),
            None => return false,
        };
        if let Some(candidate) = candidate {
            placement
                .pool
                .add(candidate, self.number, self.weight, score, lead);
        }
        self.taken += 1;
        true
    }
}

/// What those bought who bought the seeds.
fn follow_purchases(placement: &Placement<'_>, workspace: &mut Workspace) {
    let co_purchase = &placement.scene.models.co_purchase;
    workspace.clear();
    for seed in seeds(placement, |signal| signal != Signal::View) {
        for (index, similarity) in co_purchase.neighbours(seed.lead.item) {
            note(workspace, index, similarity * seed.weight, seed.lead);
        }
    }
}

/// What is like the seeds.
fn follow_likeness(placement: &Placement<'_>, workspace: &mut Workspace) {
    let scene = placement.scene;
    workspace.clear();
    for seed in seeds(placement, |_| true) {
        let alike = scene
            .similar
            .similar(scene.items, scene.models, seed.lead.item);
        for &(index, share) in alike.iter() {
            note(workspace, index, share * seed.weight, seed.lead);
        }
    }
}

fn note(workspace: &mut Workspace, index: ItemIndex, value: f32, lead: Lead) {
    let next = workspace.found.len() as u32;
    let Some(at) = workspace.places.get_or_insert(index, next) else {
        workspace.found.push(Found {
            index,
            sum: value,
            best: value,
            lead,
        });
        return;
    };
    let found = &mut workspace.found[at as usize];
    found.sum += value;
    if value > found.best {
        found.best = value;
        found.lead = lead;
    }
}

/// What the placement or page is about, then the basket, then what the person did, the
/// newest first and each older one counting less.
fn seeds(
    placement: &Placement<'_>,
    is_wanted: impl Fn(Signal) -> bool,
) -> SmallVec<[Seed; SEEDS_MAX]> {
    let request = placement.request;
    let mut seeds: SmallVec<[Seed; SEEDS_MAX]> = SmallVec::new();
    let mut push = |item, weight, relation| {
        if seeds.len() < SEEDS_MAX && seeds.iter().all(|s| s.lead.item != item) {
            let lead = Lead { item, relation };
            seeds.push(Seed { weight, lead });
            return true;
        }
        false
    };
    for item in placement.ask.item.into_iter().chain(request.page_item) {
        push(item, 1.0, Relation::Present);
    }
    for item in request.cart.iter().take(SEEDS_MAX / 2) {
        push(*item, 1.0, Relation::Present);
    }
    let mut weight = 1.0;
    for recent in request.recent.iter().filter(|r| is_wanted(r.signal)) {
        let relation = match recent.signal {
            Signal::View => Relation::Viewed,
            Signal::Purchase => Relation::Bought,
            Signal::AddToCart => Relation::Present,
        };
        if push(recent.item, weight, relation) {
            weight *= AGEING;
        }
    }
    seeds
}

/// 1, 0.63, 0.5, 0.43 …
pub(super) fn rank_score(rank: usize) -> f32 {
    static SCORES: LazyLock<[f32; 512]> =
        LazyLock::new(|| std::array::from_fn(|rank| 1.0 / (rank as f32 + 2.0).log2()));
    SCORES[rank.min(511)]
}
