//! The candidates of one placement with what each source and rule gave them. Reused
//! from one placement to the next; holds nothing between them.

use super::{ItemIndex, places::Places};

/// More candidates than any sensible strategy finds; the bound of one decision's work.
const CANDIDATES_MAX: usize = 2000;

#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub index: ItemIndex,
    pub score: f64,
    /// What sources and terms gave, before rules.
    pub base: f64,
    /// The slot it got.
    pub slot: Option<u16>,
    last_part: Option<u32>,
    last_touch: Option<u32>,
}

impl Candidate {
    fn new(index: ItemIndex) -> Self {
        Self {
            index,
            score: 0.0,
            base: 0.0,
            slot: None,
            last_part: None,
            last_touch: None,
        }
    }
}

/// With where the one before it is of the same candidate, so that what moved the few
/// that are shown is found without going through what moved all.
#[derive(Debug, Clone, Copy)]
struct Linked<T> {
    of: T,
    before: Option<u32>,
}

/// What moves a score: sources and terms by adding to it, the others by multiplying it.
/// Numbered as in the strategy and among the active rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feature {
    Source(u16),
    Term(u16),
    Rule(u16),
    Fatigue,
}

/// What one feature added to one candidate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub candidate: u32,
    pub feature: Feature,
    /// 0..1 for sources and -1..1 for terms, before the weight.
    pub value: f32,
    pub lead: Option<Lead>,
}

/// The item that led to a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lead {
    pub item: ItemIndex,
    pub relation: Relation,
}

/// What the person has to do with a lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Viewed,
    Bought,
    /// On the page or in the basket.
    Present,
}

/// What one feature multiplied one candidate's score by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Touch {
    pub feature: Feature,
    pub factor: f64,
}

#[derive(Debug, Default)]
pub(super) struct Pool {
    candidates: Vec<Candidate>,
    by_index: Places,
    parts: Vec<Linked<Part>>,
    touches: Vec<Linked<Touch>>,
    /// Parts by the number of their source, and touches by that of their rule.
    by_source: Vec<u32>,
    by_rule: Vec<u32>,
    order: Vec<Rank>,
}

impl Pool {
    pub fn clear(&mut self) {
        self.candidates.clear();
        self.by_index.clear();
        self.parts.clear();
        self.touches.clear();
        self.by_source.clear();
        self.by_rule.clear();
    }

    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    pub fn contains(&self, index: ItemIndex) -> bool {
        self.by_index.contains(index)
    }

    pub fn position(&self, index: ItemIndex) -> Option<u32> {
        self.by_index.get(index)
    }

    pub fn candidate(&self, position: u32) -> &Candidate {
        &self.candidates[position as usize]
    }

    pub fn part(&self, at: u32) -> &Part {
        &self.parts[at as usize].of
    }

    pub fn touch(&self, at: u32) -> &Touch {
        &self.touches[at as usize].of
    }

    /// Where a candidate's parts are, the last first.
    pub fn parts_of(&self, candidate: u32) -> impl Iterator<Item = u32> {
        let last = self.candidate(candidate).last_part;
        std::iter::successors(last, |at| self.parts[*at as usize].before)
    }

    /// Where a candidate's touches are, the last first.
    pub fn touches_of(&self, candidate: u32) -> impl Iterator<Item = u32> {
        let last = self.candidate(candidate).last_touch;
        std::iter::successors(last, |at| self.touches[*at as usize].before)
    }

    /// How many candidates a source gave something to.
    pub fn proposed_by(&self, source: usize) -> u32 {
        self.by_source.get(source).copied().unwrap_or(0)
    }

    /// How many candidates a rule, by its number among the active ones, touched.
    pub fn touched_by(&self, rule: usize) -> u32 {
        self.by_rule.get(rule).copied().unwrap_or(0)
    }

    /// A feature adds its value, times its weight, to a candidate.
    pub fn add(&mut self, part: Part, weight: f64) {
        let held = &mut self.candidates[part.candidate as usize];
        held.score += weight * f64::from(part.value);
        held.base = held.score;
        let before = held.last_part.replace(self.parts.len() as u32);
        self.parts.push(Linked { of: part, before });
        if let Feature::Source(source) = part.feature {
            count(&mut self.by_source, source);
        }
    }

