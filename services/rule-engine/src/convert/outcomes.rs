//! What a report of outcomes may hold, and what is stored of it.

use attune_api::{
    rules::v1::{Outcome, OutcomeType},
    time,
};
use attune_errors::Violations;

use crate::{
    domain::{
        attribution::{self, Kind, Windows},
        token::{Claims, TokenKey},
    },
    error::Error,
    store::outcomes::StoredOutcome,
};

const OUTCOMES_MAX: usize = 1000;
const OUTCOME_ID_CHARS_MAX: usize = 256;
/// A sender's clock may run ahead by this much.
const AHEAD_MS_MAX: i64 = 24 * 3_600_000;

/// Where and when outcomes are taken.
pub struct Taking<'a> {
    pub key: &'a TokenKey,
    pub workspace: &'a str,
    pub windows: Windows,
    pub now_ms: i64,
}

/// What is wrong with a token.
enum BadToken {
    Invalid,
    Expired,
}

/// Checks every outcome and tells all that is wrong at once.
pub fn check(outcomes: &[Outcome], taking: &Taking<'_>) -> Result<Vec<StoredOutcome>, Error> {
    let mut found = Violations::new();
    if !(1..=OUTCOMES_MAX).contains(&outcomes.len()) {
        found.push("outcomes", format!("must be 1 to {OUTCOMES_MAX}"));
        return Err(found.into());
    }
    let (mut is_invalid, mut is_expired) = (false, false);
    let mut stored = Vec::with_capacity(outcomes.len());
    for (index, outcome) in outcomes.iter().enumerate() {
        found.within_item("outcomes", index, |found| {
            let claims = claims(&outcome.token, taking);
            let time_ms = check_fields(found, outcome, taking.now_ms);
            match claims {
                Ok(claims) => stored.push(store(outcome, claims, time_ms, taking.windows)),
                Err(BadToken::Invalid) => {
                    is_invalid = true;
                    found.push("token", "must be a token that a slot was given");
                }
                Err(BadToken::Expired) => {
                    is_expired = true;
                    found.push("token", "must be of a decision that still takes outcomes");
                }
            }
        });
    }
    match (is_invalid, is_expired) {
        _ if found.is_empty() => Ok(stored),
        (true, _) => Err(Error::TokenInvalid(found)),
        (false, true) => Err(Error::TokenExpired(found)),
        (false, false) => Err(Error::Invalid(found)),
    }
}

/// A token of another workspace is none here.
fn claims(token: &str, taking: &Taking<'_>) -> Result<Claims, BadToken> {
    let claims = taking.key.verify(token);
    let claims = claims.filter(|claims| claims.workspace == taking.workspace);
    let claims = claims.ok_or(BadToken::Invalid)?;
    let decision_ms = attribution::decision_ms(claims.decision_id);
    if taking.windows.are_over(decision_ms, taking.now_ms) {
        Err(BadToken::Expired)
    } else {
        Ok(claims)
    }
}

/// Returns when it happened.
fn check_fields(found: &mut Violations, outcome: &Outcome, now_ms: i64) -> i64 {
    let outcome_type = OutcomeType::try_from(outcome.r#type);
    if !matches!(outcome_type, Ok(known) if known != OutcomeType::Unspecified) {
        found.push("type", "must be EXPOSURE, CLICK, DISMISS or CONVERSION");
    }
    if !outcome.value.is_finite() {
        found.push("value", "must be a finite number");
    } else if outcome.value != 0.0 && outcome_type != Ok(OutcomeType::Conversion) {
        found.push("value", "must not be set but for CONVERSION");
    }
    if outcome.outcome_id.chars().count() > OUTCOME_ID_CHARS_MAX {
        let rule = format!("must be at most {OUTCOME_ID_CHARS_MAX} characters");
        found.push("outcome_id", rule);
    }
    let time_ms = outcome.time.as_ref().map_or(now_ms, time::to_ms);
    if time_ms < 0 {
        found.push("time", "must not be before 1970");
    } else if time_ms > now_ms.saturating_add(AHEAD_MS_MAX) {
        found.push("time", "must not be more than 24 h ahead");
    }
    time_ms
}

fn store(outcome: &Outcome, claims: Claims, time_ms: i64, windows: Windows) -> StoredOutcome {
    let decision_ms = attribution::decision_ms(claims.decision_id);
    let kind = Kind::of_number(outcome.r#type);
    let decision_id = claims.decision_id.to_string();
    // The prefixes keep ids that senders make up apart from keys that we make.
    let key = if kind == Some(Kind::Conversion) && !outcome.outcome_id.is_empty() {
        format!("id:{}", outcome.outcome_id)
    } else {
        format!("slot:{decision_id}:{}:{}", claims.position, outcome.r#type)
    };
    StoredOutcome {
        key,
        decision_id,
        position: claims.position.into(),
        outcome_type: outcome.r#type,
        item_id: claims.item_id,
        profile_id: claims.profile_id,
        placement: claims.placement,
        strategy: claims.strategy,
        channel: claims.channel,
        rule_ids: claims.rule_ids,
        value: outcome.value,
        time_ms,
        attributed: kind.is_some_and(|kind| windows.attribute(kind, decision_ms, time_ms)),
    }
}
