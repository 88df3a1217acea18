//! Why each slot holds what it holds, the strongest reason first, in words for a
//! customer and numbers for an engineer. Written for the final slots only.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{
    DecidedSlot, ItemIndex, Placement, SourceText, Why, WhyKind,
    pool::{Lead, Part, Relation, Touch, falling},
    slots::{Filled, Origin},
};
use crate::domain::{plan::SourceKind, popularity::Signal};

/// What a reason will be made of, in the order in which reasons are told: slot by slot,
/// the strongest first, and among equals as they were found.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Ground {
    slot: u16,
    weakness: u64,
    number: u32,
    of: GroundOf,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum GroundOf {
    WayIn,
    Part(u32),
    Touch(u32),
}

pub(super) fn explain(placement: &mut Placement<'_>, filled: &[Filled]) -> Vec<DecidedSlot> {
    for (slot, item) in filled.iter().enumerate() {
        if let Some(candidate) = placement.pool.position(item.index) {
            placement.pool.set_slot(candidate, slot);
        }
    }
    let placement = &*placement;
    let grounds = grounds(placement, filled);
    let mut grounds = grounds.iter().peekable();
    let mut titles = Titles::new(placement);
    let slots = filled.iter().enumerate().map(|(at, item)| {
        let mut reasons = SmallVec::new();
        while let Some(ground) = grounds.next_if(|ground| usize::from(ground.slot) == at) {
            reasons.extend(match ground.of {
                GroundOf::WayIn => own_reason(placement, item),
                GroundOf::Part(part) => {
                    let part = &placement.pool.parts()[part as usize];
                    Some(source_reason(placement, part, &mut titles))
                }
                GroundOf::Touch(touch) => {
                    let touch = &placement.pool.touches()[touch as usize];
                    let rule = touch.rule.into();
                    Some(rule_reason(placement, rule, touch.factor))
                }
            });
        }
        let candidate = placement.pool.position(item.index);
        DecidedSlot {
            index: item.index,
            item_id: Arc::clone(placement.scene.items.id(item.index)),
            score: candidate.map_or(0.0, |c| placement.pool.candidate(c).score),
            propensity: item.propensity,
            reasons,
        }
    });
    slots.collect()
}

fn grounds(placement: &Placement<'_>, filled: &[Filled]) -> SmallVec<[Ground; 64]> {
    let mut grounds: SmallVec<[Ground; 64]> = SmallVec::new();
    let mut push = |slot, strength, of| {
        let number = grounds.len() as u32;
        grounds.push(Ground {
            slot,
            weakness: falling(strength),
            number,
            of,
        });
    };
    for slot in 0..filled.len() {
        push(slot as u16, f64::INFINITY, GroundOf::WayIn);
    }
    let pool = &placement.pool;
    for (part, at) in pool.parts().iter().zip(0..) {
        let candidate = pool.candidate(part.candidate);
        if let Some(slot) = candidate.slot {
            let share = share(placement, part, candidate.base);
            push(slot, share, GroundOf::Part(at));
        }
    }
    for (touch, at) in pool.touches().iter().zip(0..) {
        if let Some(slot) = pool.candidate(touch.candidate).slot {
            push(slot, strength(touch), GroundOf::Touch(at));
        }
    }
    grounds.sort_unstable();
    grounds
}

/// What the way into the slot says by itself. The ranking says nothing: its sources do.
fn own_reason(placement: &Placement<'_>, item: &Filled) -> Option<Why> {
    let kind = match item.origin {
        Origin::Ranking { .. } => return None,
        Origin::Pin { rule } => return Some(rule_reason(placement, rule, 1.0)),
        Origin::Exploration => WhyKind::Exploration,
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

/// The source's share of what the sources gave.
fn share(placement: &Placement<'_>, part: &Part, base: f64) -> f64 {
    let source = &placement.ask.plan.strategy.sources[part.source as usize];
    if base > 0.0 {
        source.weight * f64::from(part.score) / base
    } else {
        0.0
    }
}

fn source_reason(placement: &Placement<'_>, part: &Part, titles: &mut Titles<'_>) -> Why {
    let source = &placement.ask.plan.strategy.sources[part.source as usize];
    let base = placement.pool.candidate(part.candidate).base;
    let items = placement.scene.items;
    Why {
        kind: WhyKind::Source {
            name: source.kind.name(),
            score: f64::from(part.score),
            text: source_text(titles, &source.kind, part.lead),
        },
        weight: share(placement, part, base),
        related_id: part.lead.map(|lead| Arc::clone(items.id(lead.item))),
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
    let title = lead.and_then(|lead| titles.of(lead.item));
    let relation = lead.map(|lead| lead.relation);
    let words = match (source, title.is_some(), relation) {
        (SourceKind::Editorial { .. }, ..) => "Picked by our editors",
        (SourceKind::Popular { signal }, ..) => popular_text(*signal),
        (SourceKind::Trending { .. }, ..) => "Trending now",
        (SourceKind::New { .. }, ..) => "New in",
        (SourceKind::RecentlyViewed, ..) => "You viewed this recently",
        (SourceKind::AlsoBought, true, _) => "Often bought with ",
        (SourceKind::AlsoBought, false, _) => "Often bought together",
        (SourceKind::Similar, true, Some(Relation::Viewed)) => "Because you viewed ",
        (SourceKind::Similar, true, Some(Relation::Bought)) => "Because you bought ",
        (SourceKind::Similar, true, _) => "Similar to ",
        (SourceKind::Similar, false, _) => "Similar to what you looked at",
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
