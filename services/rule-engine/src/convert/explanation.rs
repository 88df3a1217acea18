//! What a decision's trace tells, as an `Explanation`: to whoever asked, and into the
//! record. Written straight into bytes like the messages that carry it; a test holds
//! every tag against the contract.

use attune_api::rules::v1::{FilterCause, RuleOutcome as Outcome};

use super::{answer::told, wire::Writer};
use crate::domain::decide::{
    RuleOutcome,
    trace::{CandidateTrace, Cause, Feature, Filtered, RuleTrace, ScorePart, SourceTrace, Trace},
};

/// How much of a trace is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All there is.
    Answer,
    /// What is kept: no candidates, and only rules that applied.
    Record,
}

pub fn explanation(writer: &mut Writer, tag: u32, trace: &Trace, extent: Extent) {
    writer.within(tag, |writer| {
        for of in &trace.sources {
            writer.within(1, |writer| source(writer, of));
        }
        for of in &trace.filtered {
            writer.within(2, |writer| filtered(writer, of, extent));
        }
        let is_told =
            |rule: &&RuleTrace| extent == Extent::Answer || rule.outcome == RuleOutcome::Applied;
        for of in trace.rules.iter().filter(is_told) {
            writer.within(3, |writer| rule(writer, of));
        }
        if extent == Extent::Answer {
            for of in &trace.candidates {
                writer.within(5, |writer| candidate(writer, of));
            }
        }
        writer.count(6, trace.candidate_count);
    });
}

fn source(writer: &mut Writer, source: &SourceTrace) {
    writer.text(1, [source.name]);
    writer.double(2, source.weight);
    writer.count(3, source.proposed as usize);
    writer.count(4, source.shown as usize);
}

fn filtered(writer: &mut Writer, filtered: &Filtered, extent: Extent) {
    writer.number(1, cause(filtered.cause).into());
    writer.count(2, filtered.count as usize);
    if let Some(rule) = &filtered.rule {
        writer.text(3, [&*rule.id]);
    }
    if extent == Extent::Answer {
        for id in &filtered.item_ids {
            writer.text(4, [&**id]);
        }
    }
}

fn rule(writer: &mut Writer, rule: &RuleTrace) {
    writer.text(1, [&*rule.rule.id]);
    writer.number(2, outcome(rule.outcome).into());
    writer.count(3, rule.item_count as usize);
}

fn candidate(writer: &mut Writer, candidate: &CandidateTrace) {
    writer.text(1, [&*candidate.item_id]);
    writer.double(2, told(candidate.score));
    for of in &candidate.parts {
        writer.within(3, |writer| part(writer, of));
    }
    writer.count(4, candidate.position.into());
}

fn part(writer: &mut Writer, part: &ScorePart) {
    match &part.feature {
        Feature::Source(name) => writer.text(1, ["source/", name]),
        Feature::Term(label) => writer.text(1, ["term/", label]),
        Feature::Rule(rule) => writer.text(1, ["rule/", &rule.id]),
        Feature::Fatigue => writer.text(1, ["fatigue"]),
    }
    writer.double(2, told(part.value));
    writer.double(3, told(part.contribution));
}

fn cause(cause: Cause) -> FilterCause {
    match cause {
        Cause::NotPublished => FilterCause::NotPublished,
        Cause::OutOfStock => FilterCause::OutOfStock,
        Cause::NotAvailableNow => FilterCause::NotAvailableNow,
        Cause::WrongLocale => FilterCause::WrongLocale,
        Cause::NotInAudience => FilterCause::NotInAudience,
        Cause::AlreadyBought => FilterCause::AlreadyBought,
        Cause::Dismissed => FilterCause::Dismissed,
        Cause::ExcludedByRequest => FilterCause::ExcludedByRequest,
        Cause::AlreadyThere => FilterCause::AlreadyThere,
        Cause::RequestFilter => FilterCause::RequestFilter,
        Cause::StrategyFilter => FilterCause::StrategyFilter,
        Cause::RuleExcluded(_) => FilterCause::RuleExcluded,
        Cause::Capped => FilterCause::Capped,
        Cause::DiversityLimit => FilterCause::DiversityLimit,
    }
}

