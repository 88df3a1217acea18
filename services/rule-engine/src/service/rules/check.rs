//! Checking rules before they are saved: fields, what they refer to, whether they can
//! ever have an effect, and whether they contradict what is in force.

use std::sync::Arc;

use attune_api::{
    rules::v1::{Rule, action},
    time,
};
use attune_errors::Violations;
use attune_rpc::Caller;
use attune_storage::resources::Error;
use rustc_hash::FxHashSet;

use super::{
    Rules,
    part::{Vocabularies, check_items},
};
use crate::{
    convert::{plan::compiled_rule, resources as convert},
    domain::{
        claims::{Claim, Claims, Contradiction, ContradictionKind},
        items::Items,
    },
    service::workspace::State,
};

/// Rules that are to be saved together.
#[derive(Debug, Clone)]
pub(super) struct ToCheck {
    pub rules: Vec<Rule>,
    pub standing: Standing,
    pub naming: Naming,
    /// Rules in force that will be gone.
    pub leaving: Vec<String>,
}

/// What the rules are going to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Checked by themselves.
    Draft,
    /// Checked against all that is in force.
    Published,
}

/// How faults name a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// `rule`
    One,
    /// `rules["summer"]`
    Many,
    /// `rules[0]` where it is one of so many that were sent in a list, else by its id.
    Listed { sent: usize },
}

