//! Requests about merges, into what use cases take.

use std::sync::Arc;

use attune_api::profile::v1::{ListMergesRequest, MergeProfilesRequest, UnmergeProfilesRequest};
use attune_errors::Violations;

use super::{page, profile_id, text};
use crate::{
    Error,
    domain::ProfileId,
    service::merges::{MergeAsked, UnmergeAsked},
};

pub fn merge(
    workspace: &str,
    request: MergeProfilesRequest,
    operator: String,
    traceparent: String,
) -> Result<MergeAsked, Error> {
    let mut violations = Violations::new();
    for (field, id) in [
        ("profile_id", &request.profile_id),
        ("other_profile_id", &request.other_profile_id),
    ] {
        if id.is_empty() {
            violations.push(field, "must be set");
        }
    }
    text("reason", &request.reason, &mut violations);
    violations.into_result()?;
    Ok(MergeAsked {
        workspace: Arc::from(workspace),
        profile_id: profile_id(&request.profile_id)?,
        other_id: profile_id(&request.other_profile_id)?,
        operator,
        reason: request.reason,
        traceparent,
    })
}

/// Merges that are undone at once.
const WITH_MAX: usize = 200;

pub fn unmerge(
    workspace: &str,
    request: UnmergeProfilesRequest,
    operator: String,
    traceparent: String,
) -> Result<UnmergeAsked, Error> {
    let mut violations = Violations::new();
    if request.merge_id.is_empty() {
        violations.push("merge_id", "must be set");
    }
    text("reason", &request.reason, &mut violations);
    if request.with_merge_ids.len() > WITH_MAX {
        let rule = format!("must be at most {WITH_MAX}");
        violations.push("with_merge_ids", rule);
    }
    let named = request.with_merge_ids.iter().take(WITH_MAX);
    for (index, _) in named.enumerate().filter(|(_, id)| id.is_empty()) {
        violations.push(format!("with_merge_ids[{index}]"), "must be set");
    }
    violations.into_result()?;
    Ok(UnmergeAsked {
        workspace: Arc::from(workspace),
        merge_id: request.merge_id,
        with_merge_ids: request.with_merge_ids,
        operator,
        reason: request.reason,
        traceparent,
    })
}

/// Whose merges, before which, and how many.
pub fn list(request: &ListMergesRequest) -> Result<(ProfileId, String, i64), Error> {
    let mut violations = Violations::new();
    if request.profile_id.is_empty() {
        violations.push("profile_id", "must be set");
    }
    let size = page::size(request.page_size, &mut violations);
    let before = page::read_merge_token(&request.page_token, &mut violations);
    violations.into_result()?;
    Ok((profile_id(&request.profile_id)?, before, size))
}
