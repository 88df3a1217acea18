//! How a placement's answer came about: what each source proposed, what was kept out
//! and why, which rules applied, what made the scores. Notes only what happens; never
//! changes a decision. Counting is cheap enough for every decision that is recorded,
//! the rest is collected only where somebody asked.

use std::{cmp::Reverse, sync::Arc};

use smallvec::SmallVec;

use super::{
    DecidedSlot, ItemIndex, Placement, RuleAction, RuleOutcome, WhyKind,
    places::Places,
    pool::{self, Part, Touch, scaled},
    rule_outcomes,
};
use crate::domain::plan::RulePlan;

/// Items that are named of those that one cause kept out.
const SAMPLES_MAX: usize = 5;
/// Candidates that are told with what made their scores.
const CANDIDATES_MAX: usize = 100;

/// How much of a decision is told afterwards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// A preview: nothing.
    #[default]
    None,
    /// What is kept with a recorded decision: counts.
    Counts,
    /// Everything, for whoever asked for an explanation.
    Full,
}

/// Why an item was kept out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    NotPublished,
    OutOfStock,
    NotAvailableNow,
    WrongLocale,
    NotInAudience,
    AlreadyBought,
    Dismissed,
    ExcludedByRequest,
    /// In the basket, on the page or shown in another placement of the answer.
    AlreadyThere,
    RequestFilter,
    StrategyFilter,
    /// With the rule's place among the active ones.
    RuleExcluded(u16),
    Capped,
    DiversityLimit,
}

/// Kinds of cause.
const CAUSES: usize = 14;

impl Cause {
    const fn number(self) -> usize {
        match self {
            Self::NotPublished => 0,
            Self::OutOfStock => 1,
            Self::NotAvailableNow => 2,
            Self::WrongLocale => 3,
            Self::NotInAudience => 4,
            Self::AlreadyBought => 5,
            Self::Dismissed => 6,
            Self::ExcludedByRequest => 7,
            Self::AlreadyThere => 8,
            Self::RequestFilter => 9,
            Self::StrategyFilter => 10,
            Self::RuleExcluded(_) => 11,
            Self::Capped => 12,
            Self::DiversityLimit => 13,
        }
    }
}

/// One placement's decision explained.
#[derive(Debug, Default)]
pub struct Trace {
    /// In the order of the strategy.
    pub sources: SmallVec<[SourceTrace; 6]>,
    /// The most frequent first.
    pub filtered: SmallVec<[Filtered; 4]>,
    /// By priority; those that applied, or at [`Depth::Full`] all.
    pub rules: Vec<RuleTrace>,
    /// The best by their final score; at [`Depth::Full`] only.
    pub candidates: Vec<CandidateTrace>,
    pub candidate_count: usize,
}

#[derive(Debug, Clone)]
pub struct SourceTrace {
    pub name: &'static str,
    pub weight: f64,
    /// Eligible candidates.
    pub proposed: u32,
    pub shown: u32,
}

#[derive(Debug)]
pub struct Filtered {
    pub cause: Cause,
    pub count: u32,
    /// For [`Cause::RuleExcluded`].
    pub rule: Option<Arc<RulePlan>>,
    /// Some of the items; at [`Depth::Full`] only.
    pub item_ids: Vec<Arc<str>>,
}

#[derive(Debug)]
pub struct RuleTrace {
    pub rule: Arc<RulePlan>,
    pub outcome: RuleOutcome,
    /// Candidates it touched or kept out, slots it pinned.
    pub item_count: u32,
}

#[derive(Debug)]
pub struct CandidateTrace {
    pub item_id: Arc<str>,
    pub score: f64,
    /// In the order in which they were added.
    pub parts: Vec<ScorePart>,
    /// 1 is the first slot; 0 where it was not shown.
    pub position: u16,
}

/// One feature's share of a score.
#[derive(Debug)]
pub struct ScorePart {
    pub feature: Feature,
    /// The feature's own value: what the source gave, or the rule's factor.
    pub value: f64,
    /// What it added to the score, or took from it.
    pub contribution: f64,
}

/// What can move a score.
#[derive(Debug)]
pub enum Feature {
    Source(&'static str),
    /// A term of the scorer, by its name.
    Term(Arc<str>),
    Rule(Arc<RulePlan>),
    Fatigue,
}

/// What was kept out of one placement so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    depth: Depth,
    /// An item that several sources propose is kept out once.
    refused: Places,
    causes: [Refusals; CAUSES],
    by_rule: SmallVec<[(u16, Refusals); 4]>,
    is_capped: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Refusals {
    count: u32,
    samples: [ItemIndex; SAMPLES_MAX],
}

impl Refusals {
    fn add(&mut self, index: ItemIndex) {
        if let Some(sample) = self.samples.get_mut(self.count as usize) {
            *sample = index;
        }
        self.count += 1;
    }

