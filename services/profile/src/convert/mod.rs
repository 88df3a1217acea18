//! Requests into what use cases take, with every rule that a field must keep. Finds all
//! faults of a request before it answers; changes nothing and asks nobody.

pub mod erase;
pub mod events;
pub mod merges;
pub mod message;
pub mod page;
pub mod schema;

use std::{str::FromStr as _, sync::Arc};

use attune_api::{
    profile::v1::{
        GetProfileRequest, GetSnapshotRequest, ListAuditEntriesRequest, ListProfilesRequest,
        ListTraitHistoryRequest, LookupProfileRequest, SetConsentRequest,
    },
    time::to_ms,
    r#type::v1::{self as types, subject::Id},
};
use attune_errors::Violations;
use prost_types::Timestamp;

use crate::{
    Error,
    config::Config,
    domain::{
        Identity, ProfileId,
        identity::{ANONYMOUS_ID, Namespaces, Read, USER_ID},
    },
    service::{
        audit::EntriesAsked, consent::ConsentChange, history::HistoryAsked, schema::Schema,
        snapshot::Subject,
    },
};

/// What requests are held against.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    pub config: &'a Config,
    pub namespaces: &'a Namespaces,
    pub schema: &'a Schema,
}

/// Longest free text that is no value of a person's, in characters.
const TEXT_CHARS_MAX: usize = 256;

pub fn get_profile(request: &GetProfileRequest) -> Result<ProfileId, Error> {
    profile_id(&request.profile_id)
}

/// An id that cannot be anyone's is one that nobody has.
pub fn profile_id(text: &str) -> Result<ProfileId, Error> {
    if text.is_empty() {
        return Err(Violations::of("profile_id", "must be set").into());
    }
    ProfileId::from_str(text).map_err(|_| Error::ProfileNotFound(text.to_owned()))
}

pub fn lookup(request: &LookupProfileRequest, namespaces: &Namespaces) -> Result<Identity, Error> {
    let sent = types::Identity {
        namespace: request.namespace.clone(),
        value: request.value.clone(),
    };
    let mut violations = Violations::new();
    match identity(&sent, namespaces, &mut violations) {
        Some(Read::Named(identity)) => Ok(identity),
        Some(Read::Blocked(_)) => Err(Error::ProfileNotFound(format!(
            "{}:{}",
            request.namespace, request.value
        ))),
        None => Err(violations.into()),
    }
}

/// None where a rule is broken, which `violations` then says.
pub fn identity(
    sent: &types::Identity,
    namespaces: &Namespaces,
    violations: &mut Violations,
) -> Option<Read> {
    let read = namespaces.read(&sent.namespace, &sent.value).ok();
    if read.is_none() {
        for broken in namespaces.faults(&sent.namespace, &sent.value) {
            violations.push(broken.field, broken.rule);
        }
    }
    read
}

/// A subject named by a value that is sent for many is nobody.
fn named(read: Read) -> Subject {
    match read {
        Read::Named(identity) => Subject::Identity(identity),
        Read::Blocked(_) => Subject::Nobody,
    }
}

pub fn subject(request: GetSnapshotRequest, namespaces: &Namespaces) -> Result<Subject, Error> {
    let identified = |namespace: &str, value: &str, field: &str| {
        namespaces
            .read(namespace, value)
            .map(named)
            .map_err(|broken| Violations::of(field, broken.rule).into())
    };
    match request.subject.and_then(|s| s.id) {
        None => Err(Violations::of("subject", "must name a person in one way").into()),
        Some(Id::ProfileId(id)) => Ok(id.parse().map_or(Subject::Nobody, Subject::Profile)),
        Some(Id::UserId(value)) => identified(USER_ID, &value, "subject.user_id"),
        Some(Id::AnonymousId(value)) => identified(ANONYMOUS_ID, &value, "subject.anonymous_id"),
        Some(Id::Identity(sent)) => {
            let mut violations = Violations::new();
            violations
                .within("subject.identity", |v| identity(&sent, namespaces, v))
                .map(named)
                .ok_or_else(|| violations.into())
        }
    }
}

