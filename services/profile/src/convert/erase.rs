//! Requests to erase a person, and the proof as the contract shows it.

use attune_api::{
    profile::v1::{EraseProfileRequest, Erasure},
    time::from_ms,
};
use attune_errors::Violations;
use attune_rpc::Caller;

use super::{profile_id, text};
use crate::{Error, service::erase::Asked, store::erasure};

pub fn request(
    caller: &Caller,
    request: EraseProfileRequest,
    traceparent: String,
) -> Result<Asked, Error> {
    let mut violations = Violations::new();
    if request.profile_id.is_empty() {
        violations.push("profile_id", "must be set");
    }
    text("reason", &request.reason, &mut violations);
    violations.into_result()?;
    Ok(Asked {
        caller: caller.clone(),
        profile_id: profile_id(&request.profile_id)?,
        reason: request.reason,
        traceparent,
        idle_since_ms: None,
    })
}

pub fn shown(done: erasure::Erasure) -> Erasure {
    let ids = done.profile_ids.iter();
    Erasure {
        erasure_id: done.erasure_id,
        time: Some(from_ms(done.time_ms)),
        profile_ids: ids.map(ToString::to_string).collect(),
        audit_hash: done.audit_hash,
        event_count: done.event_count,
    }
}
