//! What is asked of the customers' own door, with the rules of its fields. What the
//! profile service judges is passed on, and its verdict told in this door's names.

use attune_api::{
    gateway::v1::{CreateSubjectTokenRequest, SubjectScope, UpdateMyProfileRequest},
    profile::v1::{IdentifyMessage, IngestMessage, Origin, Party, ingest_message::Kind},
    time::from_ms,
    r#type::v1::subject::Id,
};
use attune_errors::{Fault, Violations, violations_of};
use tonic::Status;
use uuid::Uuid;

use super::{collection::Shape, verdict};
use crate::domain::subject::SubjectScopes;

/// Where it comes from what people say of themselves here.
pub const SOURCE: &str = "preference_center";

const TTL_DEFAULT_MS: i64 = 24 * 3_600_000;
const TTL_MIN_MS: i64 = 60_000;
const TTL_MAX_MS: i64 = 30 * 24 * 3_600_000;

/// A token to be made.
#[derive(Debug)]
pub struct NewToken {
    pub id: Id,
    pub scopes: SubjectScopes,
    pub ttl_ms: i64,
}

pub fn new_token(request: CreateSubjectTokenRequest) -> Result<NewToken, Violations> {
    let mut found = Violations::new();
    for (i, scope) in request.scopes.iter().enumerate() {
        if !matches!(SubjectScope::try_from(*scope), Ok(s) if s != SubjectScope::Unspecified) {
            let rule = "must be one of SUBJECT_VIEW, SUBJECT_CHANGE, SUBJECT_EXPORT, SUBJECT_ERASE";
            found.push(format!("scopes[{i}]"), rule);
        }
    }
    let scopes = match request.scopes.is_empty() {
        true => SubjectScopes::of([SubjectScope::SubjectView, SubjectScope::SubjectChange]),
        false => SubjectScopes::of(request.scopes()),
    };
    let ttl_ms = request.ttl.map_or(TTL_DEFAULT_MS, |ttl| {
        let ms = ttl.seconds.saturating_mul(1_000);
        ms.saturating_add(i64::from(ttl.nanos / 1_000_000))
    });
    if !(TTL_MIN_MS..=TTL_MAX_MS).contains(&ttl_ms) {
        found.push("ttl", "must be a minute to 30 days");
    }
    let id = request.subject.and_then(|subject| subject.id);
    if id.is_none() {
        found.push("subject", "must name a person in one way");
    }
    found.into_result()?;
    // None was a violation.
    let id = id.unwrap_or_else(|| Id::ProfileId(String::new()));
    Ok(NewToken { id, scopes, ttl_ms })
}

/// What a person says of themselves, as a message like any other.
pub fn update(
    profile_id: &str,
    request: UpdateMyProfileRequest,
    now_ms: i64,
) -> Result<IngestMessage, Violations> {
    let traits = request.traits.filter(|traits| !traits.fields.is_empty());
    if traits.is_none() {
        return Err(Violations::of("traits", "must have at least one value"));
    }
    Ok(IngestMessage {
        message_id: Uuid::now_v7().to_string(),
        profile_id: profile_id.to_owned(),
        time: Some(from_ms(now_ms)),
        receive_time: Some(from_ms(now_ms)),
        source: SOURCE.to_owned(),
        party: Party::FirstParty.into(),
        origin: Origin::Explicit.into(),
        kind: Some(Kind::Identify(IdentifyMessage { traits })),
        ..IngestMessage::default()
    })
}

/// The verdict on that message. A person who is not there is no fault of the message's.
pub fn update_refused(status: Status) -> Status {
    let fields = violations_of(&status);
    if fields
        .iter()
        .any(|(field, _)| field == "messages[0].profile_id")
    {
        return Fault::subject_token_invalid().into();
    }
    let shape = Shape {
        identities: Vec::new(),
        is_alias: false,
    };
    verdict::rename_single(status, &shape)
}

#[cfg(test)]
mod tests {
    use attune_api::r#type::v1::Subject;

    use super::*;

    fn ann() -> Option<Subject> {
        let id = Some(Id::UserId("ann".to_owned()));
        Some(Subject { id })
    }

    #[test]
    fn all_that_is_wrong_with_a_token_is_told_at_once() {
        let request = CreateSubjectTokenRequest {
            subject: None,
            ttl: Some(prost_types::Duration {
                seconds: 31 * 86_400,
                nanos: 0,
            }),
            scopes: vec![SubjectScope::SubjectView.into(), 0, 99],
        };
        let found = new_token(request).unwrap_err();
        let fields: Vec<_> = found.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["scopes[1]", "scopes[2]", "ttl", "subject"]);
    }

    #[test]
    fn a_token_lives_a_day_and_erases_nothing_unless_asked_to() {
        let request = CreateSubjectTokenRequest {
            subject: ann(),
            ..Default::default()
        };
        let token = new_token(request).unwrap();
        assert_eq!(token.ttl_ms, TTL_DEFAULT_MS);
        let scopes = [SubjectScope::SubjectView, SubjectScope::SubjectChange];
        assert_eq!(token.scopes.list(), scopes);
    }

    #[test]
    fn times_to_live_are_bounded_on_both_sides() {
        let rows = [
            (59, false),
            (60, true),
            (30 * 86_400, true),
            (30 * 86_400 + 1, false),
            (-1, false),
            (i64::MAX, false),
        ];
        for (seconds, fits) in rows {
            let request = CreateSubjectTokenRequest {
                subject: ann(),
                ttl: Some(prost_types::Duration { seconds, nanos: 0 }),
                scopes: Vec::new(),
            };
            assert_eq!(new_token(request).is_ok(), fits, "{seconds}");
        }
    }
}
