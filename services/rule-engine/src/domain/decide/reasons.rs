//! Why each slot holds what it holds, the strongest reason first, in words for a
//! customer and numbers for an engineer. Written for the final slots only.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{
    DecidedSlot, ItemIndex, Placement, SourceText, Why, WhyKind,
    pool::{Feature, Lead, Part, Relation, Touch, falling},
    slots::{Filled, Origin},
    trace::{self, Trace},
};
use crate::domain::{plan::SourceKind, popularity::Signal};

/// What a reason will be made of, in the order in which reasons are told: slot by slot,
/// the strongest first, and among equals as they were found.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Ground {
    slot: u16,
    weakness: u64,
    of: GroundOf,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum GroundOf {
    WayIn,
    Part(u32),
    Touch(u32),
}

/// Slots with their reasons, as far as they are written.
#[derive(Default)]
pub(super) struct Told {
    /// With their places, in the order in which they were told.
    slots: Vec<(u16, DecidedSlot)>,
    /// Of the placement's own strategy, which is told first.
    trace: Option<Box<Trace>>,
    rounds: u32,
}

impl Told {
    pub fn is_first(&self) -> bool {
        self.rounds == 0
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Writes the reasons of the slots that were filled since the last time.
    pub fn tell(&mut self, placement: &mut Placement<'_>, filled: &[Option<Filled>]) {
        self.rounds += 1;
        let is_told = |at: u16| self.slots.iter().any(|(told, _)| *told == at);
        let fresh = filled.iter().zip(0..);
        let fresh = fresh.filter_map(|(filled, at)| Some((at, (*filled)?)));
        let fresh: SmallVec<[(u16, Filled); 16]> = fresh.filter(|(at, _)| !is_told(*at)).collect();
        self.slots.reserve(filled.len() - self.slots.len());
        explain(placement, &fresh, &mut self.slots);
        if self.rounds == 1 {
            self.trace = trace::of(placement, &self.slots);
        }
    }

    pub fn take_trace(&mut self) -> Option<Box<Trace>> {
        self.trace.take()
    }

    pub fn into_slots(mut self) -> Vec<DecidedSlot> {
        self.slots.sort_by_key(|(at, _)| *at);
        self.slots.into_iter().map(|(_, slot)| slot).collect()
    }
}

fn explain(
    placement: &mut Placement<'_>,
    filled: &[(u16, Filled)],
    told: &mut Vec<(u16, DecidedSlot)>,
) {
    for (at, item) in filled {
        if let Some(candidate) = placement.pool.position(item.index) {
            placement.pool.set_slot(candidate, *at);
        }
    }
    let placement = &*placement;
    let grounds = grounds(placement, filled);
    let mut grounds = grounds.iter().peekable();
    let mut titles = Titles::new(placement);
    for (at, item) in filled {
        let mut reasons = SmallVec::new();
        while let Some(ground) = grounds.next_if(|ground| ground.slot == *at) {
            reasons.extend(match ground.of {
                GroundOf::WayIn => own_reason(placement, item),
                GroundOf::Part(at) => part_reason(placement, placement.pool.part(at), &mut titles),
                GroundOf::Touch(at) => touch_reason(placement, placement.pool.touch(at)),
            });
        }
        let candidate = placement.pool.position(item.index);
        let slot = DecidedSlot {
            index: item.index,
            item_id: Arc::clone(placement.scene.items.id(item.index)),
            score: candidate.map_or(0.0, |c| placement.pool.candidate(c).score),
            propensity: item.propensity,
            reasons,
        };
        told.push((*at, slot));
    }
}

fn grounds(placement: &Placement<'_>, filled: &[(u16, Filled)]) -> SmallVec<[Ground; 64]> {
    let pool = &*placement.pool;
    let mut grounds: SmallVec<[Ground; 64]> = SmallVec::new();
    for (slot, item) in filled {
        let ground = |strength, of| Ground {
            slot: *slot,
            weakness: falling(strength),
            of,
        };
        grounds.push(ground(f64::INFINITY, GroundOf::WayIn));
        let Some(position) = pool.position(item.index) else {
            continue;
        };
        let base = pool.candidate(position).base;
        grounds.extend(pool.parts_of(position).map(|at| {
            let share = share(placement, pool.part(at), base);
            ground(share, GroundOf::Part(at))
        }));
        grounds.extend(pool.touches_of(position).map(|at| {
            let strength = strength(pool.touch(at));
            ground(strength, GroundOf::Touch(at))
        }));
    }
    grounds.sort_unstable();
    grounds
}

/// What the way into the slot says by itself. The ranking says nothing: its sources do.
fn own_reason(placement: &Placement<'_>, item: &Filled) -> Option<Why> {
    let kind = match item.origin {
        Origin::Ranking => return None,
        Origin::Pin { rule } => return Some(rule_reason(placement, rule, 1.0)),
        Origin::Exploration => WhyKind::Exploration,
        Origin::Promotion => WhyKind::Promotion,
        Origin::Fallback => WhyKind::Fallback,
        // Found again after the sources had their say, so the source speaks for itself.
        Origin::Popular | Origin::New if placement.pool.contains(item.index) => return None,
        Origin::Popular => topped_up("popular", "Popular right now"),
        Origin::New => topped_up("new", "New in"),
    };
    Some(Why {
        kind,
        weight: 1.0,
        related_id: None,
    })
}

fn topped_up(name: &'static str, words: &'static str) -> WhyKind {
    WhyKind::Source {
        name,
        score: 0.0,
        text: SourceText { words, title: None },
    }
}

/// A feature's share of what sources and terms gave.
fn share(placement: &Placement<'_>, part: &Part, base: f64) -> f64 {
    if base > 0.0 {
        weight_of(placement, part.feature) * f64::from(part.value) / base
    } else {
        0.0
    }
}

fn weight_of(placement: &Placement<'_>, feature: Feature) -> f64 {
    match feature {
        Feature::Source(number) => placement.strategy.sources[usize::from(number)].weight,
        Feature::Term(number) => placement.strategy.terms[usize::from(number)].weight,
        Feature::Rule(_) | Feature::Fatigue => 1.0,
    }
}

fn part_reason(placement: &Placement<'_>, part: &Part, titles: &mut Titles<'_>) -> Option<Why> {
    let base = placement.pool.candidate(part.candidate).base;
    let share = share(placement, part, base);
    let items = placement.scene.items;
    let kind = match part.feature {
        Feature::Source(number) => {
            let source = &placement.strategy.sources[usize::from(number)].kind;
            WhyKind::Source {
                name: source.name(),
                score: f64::from(part.value),
                text: source_text(titles, source, part.lead),
            }
        }
        // What spoke against an item is no reason for it.
        Feature::Term(_) if share <= 0.0 => return None,
        Feature::Term(number) => {
            let term = &placement.strategy.terms[usize::from(number)];
            WhyKind::Term(Arc::clone(&term.label))
        }
        Feature::Rule(_) | Feature::Fatigue => return None,
    };
    Some(Why {
        kind,
        weight: share,
        related_id: part.lead.map(|lead| Arc::clone(items.id(lead.item))),
    })
}

fn touch_reason(placement: &Placement<'_>, touch: &Touch) -> Option<Why> {
    match touch.feature {
        Feature::Rule(rule) => Some(rule_reason(placement, rule.into(), touch.factor)),
        // No reason why an item is there.
        Feature::Fatigue | Feature::Source(_) | Feature::Term(_) => None,
    }
}

/// A boost by 4 answers for three quarters of the score; a bury for none of it.
fn strength(touch: &Touch) -> f64 {
    if touch.factor == 1.0 {
        f64::INFINITY
    } else {
        1.0 - 1.0 / touch.factor
    }
}

fn rule_reason(placement: &Placement<'_>, rule: usize, factor: f64) -> Why {
    Why {
        kind: WhyKind::Rule(Arc::clone(placement.active[rule])),
        weight: factor,
        related_id: None,
    }
}

/// The titles of what led somewhere, each looked for once.
struct Titles<'a> {
    placement: &'a Placement<'a>,
    found: SmallVec<[(ItemIndex, Option<Arc<str>>); 8]>,
}