    fn samples(&self) -> &[ItemIndex] {
        &self.samples[..SAMPLES_MAX.min(self.count as usize)]
    }
}

impl Tally {
    /// Before the next placement.
    pub fn begin(&mut self, depth: Depth) {
        self.depth = depth;
        if depth != Depth::None {
            self.refused.clear();
            self.causes = [Refusals::default(); CAUSES];
            self.by_rule.clear();
            self.is_capped = false;
        }
    }

    /// What other strategies leave out is told of none.
    pub fn stop(&mut self) {
        self.depth = Depth::None;
    }

    /// A cap keeps the whole placement empty.
    pub fn refuse_all(&mut self) {
        self.is_capped = true;
    }

    pub fn refuse(&mut self, index: ItemIndex, cause: Cause) {
        if self.depth == Depth::None || self.refused.get_or_insert(index, 0).is_some() {
            return;
        }
        self.causes[cause.number()].add(index);
        if let Cause::RuleExcluded(rule) = cause {
            let held = self.by_rule.iter().position(|(held, _)| *held == rule);
            let at = held.unwrap_or_else(|| {
                self.by_rule.push((rule, Refusals::default()));
                self.by_rule.len() - 1
            });
            self.by_rule[at].1.add(index);
        }
    }

    fn excluded_by(&self, rule: usize) -> u32 {
        let mut of_rule = self.by_rule.iter();
        let found = of_rule.find(|(held, _)| usize::from(*held) == rule);
        found.map_or(0, |(_, refusals)| refusals.count)
    }

    /// Each cause that kept something out; rules one by one.
    fn filtered(&self, placement: &Placement<'_>) -> SmallVec<[Filtered; 4]> {
        let plain = PLAIN_CAUSES.iter().map(|cause| {
            let refusals = &self.causes[cause.number()];
            (*cause, refusals, None)
        });
        let of_rules = self.by_rule.iter().map(|(rule, refusals)| {
            let plan = Arc::clone(placement.active[usize::from(*rule)]);
            (Cause::RuleExcluded(*rule), refusals, Some(plan))
        });
        let all = plain.chain(of_rules);
        let mut filtered: SmallVec<[Filtered; 4]> = all
            .filter(|(_, refusals, _)| refusals.count > 0)
            .map(|(cause, refusals, rule)| Filtered {
                cause,
                count: refusals.count,
                rule,
                item_ids: self.sample_ids(placement, refusals),
            })
            .collect();
        if self.is_capped {
            filtered.push(Filtered {
                cause: Cause::Capped,
                count: 0,
                rule: None,
                item_ids: Vec::new(),
            });
        }
        filtered.sort_by_key(|of| Reverse(of.count));
        filtered
    }

