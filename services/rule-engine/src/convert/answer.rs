//! Decisions to their messages: the answer, and the record that is kept of it.

use attune_api::{
    profile::v1::Basis,
    rules::v1::{
        DecidedSlot as RecordedSlot, Decision, PlacementDecision, Reason, ReasonKind, Slot,
        SourceRef,
    },
    time,
};
use uuid::Uuid;

use crate::domain::{
    decide::{Decided, DecidedSlot, Why, WhyKind},
    plan::PlacementPlan,
    token::Tokens,
};

/// Reasons of a slot where nobody asked for an explanation.
const REASONS_MAX: usize = 3;

/// How much of the reasons is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// For a page.
    Brief,
    /// For an engineer.
    Full,
}

impl Detail {
    pub fn of(explain: bool) -> Self {
        if explain { Self::Full } else { Self::Brief }
    }
}

/// One placement's part of the answer. A preview has no id and no tokens.
pub fn placement(
    plan: &PlacementPlan,
    decided: &Decided,
    decision_id: Option<Uuid>,
    mut tokens: Option<Tokens<'_>>,
    detail: Detail,
) -> PlacementDecision {
    let slots = decided.slots.iter().enumerate();
    let slots = slots.map(|(at, slot)| Slot {
        item_id: slot.item_id.to_string(),
        score: slot.score,
        reasons: reasons(slot, detail),
        token: tokens.as_mut().map_or_else(String::new, |tokens| {
            tokens.token((at + 1) as u16, &slot.item_id)
        }),
    });
    PlacementDecision {
        placement: plan.id.to_string(),
        slots: slots.collect(),
        decision_id: decision_id.map_or_else(String::new, |id| id.to_string()),
        strategy: plan.strategy.id.to_string(),
        template: plan.template.clone(),
        fallback: decided.is_fallback,
    }
}

fn reasons(slot: &DecidedSlot, detail: Detail) -> Vec<Reason> {
    let count = match detail {
        Detail::Brief => REASONS_MAX,
        Detail::Full => usize::MAX,
    };
    let reasons = slot.reasons.iter().take(count);
    reasons.map(|why| reason(why, detail)).collect()
}

fn reason(why: &Why, detail: Detail) -> Reason {
    let mut reason = Reason {
        text: why.text.to_string(),
        weight: why.weight,
        related_item_id: why
            .related_id
            .as_ref()
            .map_or_else(String::new, ToString::to_string),
        ..Reason::default()
    };
    let kind = match &why.kind {
        WhyKind::Source { name, score } => {
            reason.source = Some(SourceRef {
                kind: (*name).to_owned(),
                score: if detail == Detail::Full { *score } else { 0.0 },
            });
            ReasonKind::Source
        }
        WhyKind::Rule(rule) => {
            reason.rule_id = rule.id.to_string();
            ReasonKind::Rule
        }
        WhyKind::Fallback => ReasonKind::Fallback,
        WhyKind::Exploration => ReasonKind::Exploration,
    };
    reason.set_kind(kind);
    reason
}

/// What is kept of a decision besides the slots.
#[derive(Debug)]
pub struct Header {
    pub decision_id: Uuid,
    pub time_ms: i64,
    pub profile_id: String,
    pub channel: String,
    pub basis: Basis,
}

/// The record of one placement's decision, complete.
pub fn record(header: &Header, plan: &PlacementPlan, decided: &Decided) -> Decision {
    let slots = decided.slots.iter().map(|slot| RecordedSlot {
        item_id: slot.item_id.to_string(),
        score: slot.score,
        reasons: reasons(slot, Detail::Full),
        propensity: slot.propensity,
    });
    Decision {
        decision_id: header.decision_id.to_string(),
        time: Some(time::from_ms(header.time_ms)),
        profile_id: header.profile_id.clone(),
        channel: header.channel.clone(),
        placement: plan.id.to_string(),
        strategy: plan.strategy.id.to_string(),
        basis: header.basis.into(),
        slots: slots.collect(),
        outcomes: Vec::new(),
    }
}
