//! What a report of outcomes may hold, and what is stored of it.

use attune_api::{
    rules::v1::{Outcome, OutcomeType},
    time,
};
use attune_errors::Violations;

use crate::{
    domain::token::{Claims, TokenKey},
    error::Error,
    store::outcomes::StoredOutcome,
};

const OUTCOMES_MAX: usize = 1000;
const OUTCOME_ID_CHARS_MAX: usize = 256;
/// A sender's clock may run ahead by this much.
const AHEAD_MS_MAX: i64 = 24 * 3_600_000;

/// Checks every outcome and tells all that is wrong at once.
pub fn check(
    outcomes: &[Outcome],
    key: &TokenKey,
    workspace: &str,
    now_ms: i64,
) -> Result<Vec<StoredOutcome>, Error> {
    let mut found = Violations::new();
    if !(1..=OUTCOMES_MAX).contains(&outcomes.len()) {
        found.push("outcomes", format!("must be 1 to {OUTCOMES_MAX}"));
        return Err(found.into());
    }
    let mut is_token_invalid = false;
    let mut stored = Vec::with_capacity(outcomes.len());
    for (index, outcome) in outcomes.iter().enumerate() {
        found.within_item("outcomes", index, |found| {
            let claims = key.verify(&outcome.token);
            let claims = claims.filter(|claims| claims.workspace == workspace);
            let time_ms = check_fields(found, outcome, now_ms);
            match claims {
                Some(claims) => stored.push(store(outcome, claims, time_ms)),
                None => {
                    is_token_invalid = true;
                    found.push("token", "must be a token that a slot was given");
                }
            }
        });
    }
    if found.is_empty() {
        Ok(stored)
    } else if is_token_invalid {
        Err(Error::TokenInvalid(found))
    } else {
        Err(Error::Invalid(found))
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

fn store(outcome: &Outcome, claims: Claims, time_ms: i64) -> StoredOutcome {
    let decision_id = claims.decision_id.to_string();
    // The prefixes keep ids that senders make up apart from keys that we make.
    let key = if outcome.outcome_id.is_empty() {
        format!("slot:{decision_id}:{}:{}", claims.position, outcome.r#type)
    } else {
        format!("id:{}", outcome.outcome_id)
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
    }
}
