//! Maximal marginal relevance (Carbonell and Goldstein 1998): of the best candidates
//! the next is the one whose score, less what it has in common with what is placed
//! already, is highest. Greedy, over the head of the ranking only; costs nothing where
//! a strategy gives unlikeness no weight.

use super::{ItemIndex, Placement, Rank};
use crate::domain::{
    items::Items,
    plan::DiversityPlan,
    projected::{Feature, FeatureName},
};

/// The head of a ranking. Reused.
#[derive(Default)]
pub(super) struct Marginal {
    pending: Vec<Pending>,
}

struct Pending {
    index: ItemIndex,
    /// The score's share of the best, times its weight.
    relevance: f32,
    /// To the placed item it is most like, 0..1.
    likeness: f32,
    weight: f32,
}

impl Marginal {
    /// Takes up the head of a ranking if unlikeness has a weight.
    pub fn begin(&mut self, placement: &Placement<'_>, head: &[Rank]) {
        self.pending.clear();
        let weight = placement.strategy.diversity.weight;
        if weight <= 0.0 {
            return;
        }
        let score = |rank: &Rank| placement.pool.candidate(rank.candidate()).score;
        let best = head.first().map_or(0.0, score);
        self.pending.extend(head.iter().map(|rank| {
            let share = if best > 0.0 { score(rank) / best } else { 0.0 };
            Pending {
                index: rank.index(),
                relevance: (1.0 - weight) * share.max(0.0) as f32,
                likeness: 0.0,
                weight,
            }
        }));
    }

    pub fn clear(&mut self) {
        self.pending.clear();
    }

    /// An item has its slot: what is like it counts for less from now on.
    pub fn placed(&mut self, placement: &Placement<'_>, index: ItemIndex) {
        let (items, diversity) = (placement.scene.items, &placement.strategy.diversity);
        for pending in &mut self.pending {
            if pending.index != index {
                let likeness = likeness(items, diversity, pending.index, index);
                pending.likeness = pending.likeness.max(likeness);
            }
        }
    }

    /// Of those that may be shown; among equals the one that ranks higher.
    pub fn best(&self, may_be: impl Fn(ItemIndex) -> bool) -> Option<ItemIndex> {
        let mut best: Option<(f32, ItemIndex)> = None;
        for pending in &self.pending {
            let value = pending.relevance - pending.weight * pending.likeness;
            if best.is_none_or(|(most, _)| value > most) && may_be(pending.index) {
                best = Some((value, pending.index));
            }
        }
        best.map(|(_, index)| index)
    }
}

/// What two items share of the features they have between them (Jaccard 1912).
fn likeness(items: &Items, diversity: &DiversityPlan, a: ItemIndex, b: ItemIndex) -> f32 {
    let (Some(a), Some(b)) = (items.get(a), items.get(b)) else {
        return 0.0;
    };
    let compared = diversity.compared.as_slice();
    let is_compared = |feature: Feature| {
        compared.is_empty() || compared.contains(&FeatureName::of_feature(feature))
    };
    let (mut a, mut b) = (&*a.features, &*b.features);
    let (mut shared, mut all) = (0_u32, 0_u32);
    while let (Some(first), Some(second)) = (a.first(), b.first()) {
        let counts = u32::from(is_compared(*first.min(second)));
        all += counts;
        if first == second {
            shared += counts;
        }
        let (is_a, is_b) = (first <= second, second <= first);
        a = &a[usize::from(is_a)..];
        b = &b[usize::from(is_b)..];
    }
    let rest = a.iter().chain(b);
    all += rest.filter(|feature| is_compared(**feature)).count() as u32;
    if all == 0 {
        0.0
    } else {
        shared as f32 / all as f32
    }
}