impl<'a> Titles<'a> {
    fn new(placement: &'a Placement<'a>) -> Self {
        Self {
            placement,
            found: SmallVec::new(),
        }
    }

    fn of(&mut self, index: ItemIndex) -> Option<Arc<str>> {
        if let Some((_, title)) = self.found.iter().find(|(held, _)| *held == index) {
            return title.clone();
        }
        let item = self.placement.scene.items.get(index);
        let title = item.and_then(|item| item.title(self.placement.request.locale));
        self.found.push((index, title.cloned()));
        title.cloned()
    }
}

fn source_text(titles: &mut Titles<'_>, source: &SourceKind, lead: Option<Lead>) -> SourceText {
    use SourceKind as S;
    let title = lead.and_then(|lead| titles.of(lead.item));
    let relation = lead.map(|lead| lead.relation);
    let words = match (source, title.is_some(), relation) {
        (S::Editorial { .. }, ..) => "Picked by our editors",
        (S::Popular { signal }, ..) => popular_text(*signal),
        (S::Trending { .. }, ..) => "Trending now",
        (S::New { .. }, ..) => "New in",
        (S::RecentlyViewed, ..) => "You viewed this recently",
        (S::AlsoBought, true, _) => "Often bought with ",
        (S::AlsoBought, false, _) => "Often bought together",
        (S::Similar | S::BecauseViewed, true, Some(Relation::Viewed)) => "Because you viewed ",
        (S::Similar, true, Some(Relation::Bought)) => "Because you bought ",
        (S::Similar, true, _) => "Similar to ",
        (S::Similar, false, _) => "Similar to what you looked at",
        (S::BecauseViewed, ..) => "Because of what you viewed",
        (S::AlsoViewed, true, _) => "Often viewed with ",
        (S::AlsoViewed, false, _) => "Often viewed together",
        (S::BuyAgain, ..) => "Time to buy it again",
        (S::PriceDropped { .. }, ..) => "The price has dropped",
        (S::BackInStock { .. }, ..) => "Back in stock",
        (S::CartComplement, true, _) => "Goes with ",
        (S::CartComplement, false, _) => "Goes with your basket",
        (S::SegmentAffinity, ..) => "Popular with people like you",
    };
    SourceText { words, title }
}

fn popular_text(signal: Option<Signal>) -> &'static str {
    match signal {
        None => "Popular right now",
        Some(Signal::View) => "Often viewed",
        Some(Signal::AddToCart) => "Often put in the basket",
        Some(Signal::Purchase) => "Often bought",
    }
}
