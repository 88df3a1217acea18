//! Decisions to their messages: the answer, and the record that is kept of it. Written
//! straight into bytes, since every request waits for one and leaves the other behind;
//! a test holds every tag against the contract.

use std::sync::Arc;

use attune_api::{
    profile::v1::Basis,
    rules::{
        self,
        v1::{DecideRequest, ReasonKind},
    },
    time,
    r#type::v1::Context,
};
use prost::Message;
use prost_types::{Value, value::Kind};
use uuid::Uuid;

use super::{
    asks,
    explanation::{Extent, explanation},
    wire::Writer,
};
use crate::domain::{
    decide::{Decided, DecidedSlot, RuleOutcome, Why, WhyKind},
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

/// One placement's part of a `DecideResponse`. A preview has no id and no tokens.
pub fn placement(
    answer: &mut Writer,
    plan: &PlacementPlan,
    decided: &Decided,
    decision_id: Option<Uuid>,
    mut tokens: Option<Tokens<'_>>,
    detail: Detail,
) {
    answer.within(1, |placement| {
        placement.text(1, [&*plan.id]);
        if let Some(id) = decision_id {
            placement.text(2, [spelt(id, &mut [0; 36])]);
        }
        placement.text(3, [&*plan.strategy.id]);
        for (at, decided) in decided.slots.iter().enumerate() {
            placement.within(4, |slot| {
                slot.text(1, [&*decided.item_id]);
                slot.double(2, told(decided.score));
                reasons(slot, decided, detail);
                if let Some(tokens) = &mut tokens {
                    let rules = decided.rule_ids();
                    let token = tokens.token((at + 1) as u16, &decided.item_id, rules);
                    slot.text_bytes(4, token);
                }
            });
        }
        placement.text(5, [plan.template.as_str()]);
        placement.number(6, decided.is_fallback.into());
        if detail == Detail::Full
            && let Some(trace) = &decided.trace
        {
            explanation(placement, 7, trace, Extent::Answer);
        }
    });
}

fn spelt(id: Uuid, spelling: &mut [u8; 36]) -> &str {
    id.hyphenated().encode_lower(spelling)
}

/// A number as it is told: to six significant digits, which is all that is meant by a
/// score that was added up from single precision. 0.8, not 0.800000011920929.
pub(super) fn told(number: f64) -> f64 {
    const DIGITS: i32 = 6;
    if number == 0.0 || !number.is_finite() {
        return number;
    }
    let before_point = number.abs().log10().floor() as i32 + 1;
    // Powers of ten are exact up to 22, and then so is the double nearest to the decimal.
    match DIGITS - before_point {
        after @ 0..=22 => {
            let scale = 10_f64.powi(after);
            (number * scale).round() / scale
        }
        beyond @ -22..0 => {
            let scale = 10_f64.powi(-beyond);
            (number / scale).round() * scale
        }
        _ => number,
    }
}

/// The reasons of a slot, which have the same tag in an answer and in a record.
fn reasons(slot: &mut Writer, decided: &DecidedSlot, detail: Detail) {
    let count = match detail {
        Detail::Brief => REASONS_MAX,
        Detail::Full => usize::MAX,
    };
    for why in decided.reasons.iter().take(count) {
        slot.within(3, |writer| reason(writer, why, detail));
    }
}

fn reason(writer: &mut Writer, why: &Why, detail: Detail) {
    let kind = match &why.kind {
        WhyKind::Source { .. } => ReasonKind::Source,
        WhyKind::Term(_) => ReasonKind::Term,
        WhyKind::Rule(_) => ReasonKind::Rule,
        WhyKind::Fallback => ReasonKind::Fallback,
        WhyKind::Exploration => ReasonKind::Exploration,
        WhyKind::Promotion => ReasonKind::Promotion,
    };
    writer.number(1, kind.into());
    writer.text(2, why.text());
    writer.double(3, told(why.weight));
    match &why.kind {
        WhyKind::Source { name, score, .. } => writer.within(4, |source| {
            source.text(1, [name]);
            if detail == Detail::Full {
                source.double(2, told(*score));
            }
        }),
        WhyKind::Rule(rule) => writer.text(5, [&*rule.id]),
        WhyKind::Term(_) | WhyKind::Fallback | WhyKind::Exploration | WhyKind::Promotion => {}
    }
    writer.text(6, [why.related_id.as_deref().unwrap_or("")]);
}

/// What is kept of a decision besides the slots.
#[derive(Debug)]
pub struct Header {
    pub decision_id: Uuid,
    pub time_ms: i64,
    pub profile_id: Arc<str>,
    pub basis: Basis,
    /// Without the snapshot.
    pub request: Arc<DecideRequest>,
    /// The decision's place among the request's placements.
    pub place: usize,
}

/// The record of one placement's decision, complete: a `Decision`.
pub fn record(header: &Header, plan: &PlacementPlan, decided: &Decided) -> Writer {
    let mut record = Writer::with_capacity(4096);
    record.text(1, [spelt(header.decision_id, &mut [0; 36])]);
    record.message(2, &time::from_ms(header.time_ms));
    record.text(3, [&*header.profile_id]);
    record.text(4, [header.request.channel.as_str()]);
    record.text(5, [&*plan.id]);
    record.text(6, [&*plan.strategy.id]);
    record.number(7, header.basis.into());
    slots(&mut record, &decided.slots);
    if let Some(trace) = &decided.trace {
        explanation(&mut record, 10, trace, Extent::Record);
    }
    if let Some(context) = &header.request.context {
        record.message(11, &kept_of(context));
    }
    if let Some(ask) = header.request.placements.get(header.place) {
        record.count(12, asks::count(ask.count));
        record.text(13, [ask.item_id.as_str()]);
    }
    let applied = decided.trace.iter().flat_map(|trace| &trace.rules);
    for rule in applied.filter(|rule| rule.outcome == RuleOutcome::Applied) {
        record.text(14, [&*rule.rule.id]);
    }
    record
}

fn slots(record: &mut Writer, slots: &[DecidedSlot]) {
    for decided in slots {
        record.within(8, |slot| {
            slot.text(1, [&*decided.item_id]);
            slot.double(2, told(decided.score));
            reasons(slot, decided, Detail::Full);
            slot.double(4, decided.propensity);
        });
    }
}

/// Slots as messages, by way of the bytes of their record.
pub fn slot_messages(decided: &[DecidedSlot]) -> Vec<rules::v1::DecidedSlot> {
    let mut record = Writer::default();
    slots(&mut record, decided);
    // Written here, so that it can be read.
    let read = rules::v1::Decision::decode(record.into_bytes().as_slice());
    read.unwrap_or_default().slots
}

/// A situation without what would tell where exactly a person was, or was looking, and
/// what they or the sender said in words.
fn kept_of(context: &Context) -> Context {
    let mut kept = context.clone();
    if let Some(location) = &mut kept.location {
        location.lat = None;
        location.lng = None;
        location.city.clear();
    }
    if let Some(page) = &mut kept.page {
        page.url.clear();
        page.query.clear();
    }
    if let Some(attributes) = &mut kept.attributes {
        let is_plain = |value: &Value| {
            let kind = value.kind.as_ref();
            matches!(kind, Some(Kind::NumberValue(_) | Kind::BoolValue(_)))
        };
        attributes.fields.retain(|_, value| is_plain(value));
    }
    kept
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::convert::explanation::tests::{expected as expected_explanation, trace};
    use crate::domain::{
        decide::SourceText,
        plan::{RuleAction, RulePlan, default_strategy},
        token,
    };
    use attune_api::rules::v1::{
        DecideResponse, DecidedSlot as RecordedSlot, Decision, PlacementDecision, PlacementRequest,
        Reason, Slot, SourceRef,
    };
    use attune_api::r#type::v1::{Location, Page};
    fn plan() -> PlacementPlan {
        PlacementPlan {
            id: "home".into(),
            channels: Vec::new(),
            strategy: Arc::new(default_strategy()),
            fallback_strategies: Vec::new(),
            fallback: Vec::new(),
            template: "wide".into(),
            caps: Vec::new(),
        }
    }

    pub fn rule() -> RulePlan {
        RulePlan {
            label: "For our best".into(),
            ..RulePlan::new(1, "gold", RuleAction::Exclude)
        }
    }

    fn decided() -> Decided {
        let why = |kind, weight, related: Option<&str>| Why {
            kind,
            weight,
            related_id: related.map(Into::into),
        };
        let text = SourceText {
            words: "Similar to ",
            title: Some("Tent".into()),
        };
        let source = WhyKind::Source {
            name: "similar",
            score: 0.5,
            text,
        };
        Decided {
            slots: vec![DecidedSlot {
                index: 0,
                item_id: "tent-2p".into(),
                score: 1.25,
                propensity: 0.75,
                reasons: [
                    why(WhyKind::Rule(Arc::new(rule())), 2.0, None),
                    why(source, 0.25, Some("tent-1p")),
                    why(WhyKind::Fallback, 1.0, None),
                    why(WhyKind::Exploration, 1.0, None),
                ]
                .into_iter()
                .collect(),
            }],
            is_fallback: true,
            trace: Some(Box::new(trace(rule()))),
        }
    }

    fn expected_reasons(detail: Detail) -> Vec<Reason> {
        let plain = |kind: ReasonKind, text: &str, weight| Reason {
            kind: kind.into(),
            text: text.into(),
            weight,
            ..Reason::default()
        };
        let mut reasons = vec![
            Reason {
                rule_id: "gold".into(),
                ..plain(ReasonKind::Rule, "For our best", 2.0)
            },
            Reason {
                source: Some(SourceRef {
                    kind: "similar".into(),
                    score: if detail == Detail::Full { 0.5 } else { 0.0 },
                }),
                related_item_id: "tent-1p".into(),
                ..plain(ReasonKind::Source, "Similar to Tent", 0.25)
            },
            plain(ReasonKind::Fallback, "Our recommendation", 1.0),
        ];
        if detail == Detail::Full {
            let last = plain(ReasonKind::Exploration, "Something new to discover", 1.0);
            reasons.push(last);
        }
        reasons
    }

    #[test]
    fn an_answer_reads_as_the_contract_says() {
        let id = Uuid::from_u128(7);
        let key = crate::domain::token::TokenKey::new([7; 32]);
        for (detail, is_preview) in [(Detail::Brief, false), (Detail::Full, true)] {
            let tokens = (!is_preview).then(|| {
                key.tokens(&token::Decision {
                    workspace: "default",
                    id,
                    profile_id: "p",
                    placement: "home",
                    strategy: "default",
                    channel: "web",
                })
            });
            let id = (!is_preview).then_some(id);
            let mut writer = Writer::default();
            placement(&mut writer, &plan(), &decided(), id, tokens, detail);
            let read = DecideResponse::decode(writer.into_bytes().as_slice()).unwrap();
            let token = read.placements[0].slots[0].token.clone();
            let rules = key.verify(&token).map(|claims| claims.rule_ids);
            assert_eq!(rules, (!is_preview).then(|| vec!["gold".to_owned()]));
            let expected = PlacementDecision {
                placement: "home".into(),
                decision_id: id.map_or_else(String::new, |id| id.to_string()),
                strategy: "default".into(),
                slots: vec![Slot {
                    item_id: "tent-2p".into(),
                    score: 1.25,
                    reasons: expected_reasons(detail),
                    token,
                }],
                template: "wide".into(),
                fallback: true,
                explanation: (detail == Detail::Full).then(|| expected_explanation(Extent::Answer)),
            };
            assert_eq!(read.placements, [expected]);
        }
    }

    #[test]
    fn numbers_are_told_to_six_digits() {
        for (number, expected) in [
            (f64::from(0.8_f32), 0.8),
            (f64::from(0.1_f32) + f64::from(0.7_f32), 0.8),
            (1.0 / 3.0, 0.333_333),
            (-2.0 / 3.0, -0.666_667),
            (1_234_567.89, 1_234_570.0),
            (999_999.96, 1_000_000.0),
            (0.000_012_345_678, 0.000_012_345_7),
            (1e-40, 1e-40),
            (1.25, 1.25),
            (20.0, 20.0),
            (0.0, 0.0),
            (f64::INFINITY, f64::INFINITY),
        ] {
            assert_eq!(told(number), expected, "{number}");
        }
    }

    #[test]
    fn a_record_reads_as_the_contract_says() {
        let context = |lat, url: &str| Context {
            locale: "de-AT".into(),
            location: Some(Location {
                lat,
                lng: lat,
                country: "AT".into(),
                ..Location::default()
            }),
            page: Some(Page {
                url: url.into(),
                item_id: "tent-1p".into(),
                ..Page::default()
            }),
            ..Context::default()
        };
        let request = DecideRequest {
            channel: "web".into(),
            placements: vec![PlacementRequest {
                placement: "home".into(),
                item_id: "tent-1p".into(),
                ..PlacementRequest::default()
            }],
            context: Some(context(Some(48.2), "https://shop.example/?me")),
            ..DecideRequest::default()
        };
        let header = Header {
            decision_id: Uuid::from_u128(7),
            time_ms: 1_700_000_000_123,
            profile_id: "p".into(),
            basis: Basis::ContextOnly,
            request: Arc::new(request),
            place: 0,
        };
        let written = record(&header, &plan(), &decided()).into_bytes();
        let expected = Decision {
            decision_id: Uuid::from_u128(7).to_string(),
            time: Some(time::from_ms(header.time_ms)),
            profile_id: "p".into(),
            channel: "web".into(),
            placement: "home".into(),
            strategy: "default".into(),
            basis: Basis::ContextOnly.into(),
            slots: vec![RecordedSlot {
                item_id: "tent-2p".into(),
                score: 1.25,
                reasons: expected_reasons(Detail::Full),
                propensity: 0.75,
            }],
            outcomes: Vec::new(),
            explanation: Some(expected_explanation(Extent::Record)),
            context: Some(context(None, "")),
            count: 10,
            placement_item_id: "tent-1p".into(),
            rule_ids: vec!["gold".into()],
        };
        assert_eq!(Decision::decode(written.as_slice()), Ok(expected));
    }
}
