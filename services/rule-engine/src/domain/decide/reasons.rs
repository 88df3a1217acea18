//! Why each slot holds what it holds, the strongest reason first, in words for a
//! customer and numbers for an engineer. Written for the final slots only.

use std::{borrow::Cow, sync::Arc};

use smallvec::SmallVec;

use super::{
    DecidedSlot, Placement, Why, WhyKind,
    pool::{Lead, Part, Relation, Touch},
    slots::{Filled, Origin},
};
use crate::domain::{plan::SourceKind, popularity::Signal};

/// A reason and how strongly it counts.
type Weighed = (f64, Why);

pub(super) fn explain(placement: &mut Placement<'_>, filled: &[Filled]) -> Vec<DecidedSlot> {
    let mut weighed: Vec<SmallVec<[Weighed; 4]>> = vec![SmallVec::new(); filled.len()];
    for (slot, item) in filled.iter().enumerate() {
        if let Some(candidate) = placement.pool.position(item.index) {
            placement.pool.set_slot(candidate, slot);
        }
        if let Some(reason) = own_reason(placement, item) {
            weighed[slot].push(reason);
        }
    }
    for part in placement.pool.parts() {
        let candidate = placement.pool.candidate(part.candidate);
        if let Some(slot) = candidate.slot {
            weighed[slot as usize].push(source_reason(placement, part, candidate.base));
        }
    }
    for touch in placement.pool.touches() {
        if let Some(slot) = placement.pool.candidate(touch.candidate).slot {
            weighed[slot as usize].push(touch_reason(placement, touch));
        }
    }
    filled
        .iter()
        .zip(weighed)
        .map(|(item, reasons)| slot(placement, item, reasons))
        .collect()
}

fn slot(
    placement: &Placement<'_>,
    item: &Filled,
    mut reasons: SmallVec<[Weighed; 4]>,
) -> DecidedSlot {
    reasons.sort_by(|a, b| b.0.total_cmp(&a.0));
    let candidate = placement.pool.position(item.index);
    DecidedSlot {
        index: item.index,
        item_id: Arc::clone(placement.scene.items.id(item.index)),
        score: candidate.map_or(0.0, |c| placement.pool.candidate(c).score),
        propensity: item.propensity,
        reasons: reasons.into_iter().map(|(_, why)| why).collect(),
    }
}

/// What the way into the slot says by itself. The ranking says nothing: its sources do.
fn own_reason(placement: &Placement<'_>, item: &Filled) -> Option<Weighed> {
    let source = |name, text| Why {
        kind: WhyKind::Source { name, score: 0.0 },
        text: Cow::Borrowed(text),
        weight: 1.0,
        related_id: None,
    };
    let plain = |kind, text| Why {
        kind,
        text: Cow::Borrowed(text),
        weight: 1.0,
        related_id: None,
    };
    let why = match item.origin {
        Origin::Ranking { .. } => return None,
        Origin::Pin { rule } => rule_reason(placement, rule, 1.0),
        Origin::Exploration => plain(WhyKind::Exploration, "Something new to discover"),
        Origin::Fallback => plain(WhyKind::Fallback, "Our recommendation"),
        // Found again after the sources had their say, so the source speaks for itself.
        Origin::Popular | Origin::New if placement.pool.contains(item.index) => return None,
        Origin::Popular => source("popular", "Popular right now"),
        Origin::New => source("new", "New in"),
    };
    Some((f64::INFINITY, why))
}

fn source_reason(placement: &Placement<'_>, part: &Part, base: f64) -> Weighed {
    let source = &placement.ask.plan.strategy.sources[part.source as usize];
    let score = f64::from(part.score);
    let share = if base > 0.0 {
        source.weight * score / base
    } else {
        0.0
    };
    let items = placement.scene.items;
    let why = Why {
        kind: WhyKind::Source {
            name: source.kind.name(),
            score,
        },
        text: source_text(placement, &source.kind, part.lead),
        weight: share,
        related_id: part.lead.map(|lead| Arc::clone(items.id(lead.item))),
    };
    (share, why)
}

fn touch_reason(placement: &Placement<'_>, touch: &Touch) -> Weighed {
    // A boost by 4 answers for three quarters of the score; a bury for none of it.
    let strength = if touch.factor == 1.0 {
        f64::INFINITY
    } else {
        1.0 - 1.0 / touch.factor
    };
    let why = rule_reason(placement, touch.rule as usize, touch.factor);
    (strength, why)
}

fn rule_reason(placement: &Placement<'_>, rule: usize, factor: f64) -> Why {
    let rule = placement.active[rule];
    Why {
        kind: WhyKind::Rule(Arc::clone(rule)),
        text: Cow::Owned(rule.label.to_string()),
        weight: factor,
        related_id: None,
    }
}

fn source_text(
    placement: &Placement<'_>,
    source: &SourceKind,
    lead: Option<Lead>,
) -> Cow<'static, str> {
    let title = lead.and_then(|lead| {
        let item = placement.scene.items.get(lead.item)?;
        item.title(placement.request.locale)
    });
    match (source, title, lead.map(|lead| lead.relation)) {
        (SourceKind::Editorial { .. }, ..) => "Picked by our editors".into(),
        (SourceKind::Popular { signal }, ..) => popular_text(*signal).into(),
        (SourceKind::Trending { .. }, ..) => "Trending now".into(),
        (SourceKind::New { .. }, ..) => "New in".into(),
        (SourceKind::RecentlyViewed, ..) => "You viewed this recently".into(),
        (SourceKind::AlsoBought, Some(title), _) => format!("Often bought with {title}").into(),
        (SourceKind::AlsoBought, None, _) => "Often bought together".into(),
        (SourceKind::Similar, Some(title), Some(Relation::Viewed)) => {
            format!("Because you viewed {title}").into()
        }
        (SourceKind::Similar, Some(title), Some(Relation::Bought)) => {
            format!("Because you bought {title}").into()
        }
        (SourceKind::Similar, Some(title), _) => format!("Similar to {title}").into(),
        (SourceKind::Similar, None, _) => "Similar to what you looked at".into(),
    }
}

fn popular_text(signal: Option<Signal>) -> &'static str {
    match signal {
        None => "Popular right now",
        Some(Signal::View) => "Often viewed",
        Some(Signal::AddToCart) => "Often put in the basket",
        Some(Signal::Purchase) => "Often bought",
    }
}