    /// A rule makes an item a candidate with at least this score.
    pub fn include(&mut self, index: ItemIndex, entry_score: f64, feature: Feature) {
        let Some(candidate) = self.enter(index) else {
            return;
        };
        let held = &mut self.candidates[candidate as usize];
        held.score = held.score.max(entry_score);
        self.note(candidate, feature, 1.0);
    }

    /// A feature multiplies the scores of those that it has a factor for.
    pub fn scale(&mut self, feature: Feature, factor_of: impl Fn(ItemIndex) -> Option<f64>) {
        for candidate in 0..self.candidates.len() {
            let held = &mut self.candidates[candidate];
            if let Some(factor) = factor_of(held.index) {
                held.score = scaled(held.score, factor);
                self.note(candidate as u32, feature, factor);
            }
        }
    }

    pub fn best_score(&self) -> f64 {
        let scores = self.candidates.iter().map(|c| c.score);
        scores.fold(0.0, f64::max)
    }

    pub fn set_slot(&mut self, position: u32, slot: u16) {
        self.candidates[position as usize].slot = Some(slot);
    }

    /// Candidates by score, the best first and among equals the lower item index; only
    /// the first `sorted` are in order, which is all that is mostly looked at.
    pub fn ranking(&mut self, sorted: usize) -> Vec<Rank> {
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        let candidates = self.candidates.iter().zip(0..);
        order.extend(candidates.map(|(candidate, position)| Rank::new(candidate, position)));
        if order.len() > sorted {
            order.select_nth_unstable(sorted);
            order[..sorted].sort_unstable();
        } else {
            order.sort_unstable();
        }
        order
    }

    /// Gives the memory of a ranking back.
    pub fn reuse(&mut self, order: Vec<Rank>) {
        self.order = order;
    }

    /// The item's position, new if it had none; none where the pool is full.
    pub fn enter(&mut self, index: ItemIndex) -> Option<u32> {
        let position = self.candidates.len() as u32;
        if self.candidates.len() == CANDIDATES_MAX {
            return self.position(index);
        }
        if let Some(held) = self.by_index.get_or_insert(index, position) {
            return Some(held);
        }
        self.candidates.push(Candidate::new(index));
        Some(position)
    }

    fn note(&mut self, candidate: u32, feature: Feature, factor: f64) {
        let held = &mut self.candidates[candidate as usize];
        let before = held.last_touch.replace(self.touches.len() as u32);
        let of = Touch { feature, factor };
        self.touches.push(Linked { of, before });
        if let Feature::Rule(rule) = feature {
            count(&mut self.by_rule, rule);
        }
    }
}

/// One more of a number, which are small.
fn count(counts: &mut Vec<u32>, number: u16) {
    let number = usize::from(number);
    if number >= counts.len() {
        counts.resize(number + 1, 0);
    }
    counts[number] += 1;
}

/// A boost raises and a bury lowers, below 0 as well.
pub(super) fn scaled(score: f64, factor: f64) -> f64 {
    if score < 0.0 {
        score / factor
    } else {
        score * factor
    }
}

/// A candidate as a number: the better, the smaller. Numbers are sorted without
/// looking anything up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(u128);

impl Rank {
    fn new(candidate: &Candidate, position: u32) -> Self {
        let low = u64::from(candidate.index) << 32 | u64::from(position);
        Self(u128::from(falling(candidate.score)) << 64 | u128::from(low))
    }

    pub fn candidate(self) -> u32 {
        self.0 as u32
    }

    pub fn index(self) -> ItemIndex {
        (self.0 >> 32) as ItemIndex
    }
}

/// The higher the value, the smaller: as `f64::total_cmp` orders, upside down.
pub(super) fn falling(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 0 {
        !(bits | 1 << 63)
    } else {
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_order_by_score_falling_and_then_by_item() {
        let scores = [
            f64::INFINITY,
            7.5,
            1.0,
            f64::MIN_POSITIVE,
            0.0,
            -0.0,
            -0.5,
            -7.0,
        ];
        let candidate = |score, index| Candidate {
            score,
            ..Candidate::new(index)
        };
        let ranks = scores.iter().flat_map(|score| {
            [3, 8].map(|index| Rank::new(&candidate(*score, index), 900 - index))
        });
        let ranks: Vec<Rank> = ranks.collect();
        assert!(ranks.is_sorted());
        assert_eq!((ranks[0].index(), ranks[0].candidate()), (3, 897));
    }
}
