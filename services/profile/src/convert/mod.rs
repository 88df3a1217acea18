//! Requests into what use cases take, with every rule that a field must keep. Finds all
//! faults of a request before it answers; changes nothing and asks nobody.

pub mod audiences;
pub mod erase;
pub mod events;
pub mod merges;
pub mod message;
pub mod page;
pub mod preferences;
pub mod purposes;
pub mod schema;
pub mod segments;
mod signals;

use std::{str::FromStr as _, sync::Arc};

use attune_api::{
    profile::v1::{
        GetProfileRequest, GetSnapshotRequest, HashAddressesRequest, ListAuditEntriesRequest,
        ListConsentHistoryRequest, ListProfilesRequest, ListTraitHistoryRequest,
        LookupProfileRequest, RecordAccessRequest, SetConsentRequest, SetConsentStringRequest,
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
        consent::TCF,
        identity::{ANONYMOUS_ID, Namespaces, Read, USER_ID},
        purposes::Asked,
        region::Region,
        tcf::Tcf,
    },
    service::{
        audit::{Access, EntriesAsked},
        consent::{ConsentChange, DecisionsAsked, Said},
        history::HistoryAsked,
        schema::Schema,
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
const LONG_TEXT_CHARS_MAX: usize = 4_096;
/// Addresses hashed in one call.
const ADDRESSES_MAX: usize = 1_000;

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

pub fn snapshot(
    request: GetSnapshotRequest,
    namespaces: &Namespaces,
) -> Result<(Subject, Asked), Error> {
    let region = match request.region.as_str() {
        "" => None,
        text => Some(Region::parse(text).map_err(|_| {
            Violations::of("region", "must be an ISO 3166 code such as `AT` or `US-CA`")
        })?),
    };
    let asked = Asked {
        region,
        gpc: request.gpc,
    };
    Ok((subject(request.subject, namespaces)?, asked))
}

fn subject(sent: Option<types::Subject>, namespaces: &Namespaces) -> Result<Subject, Error> {
    let identified = |namespace: &str, value: &str, field: &str| {
        namespaces
            .read(namespace, value)
            .map(named)
            .map_err(|broken| Violations::of(field, broken.rule).into())
    };
    match sent.and_then(|s| s.id) {
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

/// Each `(namespace, value)`.
pub fn addresses(
    request: &HashAddressesRequest,
) -> Result<impl Iterator<Item = (&str, &str)>, Error> {
    if request.addresses.len() > ADDRESSES_MAX {
        let rule = format!("must be at most {ADDRESSES_MAX}");
        return Err(Violations::of("addresses", rule).into());
    }
    let addresses = request.addresses.iter();
    Ok(addresses.map(|sent| (sent.namespace.as_str(), sent.value.as_str())))
}

/// An access that another service tells of.
pub fn record_access(request: RecordAccessRequest) -> Result<Access, Error> {
    let mut violations = Violations::new();
    let is_method = (1..=64).contains(&request.action.len())
        && request.action.bytes().all(|b| b.is_ascii_alphanumeric());
    if !is_method {
        violations.push("action", "must be 1 to 64 of A-Z, a-z and 0-9");
    }
    let is_id = request.profile_id.is_empty() || ProfileId::from_str(&request.profile_id).is_ok();
    if !is_id {
        violations.push("profile_id", "must be the id of a profile, or empty");
    }
    text("detail", &request.detail, &mut violations);
    violations.into_result()?;
    Ok(Access::of(request.action, request.profile_id).saying(request.detail))
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
        violations.push("purpose", purposes::ID_RULE);
    }
    long_text("evidence", &request.evidence, &mut violations);
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
        said: Said::Purpose {
            purpose: request.purpose,
            granted: request.granted,
            policy_version: request.policy_version,
            evidence: request.evidence,
        },
        source: request.source,
        time_ms,
        traceparent,
    })
}

pub fn set_consent_string(
    workspace: &str,
    request: SetConsentStringRequest,
    traceparent: String,
    config: &Config,
    now_ms: i64,
) -> Result<ConsentChange, Error> {
    let mut violations = Violations::new();
    if request.profile_id.is_empty() {
        violations.push("profile_id", "must be set");
    }
    let tcf = Tcf::decode(&request.tcf).map_err(|fault| violations.push("tcf", fault.to_string()));
    text("source", &request.source, &mut violations);
    let time_ms = request
        .time
        .as_ref()
        .and_then(|sent| time("time", sent, now_ms, config, &mut violations));
    let source = match request.source.as_str() {
        "" => TCF.to_owned(),
        _ => request.source,
    };
    match tcf {
        Ok(tcf) if violations.is_empty() => Ok(ConsentChange {
            workspace: Arc::from(workspace),
            profile_id: profile_id(&request.profile_id)?,
            said: Said::Tcf(tcf),
            source,
            time_ms,
            traceparent,
        }),
        _ => Err(violations.into()),
    }
}

pub fn consent_history(request: &ListConsentHistoryRequest) -> Result<DecisionsAsked, Error> {
    let mut violations = Violations::new();
    if request.profile_id.is_empty() {
        violations.push("profile_id", "must be set");
    }
    let size = page::size(request.page_size, &mut violations);
    let before = page::read_place_token(&request.page_token, &mut violations);
    violations.into_result()?;
    Ok(DecisionsAsked {
        profile_id: profile_id(&request.profile_id)?,
        size,
        before,
    })
}

fn is_purpose(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Text of more than one line, possibly empty.
fn long_text(field: &str, value: &str, violations: &mut Violations) {
    if value.chars().count() > LONG_TEXT_CHARS_MAX {
        let rule = format!("must be at most {LONG_TEXT_CHARS_MAX} characters");
        violations.push(field, rule);
    }
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
