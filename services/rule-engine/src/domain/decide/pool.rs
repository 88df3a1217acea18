//! The candidates of one placement with what each source and rule gave them. Reused
//! from one placement to the next; holds nothing between them.

use rustc_hash::FxHashMap;

use super::ItemIndex;

/// More candidates than any sensible strategy finds; the bound of one decision's work.
const CANDIDATES_MAX: usize = 2000;

#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub index: ItemIndex,
    pub score: f64,
    /// What the sources gave, before rules.
    pub base: f64,
    /// The slot it got.
    pub slot: Option<u16>,
}

/// What one source gave one candidate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub candidate: u32,
    pub source: u16,
    /// 0..1, before the source's weight.
    pub score: f32,
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

/// A rule's touch on a candidate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Touch {
    pub candidate: u32,
    /// Among the active rules.
    pub rule: u16,
    pub factor: f64,
}

#[derive(Debug, Default)]
pub(super) struct Pool {
    candidates: Vec<Candidate>,
    by_index: FxHashMap<ItemIndex, u32>,
    parts: Vec<Part>,
    touches: Vec<Touch>,
    order: Vec<u32>,
}

impl Pool {
    pub fn clear(&mut self) {
        self.candidates.clear();
        self.by_index.clear();
        self.parts.clear();
        self.touches.clear();
    }

    pub fn contains(&self, index: ItemIndex) -> bool {
        self.by_index.contains_key(&index)
    }

    pub fn position(&self, index: ItemIndex) -> Option<u32> {
        self.by_index.get(&index).copied()
    }

    pub fn candidate(&self, position: u32) -> &Candidate {
        &self.candidates[position as usize]
    }

    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub fn touches(&self) -> &[Touch] {
        &self.touches
    }

    /// A source found an item that is known to be eligible.
    pub fn add(
        &mut self,
        index: ItemIndex,
        source: usize,
        weight: f64,
        score: f32,
        lead: Option<Lead>,
    ) {
        let Some(candidate) = self.enter(index) else {
            return;
        };
        let held = &mut self.candidates[candidate as usize];
        held.score += weight * f64::from(score);
        held.base = held.score;
        self.parts.push(Part {
            candidate,
            source: source as u16,
            score,
            lead,
        });
    }

    /// A rule makes an item a candidate with at least this score.
    pub fn include(&mut self, index: ItemIndex, entry_score: f64, rule: usize) {
        let Some(candidate) = self.enter(index) else {
            return;
        };
        let held = &mut self.candidates[candidate as usize];
        held.score = held.score.max(entry_score);
        self.touch(candidate, rule, 1.0);
    }

    /// A rule multiplies the scores of those it aims at.
    pub fn scale(&mut self, rule: usize, factor: f64, is_aimed_at: impl Fn(ItemIndex) -> bool) {
        for candidate in 0..self.candidates.len() {
            let held = &mut self.candidates[candidate];
            if is_aimed_at(held.index) {
                held.score *= factor;
                self.touch(candidate as u32, rule, factor);
            }
        }
    }

    pub fn best_score(&self) -> f64 {
        let scores = self.candidates.iter().map(|c| c.score);
        scores.fold(0.0, f64::max)
    }

    pub fn set_slot(&mut self, position: u32, slot: usize) {
        self.candidates[position as usize].slot = Some(slot as u16);
    }

    /// Positions by score, the best first and among equals the lower item index; only
    /// the first `sorted` are in order, which is all that is mostly looked at.
    pub fn ranking(&mut self, sorted: usize) -> Vec<u32> {
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend(0..self.candidates.len() as u32);
        if order.len() > sorted {
            order.select_nth_unstable_by(sorted, |a, b| self.compare(*a, *b));
            order[..sorted].sort_unstable_by(|a, b| self.compare(*a, *b));
        } else {
            order.sort_unstable_by(|a, b| self.compare(*a, *b));
        }
        order
    }

    /// Puts the rest of a ranking in order too.
    pub fn sort_rest(&self, order: &mut [u32]) {
        order.sort_unstable_by(|a, b| self.compare(*a, *b));
    }

    /// Gives the memory of a ranking back.
    pub fn reuse(&mut self, order: Vec<u32>) {
        self.order = order;
    }

    fn compare(&self, a: u32, b: u32) -> std::cmp::Ordering {
        let (a, b) = (self.candidate(a), self.candidate(b));
        b.score.total_cmp(&a.score).then(a.index.cmp(&b.index))
    }

    fn enter(&mut self, index: ItemIndex) -> Option<u32> {
        if let Some(position) = self.by_index.get(&index) {
            return Some(*position);
        }
        if self.candidates.len() == CANDIDATES_MAX {
            return None;
        }
        let position = self.candidates.len() as u32;
        self.candidates.push(Candidate {
            index,
            score: 0.0,
            base: 0.0,
            slot: None,
        });
        self.by_index.insert(index, position);
        Some(position)
    }

    fn touch(&mut self, candidate: u32, rule: usize, factor: f64) {
        self.touches.push(Touch {
            candidate,
            rule: rule as u16,
            factor,
        });
    }
}