fn outcome(outcome: RuleOutcome) -> Outcome {
    match outcome {
        RuleOutcome::Applied => Outcome::RuleApplied,
        RuleOutcome::ConditionFalse => Outcome::RuleConditionFalse,
        RuleOutcome::NotScheduled => Outcome::RuleNotScheduled,
        RuleOutcome::OtherChannel => Outcome::RuleOtherChannel,
        RuleOutcome::ExcludedByGroup => Outcome::RuleExcludedByGroup,
        RuleOutcome::BudgetSpent => Outcome::RuleBudgetSpent,
        RuleOutcome::PersonCapped => Outcome::RulePersonCapped,
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::domain::plan::RulePlan;
    use attune_api::rules::v1::{
        CandidateExplanation, Explanation, FilterExplanation, RuleExplanation,
        ScorePart as PartExplanation, SourceExplanation,
    };
    use prost::Message;
    use std::sync::Arc;

    /// A trace in which everything is set.
    pub fn trace(rule: RulePlan) -> Trace {
        let rule = Arc::new(rule);
        let standing = |outcome, item_count| RuleTrace {
            rule: Arc::clone(&rule),
            outcome,
            item_count,
        };
        let part = |feature, value, contribution| ScorePart {
            feature,
            value,
            contribution,
        };
        Trace {
            sources: [SourceTrace {
                name: "popular",
                weight: 0.5,
                proposed: 300,
                shown: 2,
            }]
            .into_iter()
            .collect(),
            filtered: [Filtered {
                cause: Cause::RuleExcluded(0),
                count: 7,
                rule: Some(Arc::clone(&rule)),
                item_ids: vec!["a".into(), "b".into()],
            }]
            .into_iter()
            .collect(),
            rules: vec![
                standing(RuleOutcome::Applied, 3),
                standing(RuleOutcome::BudgetSpent, 0),
            ],
            candidates: vec![CandidateTrace {
                item_id: "c".into(),
                score: 1.5,
                parts: vec![
                    part(Feature::Source("popular"), 1.0, 0.5),
                    part(Feature::Rule(Arc::clone(&rule)), 3.0, 1.0),
                ],
                position: 2,
            }],
            candidate_count: 1,
        }
    }

    /// What it reads as.
    pub fn expected(extent: Extent) -> Explanation {
        let is_answer = extent == Extent::Answer;
        let rule = |outcome: Outcome, item_count| RuleExplanation {
            rule_id: "gold".into(),
            outcome: outcome.into(),
            item_count,
        };
        let part = |feature: &str, value, contribution| PartExplanation {
            feature: feature.into(),
            value,
            contribution,
        };
        let candidate = CandidateExplanation {
            item_id: "c".into(),
            score: 1.5,
            parts: vec![
                part("source/popular", 1.0, 0.5),
                part("rule/gold", 3.0, 1.0),
            ],
            position: 2,
        };
        let mut rules = vec![rule(Outcome::RuleApplied, 3)];
        if is_answer {
            rules.push(rule(Outcome::RuleBudgetSpent, 0));
        }
        Explanation {
            sources: vec![SourceExplanation {
                kind: "popular".into(),
                weight: 0.5,
                proposed_count: 300,
                shown_count: 2,
            }],
            filtered: vec![FilterExplanation {
                cause: FilterCause::RuleExcluded.into(),
                item_count: 7,
                rule_id: "gold".into(),
                item_ids: if is_answer {
                    vec!["a".into(), "b".into()]
                } else {
                    Vec::new()
                },
            }],
            rules,
            arms: Vec::new(),
            candidates: if is_answer {
                vec![candidate]
            } else {
                Vec::new()
            },
            candidate_count: 1,
        }
    }

    #[test]
    fn an_explanation_reads_as_the_contract_says() {
        let rule = || crate::convert::answer::tests::rule();
        for extent in [Extent::Answer, Extent::Record] {
            let mut writer = Writer::default();
            explanation(&mut writer, 7, &trace(rule()), extent);
            let written = writer.into_bytes();
            let read = attune_api::rules::v1::PlacementDecision::decode(written.as_slice());
            assert_eq!(read.unwrap().explanation, Some(expected(extent)));
        }
    }
}
