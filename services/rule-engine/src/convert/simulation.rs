//! What may be simulated, and how the outcome is told.

use std::collections::HashSet;

use attune_api::rules::v1::{
    ItemChange, RuleReach, SimulateRequest, SimulateResponse, SimulatedAnswer, SimulatedDecisions,
    SimulatedProfiles, simulate_request::Population,
};
use attune_errors::Violations;

use super::check;
use crate::{domain::comparison::Comparison, service::rules::Drafts};

const RULES_MAX: usize = 100;
const DELETED_MAX: usize = 1000;
const STRATEGIES_MAX: usize = 20;
const PROFILES_MAX: usize = 1000;
const PROFILE_ID_CHARS_MAX: usize = 256;
const DECISIONS_MAX: i32 = 10_000;
const SAMPLES_DEFAULT: usize = 10;
const SAMPLES_MAX: i32 = 100;
const ITEMS_TOLD_MAX: usize = 50;
const RULES_TOLD_MAX: usize = 1000;

/// A simulation that can be run.
#[derive(Debug)]
pub struct Ask {
    pub drafts: Drafts,
    pub population: Population,
    pub sample_max: usize,
}

/// Everything that follows from the request alone; drafts are checked as publications
/// are, and the questions to people as requests to decide are.
pub fn ask(request: SimulateRequest) -> Result<Ask, Violations> {
    let mut found = Violations::new();
    let rules = request.rules.iter().map(|rule| rule.rule_id.as_str());
    list(&mut found, "rules", rules, RULES_MAX, "rule_id");
    let deleted = request.deleted_rule_ids.iter().map(String::as_str);
    list(&mut found, "deleted_rule_ids", deleted, DELETED_MAX, "");
    let strategies = request.strategies.iter().map(|s| s.strategy_id.as_str());
    list(
        &mut found,
        "strategies",
        strategies,
        STRATEGIES_MAX,
        "strategy_id",
    );
    let sent: HashSet<&str> = request.rules.iter().map(|r| r.rule_id.as_str()).collect();
    for (index, id) in request.deleted_rule_ids.iter().enumerate() {
        if sent.contains(id.as_str()) {
            let field = format!("deleted_rule_ids[{index}]");
            found.push(field, "must not be a rule that is sent");
        }
    }
    if !(0..=SAMPLES_MAX).contains(&request.sample_max) {
        let rule = format!("must be 1 to {SAMPLES_MAX}; 0 means {SAMPLES_DEFAULT}");
        found.push("sample_max", rule);
    }
    match &request.population {
        None => found.push("population", "must be one of profiles, decisions"),
        Some(Population::Profiles(profiles)) => found.within("profiles", |found| {
            check_profiles(found, profiles);
        }),
        Some(Population::Decisions(decisions)) => found.within("decisions", |found| {
            check_decisions(found, decisions);
        }),
    }
    let population = request.population;
    match (found.into_result(), population) {
        (Ok(()), Some(population)) => Ok(Ask {
            drafts: Drafts {
                rules: request.rules,
                deleted_rule_ids: request.deleted_rule_ids,
                strategies: request.strategies,
                saved: request.saved_drafts,
            },
            population,
            sample_max: match usize::try_from(request.sample_max) {
                Ok(0) | Err(_) => SAMPLES_DEFAULT,
                Ok(max) => max,
            },
        }),
        (Err(found), _) => Err(found),
        // No population is a violation, so that this is never reached.
        (Ok(()), None) => Err(Violations::of("population", "must be set")),
    }
}

/// A bounded list of what has ids, none of them twice.
fn list<'a>(
    found: &mut Violations,
    field: &str,
    ids: impl ExactSizeIterator<Item = &'a str>,
    max: usize,
    id_field: &str,
) {
    if ids.len() > max {
        found.push(field, format!("must be at most {max}"));
        return;
    }
    check::each_once(found, field, ids, |found, id| {
        check::id(found, id_field, id)
    });
}

fn check_profiles(found: &mut Violations, profiles: &SimulatedProfiles) {
    let ids = &profiles.profile_ids;
    if !(1..=PROFILES_MAX).contains(&ids.len()) {
        found.push("profile_ids", format!("must be 1 to {PROFILES_MAX}"));
        return;
    }
    let ids = ids.iter().map(String::as_str);
    check::each_once(found, "profile_ids", ids, |found, id| {
        if id.is_empty() || id.chars().count() > PROFILE_ID_CHARS_MAX {
            found.push(
                "",
                format!("must be 1 to {PROFILE_ID_CHARS_MAX} characters"),
            );
        }
    });
}

fn check_decisions(found: &mut Violations, decisions: &SimulatedDecisions) {
    if !(1..=DECISIONS_MAX).contains(&decisions.count) {
        found.push("count", format!("must be 1 to {DECISIONS_MAX}"));
    }
    if !decisions.placement.is_empty() {
        check::id(found, "placement", &decisions.placement);
    }
}

pub fn response(
    comparison: &Comparison,
    samples: Vec<SimulatedAnswer>,
    missing_profile_ids: Vec<String>,
) -> SimulateResponse {
    let items = comparison.items(ITEMS_TOLD_MAX).into_iter();
    let rules = comparison.rules(RULES_TOLD_MAX).into_iter();
    let number = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    SimulateResponse {
        decision_count: number(comparison.decisions),
        changed_count: number(comparison.changed),
        overlap: comparison.overlap(),
        items: items
            .map(|(id, change)| ItemChange {
                item_id: id.to_string(),
                before_count: number(change.before),
                after_count: number(change.after),
            })
            .collect(),
        rules: rules
            .map(|(id, change)| RuleReach {
                rule_id: id.to_string(),
                before_count: number(change.before),
                after_count: number(change.after),
            })
            .collect(),
        samples,
        missing_profile_ids,
    }
}