impl Rules {
    /// The rules compiled, those that are disabled left out. What would be refused for
    /// want of knowledge is looked up in the catalog first.
    pub(super) async fn checked(
        &self,
        caller: &Caller,
        state: &Arc<State>,
        to_check: ToCheck,
    ) -> Result<Vec<Claim>, Error> {
        let conditions = to_check.rules.iter().map(|rule| rule.when.as_str());
        let conditions: Vec<&str> = conditions.collect();
        self.profile.learn(caller, state, &conditions).await;
        let to_check = Arc::new(to_check);
        if let Ok(claims) = check_aside(state, &to_check).await? {
            return Ok(claims);
        }
        let rules = to_check.rules.iter();
        let expressions: Vec<&str> = rules.clone().map(|rule| rule.r#where.as_str()).collect();
        let ids: Vec<String> = rules.flat_map(item_ids).cloned().collect();
        self.catalog.learn_names(caller, state, &expressions).await;
        self.catalog.learn_items(caller, state, &ids).await?;
        Ok(check_aside(state, &to_check).await??)
    }
}

/// Away from the reactor: parsing alone takes longer than its turn.
async fn check_aside(
    state: &Arc<State>,
    to_check: &Arc<ToCheck>,
) -> Result<Result<Vec<Claim>, Violations>, Error> {
    let (state, to_check) = (Arc::clone(state), Arc::clone(to_check));
    let checking = tokio::task::spawn_blocking(move || check(&state, &to_check));
    checking
        .await
        .map_err(|_| attune_storage::Error::Panicked.into())
}

/// Items that a rule names by id, with the field that does.
fn named_items(rule: &Rule) -> Option<(&'static str, &[String])> {
    match rule.action.as_ref()?.kind.as_ref()? {
        action::Kind::Pin(pin) => Some(("action.pin.item_ids", &pin.item_ids)),
        action::Kind::Include(include) => Some(("action.include.item_ids", &include.item_ids)),
        _ => None,
    }
}

fn item_ids(rule: &Rule) -> &[String] {
    named_items(rule).map_or(&[], |(_, ids)| ids)
}

fn check(state: &State, to_check: &ToCheck) -> Result<Vec<Claim>, Violations> {
    let mut found = Violations::new();
    let fields = check_fields(&mut found, state, to_check);
    found.into_result()?;
    let claims = compile(state, to_check, fields)?;
    if to_check.standing == Standing::Published {
        check_contradictions(state, to_check, &claims)?;
    }
    Ok(claims)
}

fn check_fields(found: &mut Violations, state: &State, to_check: &ToCheck) -> Vec<convert::Fields> {
    let vocabularies = Vocabularies::of(state);
    let now_ms = time::now_ms();
    let rules = to_check.rules.iter().map(|rule| {
        found.within(prefix(to_check, &rule.rule_id), |found| {
            let fields = convert::rule(found, rule, &vocabularies.subject, &vocabularies.item);
            if !rule.disabled {
                convert::never(found, &fields, now_ms);
            }
            for (index, id) in rule.placements.iter().enumerate() {
                if !state.parts.lock().has_placement(id) {
                    let field = format!("placements[{index}]");
                    found.push(field, "must be a placement that exists");
                }
            }
            if let Some((field, ids)) = named_items(rule) {
                check_items(found, field, ids, &state.items.read());
            }
            fields
        })
    });
    rules.collect()
}

fn prefix(to_check: &ToCheck, rule_id: &str) -> String {
    match to_check.naming {
        Naming::One => "rule".to_owned(),
        Naming::Many => format!("rules[\"{rule_id}\"]"),
        Naming::Listed { sent } => {
            let mut listed = to_check.rules.iter().take(sent);
            match listed.position(|rule| rule.rule_id == rule_id) {
                Some(index) => format!("rules[{index}]"),
                None => format!("rules[\"{rule_id}\"]"),
            }
        }
    }
}

fn compile(
    state: &State,
    to_check: &ToCheck,
    fields: Vec<convert::Fields>,
) -> Result<Vec<Claim>, Violations> {
    let rules = to_check.rules.iter().zip(fields);
    let enabled = rules.filter(|(rule, _)| !rule.disabled);
    let claims = enabled.map(|(rule, fields)| {
        let numbers = state.parts.lock().numbers_of(rule);
        let mut items = state.items.write();
        compiled_rule(rule, numbers, fields.when, fields.targets, &mut items).map_err(|_| {
            Violations::of(
                prefix(to_check, &rule.rule_id),
                "must be a rule that compiles",
            )
        })
    });
    claims.collect()
}

/// Against what is in force without the rules that are replaced, and against each other.
fn check_contradictions(
    state: &State,
    to_check: &ToCheck,
    claims: &[Claim],
) -> Result<(), Violations> {
    let now_ms = time::now_ms();
    let mut found = Violations::new();
    let mut fresh = Claims::default();
    let none = FxHashSet::default();
    let parts = state.parts.lock();
    let gone = to_check.leaving.iter();
    let gone = gone.filter_map(|id| parts.number_in_force(id));
    let leaving = claims.iter().map(|claim| claim.plan.number);
    let leaving = leaving.chain(gone).collect();
    let items = state.items.read();
    for claim in claims {
        let mut contradictions = parts.claims().against(claim, &leaving, &items, now_ms);
        contradictions.extend(fresh.against(claim, &none, &items, now_ms));
        fresh.insert(claim);
        found.within(prefix(to_check, &claim.plan.id), |found| {
            for contradiction in &contradictions {
                let (field, rule) = words(claim, contradiction, &items);
                found.push(field, rule);
            }
        });
    }
    found.into_result()
}

fn words(claim: &Claim, contradiction: &Contradiction, items: &Items) -> (String, String) {
    use crate::domain::plan::RuleAction as Action;
    let other = &contradiction.other;
    match (&contradiction.kind, &claim.plan.action) {
        (ContradictionKind::SamePosition, _) => (
            "action.pin.position".to_owned(),
            format!(
                "must not overlap: rule \"{other}\" pins to the same position with the same \
                 priority and may apply together with this one"
            ),
        ),
        (ContradictionKind::ItemExcluded { place }, action) => {
            let kind = match action {
                Action::Pin { .. } => "pin",
                _ => "include",
            };
            (
                format!("action.{kind}.item_ids[{place}]"),
                format!("must not be an item that rule \"{other}\" excludes"),
            )
        }
        (ContradictionKind::Excludes { item }, _) => (
            "where".to_owned(),
            format!(
                "must not exclude item \"{}\", which rule \"{other}\" pins or includes",
                items.id(*item)
            ),
        ),
        (ContradictionKind::Opposite, _) => (
            "action".to_owned(),
            format!("must not contradict rule \"{other}\": one boosts what the other buries"),
        ),
    }
}