/// Page of profiles: the id after which it begins, and its size.
pub fn list_profiles(request: &ListProfilesRequest) -> Result<(String, i64), Error> {
    let mut violations = Violations::new();
    let size = page::size(request.page_size, &mut violations);
    let after = page::read_profile_token(&request.page_token, &mut violations);
    violations.into_result()?;
    Ok((after, size))
}

pub fn list_audit_entries(request: &ListAuditEntriesRequest) -> Result<EntriesAsked, Error> {
    let mut violations = Violations::new();
    let size = page::size(request.page_size, &mut violations);
    let before = page::read_sequence_token(&request.page_token, &mut violations);
    violations.into_result()?;
    let profile_id = match request.profile_id.as_str() {
        "" => None,
        id => Some(profile_id(id)?),
    };
    Ok(EntriesAsked {
        profile_id,
        before,
        size,
    })
}

pub fn set_consent(
    workspace: &str,
    request: SetConsentRequest,
    traceparent: String,
    config: &Config,
    now_ms: i64,
) -> Result<ConsentChange, Error> {
    let mut violations = Violations::new();
    if request.profile_id.is_empty() {
        violations.push("profile_id", "must be set");
    }
    if !is_purpose(&request.purpose) {
        violations.push(
            "purpose",
            "must be 1 to 64 of a-z, 0-9 and `_`, beginning with a letter",
        );
    }
    text("source", &request.source, &mut violations);
    text("policy_version", &request.policy_version, &mut violations);
    let time_ms = request
        .time
        .as_ref()
        .and_then(|sent| time("time", sent, now_ms, config, &mut violations));
    violations.into_result()?;
    Ok(ConsentChange {
        workspace: Arc::from(workspace),
        profile_id: profile_id(&request.profile_id)?,
        purpose: request.purpose,
        granted: request.granted,
        source: request.source,
        policy_version: request.policy_version,
        time_ms,
        traceparent,
    })
}

fn is_purpose(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Free text, possibly empty.
fn text(field: &str, value: &str, violations: &mut Violations) {
    if value.chars().count() > TEXT_CHARS_MAX || value.chars().any(char::is_control) {
        violations.push(
            field,
            "must be at most 256 characters without control characters",
        );
    }
}

/// A moment between a year that is set and a little after `now_ms`, in milliseconds.
fn time(
    field: &str,
    sent: &Timestamp,
    now_ms: i64,
    config: &Config,
    violations: &mut Violations,
) -> Option<i64> {
    if !(0..1_000_000_000).contains(&sent.nanos) {
        violations.push(field, "must have 0 to 999,999,999 nanoseconds");
        return None;
    }
    let ms = to_ms(sent);
    let latest = now_ms.saturating_add(i64::from(config.future_hours_max) * 3_600_000);
    let year = config.event_year_min;
    if ms < year_begin_ms(year) {
        violations.push(field, format!("must not be before {year:04}-01-01"));
        return None;
    }
    if ms > latest {
        let hours = config.future_hours_max;
        let rule = format!("must not be more than {hours} h after it was received");
        violations.push(field, rule);
        return None;
    }
    Some(ms)
}

fn year_begin_ms(year: i16) -> i64 {
    // Years from 1970 to 2100 are all there are.
    attune_expr::parse_time(&format!("{year:04}-01-01")).unwrap_or(0)
}

pub fn trait_history(request: ListTraitHistoryRequest) -> Result<HistoryAsked, Error> {
    let mut violations = Violations::new();
    if request.profile_id.is_empty() {
        violations.push("profile_id", "must be set");
    }
    if request.trait_id.is_empty() {
        violations.push("trait_id", "must be set");
    }
    text("trait_id", &request.trait_id, &mut violations);
    let size = page::size(request.page_size, &mut violations);
    let before = page::read_place_token(&request.page_token, &mut violations);
    violations.into_result()?;
    Ok(HistoryAsked {
        profile_id: profile_id(&request.profile_id)?,
        trait_id: request.trait_id,
        size,
        before,
    })
}
