//! Sources that follow an item to its neighbours: by purchases, by likeness, by views,
//! from the basket, from one item that is named, and from segments to what they like.

use std::ops::Range;

use smallvec::SmallVec;

use super::{
    super::{
        ItemIndex, Placement,
        places::Places,
        pool::{Lead, Relation},
    },
    few, relation_of,
};
use crate::domain::{inverted::Neighbour, items::NO_CATEGORY, popularity::Signal};

/// What each older lead counts against the one after it.
const AGEING: f32 = 0.85;
/// Recently viewed items that are tried as the one to name.
const NAMED_TRIES_MAX: usize = 5;
/// What being viewed with an item counts against being like it.
const VIEWED_WITH_WEIGHT: f32 = 1.0;
const LIKENESS_WEIGHT: f32 = 0.8;
/// More of the kind that is in the basket replaces rather than completes it.
const SUBSTITUTE_WEIGHT: f32 = 0.2;
const SEGMENTS_MAX: usize = 8;

/// What is followed from the seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trail {
    Purchases,
    Likeness,
    Views,
    Complements,
    Segments,
}

/// Memory for following neighbours.
#[derive(Default)]
pub(in super::super) struct Workspace {
    found: Vec<Found>,
    places: Places,
    ranked: Vec<(Rank, u32)>,
    /// What was found in this request, list after list, each with its best first.
    best: Vec<Found>,
    /// Trails that need not be followed again for another placement.
    followed: SmallVec<[Followed; 8]>,
    /// Items that this answer has named, so that two rows do not name the same.
    named: SmallVec<[ItemIndex; 4]>,
    /// Of the source at work, where filters let few items through.
    pub(super) few: few::Values,
}

impl Workspace {
    /// A new request begins.
    pub fn begin(&mut self) {
        self.named.clear();
        self.followed.clear();
        self.best.clear();
    }

    fn clear(&mut self) {
        self.found.clear();
        self.places.clear();
    }

    fn note(&mut self, index: ItemIndex, value: f32, lead: Option<Lead>) {
        let next = self.found.len() as u32;
        let Some(at) = self.places.get_or_insert(index, next) else {
            self.found.push(Found {
                index,
                sum: value,
                best: value,
                lead,
            });
            return;
        };
        let found = &mut self.found[at as usize];
        found.sum += value;
        if value > found.best {
            found.best = value;
            found.lead = lead;
        }
    }

    /// Puts so many of the best of what was found last into `best`, and says where.
    fn keep_best(&mut self, max: usize) -> Range<usize> {
        let ranked = &mut self.ranked;
        ranked.clear();
        ranked.extend(self.found.iter().map(Found::rank).zip(0..));
        if ranked.len() > max {
            ranked.select_nth_unstable_by_key(max, |(rank, _)| *rank);
            ranked.truncate(max);
        }
        ranked.sort_unstable_by_key(|(rank, _)| *rank);
        let start = self.best.len();
        let found = ranked.iter().map(|(_, at)| self.found[*at as usize]);
        self.best.extend(found);
        start..self.best.len()
    }
}

/// A trail, from where it was followed and what came of it.
struct Followed {
    trail: Trail,
    /// What the placement is about; everything else is the same for all of a request.
    about: Option<ItemIndex>,
    max: usize,
    best: Range<usize>,
}

/// The higher sum first and among equals the lower item, in a number; sums are never
/// below 0, so that their bits order as they do.
type Rank = u64;

#[derive(Clone, Copy)]
pub(super) struct Found {
    pub index: ItemIndex,
    pub sum: f32,
    best: f32,
    /// The one that gave most.
    pub lead: Option<Lead>,
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

type Seeds = SmallVec<[Seed; 12]>;

/// At most so many of what a trail leads to, the best first. Followed once for all
/// placements of a request that are about the same.
pub(super) fn follow<'w>(
    placement: &Placement<'_>,
    workspace: &'w mut Workspace,
    trail: Trail,
    max: usize,
) -> &'w [Found] {
    let about = placement.ask.item;
    let mut followed = workspace.followed.iter();
    let known = followed.find(|of| (of.trail, of.about, of.max) == (trail, about, max));
    let best = known.map(|of| of.best.clone());
    let best = best.unwrap_or_else(|| {
        workspace.clear();
        match trail {
            Trail::Purchases => purchases(placement, workspace),
            Trail::Likeness => likeness(placement, workspace),
            Trail::Views => views(placement, workspace),
            Trail::Complements => complements(placement, workspace),
            Trail::Segments => segments(placement, workspace),
        }
        let best = workspace.keep_best(max);
        workspace.followed.push(Followed {
            trail,
            about,
            max,
            best: best.clone(),
        });
        best
    });
    &workspace.best[best]
}

/// What those bought who bought the seeds.
fn purchases(placement: &Placement<'_>, workspace: &mut Workspace) {
    let bought = &placement.scene.models.bought;
    for seed in seeds(placement, |signal| signal != Signal::View) {
        for (index, strength) in bought.neighbours(seed.lead.item) {
            workspace.note(index, strength * seed.weight, Some(seed.lead));
        }
    }
}

/// What is like the seeds.
fn likeness(placement: &Placement<'_>, workspace: &mut Workspace) {
    for seed in seeds(placement, |_| true) {
        for &(index, share) in alike(placement, seed.lead.item).iter() {
            workspace.note(index, share * seed.weight, Some(seed.lead));
        }
    }
}