    fn sample_ids(&self, placement: &Placement<'_>, refusals: &Refusals) -> Vec<Arc<str>> {
        if self.depth < Depth::Full {
            return Vec::new();
        }
        let items = placement.scene.items;
        let samples = refusals.samples().iter();
        samples.map(|index| Arc::clone(items.id(*index))).collect()
    }
}

/// All but the one that stands for several rules.
const PLAIN_CAUSES: [Cause; CAUSES - 1] = [
    Cause::NotPublished,
    Cause::OutOfStock,
    Cause::NotAvailableNow,
    Cause::WrongLocale,
    Cause::NotInAudience,
    Cause::AlreadyBought,
    Cause::Dismissed,
    Cause::ExcludedByRequest,
    Cause::AlreadyThere,
    Cause::RequestFilter,
    Cause::StrategyFilter,
    Cause::Capped,
    Cause::DiversityLimit,
];

/// Tells how the slots came about. Call when every candidate knows its slot.
pub(super) fn of(placement: &Placement<'_>, slots: &[(u16, DecidedSlot)]) -> Option<Box<Trace>> {
    let depth = placement.request.depth;
    if depth == Depth::None {
        return None;
    }
    let mut trace = Box::new(Trace {
        sources: sources(placement, slots),
        filtered: placement.tally.filtered(placement),
        candidate_count: placement.pool.len(),
        ..Trace::default()
    });
    if depth == Depth::Full {
        trace.rules = all_rules(placement, slots);
        trace.candidates = candidates(placement);
    } else {
        let active = placement.active.iter().enumerate();
        trace.rules = active
            .map(|(number, rule)| applied(placement, slots, number, rule))
            .collect();
    }
    Some(trace)
}

fn all_rules(placement: &Placement<'_>, slots: &[(u16, DecidedSlot)]) -> Vec<RuleTrace> {
    let Placement {
        scene,
        request,
        ask,
        holding,
        ..
    } = placement;
    let rules = rule_outcomes(scene, request, ask, holding).into_iter();
    rules
        .map(|(rule, outcome)| {
            let mut active = placement.active.iter();
            match active.position(|held| Arc::ptr_eq(held, rule)) {
                Some(number) => applied(placement, slots, number, rule),
                None => RuleTrace {
                    rule: Arc::clone(rule),
                    outcome,
                    item_count: 0,
                },
            }
        })
        .collect()
}

fn sources(placement: &Placement<'_>, slots: &[(u16, DecidedSlot)]) -> SmallVec<[SourceTrace; 6]> {
    let sources = placement.ask.plan.strategy.sources.iter();
    let pool = &*placement.pool;
    let mut traces: SmallVec<[SourceTrace; 6]> = sources
        .enumerate()
        .map(|(number, source)| SourceTrace {
            name: source.kind.name(),
            weight: source.weight,
            proposed: pool.proposed_by(number),
            shown: 0,
        })
        .collect();
    let shown = slots
        .iter()
        .filter_map(|(_, slot)| pool.position(slot.index));
    for part in shown.flat_map(|position| pool.parts_of(position)) {
        if let pool::Feature::Source(number) = pool.part(part).feature
            && let Some(trace) = traces.get_mut(usize::from(number))
        {
            trace.shown += 1;
        }
    }
    traces
}

fn applied(
    placement: &Placement<'_>,
    slots: &[(u16, DecidedSlot)],
    number: usize,
    rule: &Arc<RulePlan>,
) -> RuleTrace {
    let item_count = match rule.action {
        RuleAction::Exclude => placement.tally.excluded_by(number),
        RuleAction::Pin { .. } => {
            let pinned = slots.iter().filter(|(_, slot)| {
                let mut reasons = slot.reasons.iter();
                reasons
                    .any(|why| matches!(&why.kind, WhyKind::Rule(held) if Arc::ptr_eq(held, rule)))
            });
            pinned.count() as u32
        }
        RuleAction::Scale(_) | RuleAction::Include { .. } => placement.pool.touched_by(number),
    };
    RuleTrace {
        rule: Arc::clone(rule),
        outcome: RuleOutcome::Applied,
        item_count,
    }
}

fn candidates(placement: &Placement<'_>) -> Vec<CandidateTrace> {
    let pool = &*placement.pool;
    let mut best: Vec<u32> = (0..pool.len() as u32).collect();
    best.sort_by(|a, b| {
        let (a, b) = (pool.candidate(*a), pool.candidate(*b));
        let by_score = b.score.total_cmp(&a.score);
        by_score.then(a.index.cmp(&b.index))
    });
    best.truncate(CANDIDATES_MAX);
    let told = best.into_iter().map(|position| {
        let candidate = pool.candidate(position);
        CandidateTrace {
            item_id: Arc::clone(placement.scene.items.id(candidate.index)),
            score: candidate.score,
            parts: parts(placement, position),
            position: candidate.slot.map_or(0, |slot| slot + 1),
        }
    });
    told.collect()
}

/// What makes a candidate's score, followed from its first part to its last: the
/// contributions add up to the score.
fn parts(placement: &Placement<'_>, position: u32) -> Vec<ScorePart> {
    let pool = &*placement.pool;
    let mut added: SmallVec<[&Part; 8]> = pool.parts_of(position).map(|at| pool.part(at)).collect();
    added.reverse();
    let added = added.into_iter();
    let mut parts: Vec<ScorePart> = added
        .filter_map(|part| added_part(placement, part))
        .collect();
    let touches = pool.touches_of(position).map(|at| pool.touch(at));
    let mut touches: SmallVec<[&Touch; 8]> = touches.collect();
    touches.reverse();
    let candidate = pool.candidate(position);
    let mut score = candidate.base;
    // What an include lifted the candidate to, before it was multiplied.
    let factors: f64 = touches.iter().map(|touch| touch.factor).product();
    let lifted = candidate.score / factors;
    for touch in touches {
        let mut after = scaled(score, touch.factor);
        let feature = match touch.feature {
            pool::Feature::Rule(number) => {
                let rule = placement.active[usize::from(number)];
                if matches!(rule.action, RuleAction::Include { .. }) {
                    after = lifted.max(score);
                }
                Feature::Rule(Arc::clone(rule))
            }
            pool::Feature::Fatigue => Feature::Fatigue,
            pool::Feature::Source(_) | pool::Feature::Term(_) => continue,
        };
        parts.push(ScorePart {
            feature,
            value: touch.factor,
            contribution: after - score,
        });
        score = after;
    }
    parts
}

fn added_part(placement: &Placement<'_>, part: &Part) -> Option<ScorePart> {
    let strategy = placement.strategy;
    let (feature, weight) = match part.feature {
        pool::Feature::Source(number) => {
            let source = &strategy.sources[usize::from(number)];
            (Feature::Source(source.kind.name()), source.weight)
        }
        pool::Feature::Term(number) => {
            let term = &strategy.terms[usize::from(number)];
            (Feature::Term(Arc::clone(&term.label)), term.weight)
        }
        pool::Feature::Rule(_) | pool::Feature::Fatigue => return None,
    };
    let value = f64::from(part.value);
    Some(ScorePart {
        feature,
        value,
        contribution: weight * value,
    })
}