/// What those viewed who viewed the seeds.
fn views(placement: &Placement<'_>, workspace: &mut Workspace) {
    let viewed = &placement.scene.models.viewed;
    for seed in seeds(placement, |signal| signal == Signal::View) {
        for (index, strength) in viewed.neighbours(seed.lead.item) {
            workspace.note(index, strength * seed.weight, Some(seed.lead));
        }
    }
}

/// What goes with one item that the person viewed lately, the latest that leads to
/// enough. One alone, so that the whole row can be named after it, and therefore followed
/// for each placement anew.
pub(super) fn one_view<'w>(
    placement: &Placement<'_>,
    workspace: &'w mut Workspace,
    max: usize,
) -> &'w [Found] {
    let mut best: Option<(usize, Lead)> = None;
    for lead in to_name(placement, workspace) {
        follow_one(placement, workspace, lead);
        let found = workspace.found.iter();
        let eligible = found.filter(|found| placement.eligibility(found.index).is_ok());
        let count = eligible.take(placement.ask.count).count();
        if best.is_none_or(|(most, _)| count > most) {
            best = Some((count, lead));
        }
        if count == placement.ask.count {
            break;
        }
    }
    workspace.clear();
    if let Some((_, lead)) = best.filter(|(count, _)| *count > 0) {
        follow_one(placement, workspace, lead);
        workspace.named.push(lead.item);
    }
    let best = workspace.keep_best(max);
    &workspace.best[best]
}

/// The latest views, those that no other row is named after first.
fn to_name(placement: &Placement<'_>, workspace: &Workspace) -> SmallVec<[Lead; NAMED_TRIES_MAX]> {
    let mut leads: SmallVec<[Lead; NAMED_TRIES_MAX]> = SmallVec::new();
    let recent = placement.request.recent.iter();
    let viewed = recent.filter(|recent| recent.signal == Signal::View);
    for is_second_choice in [false, true] {
        for recent in viewed.clone() {
            let is_new = leads.iter().all(|lead| lead.item != recent.item);
            let is_named = workspace.named.contains(&recent.item);
            if leads.len() < NAMED_TRIES_MAX && is_new && is_named == is_second_choice {
                leads.push(Lead {
                    item: recent.item,
                    relation: Relation::Viewed,
                });
            }
        }
    }
    leads
}

fn follow_one(placement: &Placement<'_>, workspace: &mut Workspace, lead: Lead) {
    workspace.clear();
    for (index, strength) in placement.scene.models.viewed.neighbours(lead.item) {
        workspace.note(index, VIEWED_WITH_WEIGHT * strength, Some(lead));
    }
    for &(index, share) in alike(placement, lead.item).iter() {
        workspace.note(index, LIKENESS_WEIGHT * share, Some(lead));
    }
}

/// What is bought with the basket and is no more of the same.
fn complements(placement: &Placement<'_>, workspace: &mut Workspace) {
    let (items, cart) = (placement.scene.items, placement.request.cart);
    let bought = &placement.scene.models.bought;
    let leaf_of = |index| Some(items.leaf_of(index)).filter(|leaf| *leaf != NO_CATEGORY);
    let leaves: SmallVec<[u32; 16]> = cart.iter().filter_map(|item| leaf_of(*item)).collect();
    for &item in cart
        .iter()
        .rev()
        .take(placement.scene.models.reach.seeds_max)
    {
        let lead = Lead {
            item,
            relation: Relation::Present,
        };
        for (index, strength) in bought.neighbours(item) {
            let is_substitute = leaf_of(index).is_some_and(|leaf| leaves.contains(&leaf));
            let weight = if is_substitute {
                SUBSTITUTE_WEIGHT
            } else {
                1.0
            };
            workspace.note(index, weight * strength, Some(lead));
        }
    }
}

/// What people of the person's segments like more than others do; each segment counts
/// alike.
fn segments(placement: &Placement<'_>, workspace: &mut Workspace) {
    let affinity = &placement.scene.models.affinity;
    let attune_expr::Value::Texts(segments) = placement.request.scope.segments() else {
        return;
    };
    let tops = segments.iter().map(|id| affinity.top(id));
    for top in tops.filter(|top| !top.is_empty()).take(SEGMENTS_MAX) {
        for (telling, index) in top {
            workspace.note(*index, telling / top[0].0, None);
        }
    }
}

fn alike(placement: &Placement<'_>, item: ItemIndex) -> std::sync::Arc<[Neighbour]> {
    let scene = placement.scene;
    scene.similar.similar(scene.items, scene.models, item)
}

/// What the placement or page is about, then the basket, then what the person did, the
/// newest first and each older one counting less.
fn seeds(placement: &Placement<'_>, is_wanted: impl Fn(Signal) -> bool) -> Seeds {
    let request = placement.request;
    let seeds_max = placement.scene.models.reach.seeds_max;
    let mut seeds = Seeds::new();
    let mut push = |item, weight, relation| {
        if seeds.len() < seeds_max && seeds.iter().all(|s| s.lead.item != item) {
            let lead = Lead { item, relation };
            seeds.push(Seed { weight, lead });
            return true;
        }
        false
    };
    for item in placement.ask.item.into_iter().chain(request.page_item) {
        push(item, 1.0, Relation::Present);
    }
    for item in request.cart.iter().take(seeds_max / 2) {
        push(*item, 1.0, Relation::Present);
    }
    let mut weight = 1.0;
    for recent in request.recent.iter().filter(|r| is_wanted(r.signal)) {
        if push(recent.item, weight, relation_of(recent.signal)) {
            weight *= AGEING;
        }
    }
    seeds
}
