//! What a segment, and what is asked about segments, must keep to. Whether an expression
//! holds water is decided where what is declared is known.

use std::collections::BTreeSet;

use attune_api::{
    profile::v1::{
        ChangeSegmentMembersRequest, CreateSegmentRequest, EstimateSegmentRequest,
        ListSegmentSizesRequest, Segment, UpdateSegmentRequest,
    },
    time::to_ms,
    r#type::v1::{Identity, Subject, subject::Id},
};
use attune_errors::Violations;
use attune_storage::resources::Missing;
use prost_types::FieldMask;

use super::{identity, schema::body as body_of};
use crate::{
    Error,
    domain::{
        ProfileId, Who,
        identity::{ANONYMOUS_ID, Namespaces, Read, USER_ID},
    },
};

const ID_RULE: &str = "must be 1 to 64 of a-z, 0-9, `_` and `-`, beginning with a letter";
const NAME_CHARS_MAX: usize = 256;
const TAGS_MAX: usize = 50;
const SUBJECTS_MAX: usize = 1_000;
const OVERLAPS_MAX: usize = 20;

pub fn create(request: CreateSegmentRequest) -> Result<Segment, Error> {
    let (id, body) = (request.segment_id, request.segment);
    let segment = body_of("segment", body, id, |s| &mut s.segment_id)?;
    check(&segment).into_result()?;
    Ok(segment)
}

/// The segment, what of it is meant, and what is done where there is none.
pub fn update(
    request: UpdateSegmentRequest,
) -> Result<(Segment, Option<FieldMask>, Missing), Error> {
    match request.segment {
        Some(segment) if !segment.segment_id.is_empty() => Ok((
            segment,
            request.update_mask,
            Missing::allowed(request.allow_missing),
        )),
        Some(_) => Err(Violations::of("segment.segment_id", "must be set").into()),
        None => Err(Violations::of("segment", "must be set").into()),
    }
}

/// A segment as it is to be saved, but for its expression.
pub fn check(segment: &Segment) -> Violations {
    let mut violations = Violations::new();
    violations.within("segment", |found| check_into(segment, found));
    violations
}

fn check_into(segment: &Segment, violations: &mut Violations) {
    if !is_id(&segment.segment_id) {
        violations.push("segment_id", ID_RULE);
    }
    if segment.display_name.chars().count() > NAME_CHARS_MAX {
        violations.push("display_name", "must be at most 256 characters");
    }
    if segment.tags.len() > TAGS_MAX {
        violations.push("tags", "must be at most 50 tags");
        return;
    }
    let mut seen = BTreeSet::new();
    for (index, tag) in segment.tags.iter().enumerate() {
        violations.within_item("tags", index, |found| {
            if !(1..=64).contains(&tag.chars().count()) || tag.chars().any(char::is_control) {
                found.push("", "must be 1 to 64 characters without control characters");
            } else if !seen.insert(tag) {
                found.push("", "must not be listed twice");
            }
        });
    }
}

fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_lowercase())
        && id
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

/// Whom to put on a list, and whom to take off it.
#[derive(Debug)]
pub struct ListChange {
    pub segment_id: String,
    pub add: Vec<Who>,
    pub remove: Vec<Who>,
}

pub fn change_members(
    request: ChangeSegmentMembersRequest,
    namespaces: &Namespaces,
) -> Result<ListChange, Error> {
    let count = request.add.len() + request.remove.len();
    let mut violations = Violations::new();
    if !(1..=SUBJECTS_MAX).contains(&count) {
        let field = if request.add.is_empty() {
            "remove"
        } else {
            "add"
        };
        violations.push(field, "must together be 1 to 1000 subjects");
        violations.into_result()?;
    }
    let mut violations = Violations::new();
    let add = subjects("add", request.add, namespaces, &mut violations);
    let remove = subjects("remove", request.remove, namespaces, &mut violations);
    violations.into_result()?;
    Ok(ListChange {
        segment_id: request.segment_id,
        add,
        remove,
    })
}

fn subjects(
    field: &str,
    sent: Vec<Subject>,
    namespaces: &Namespaces,
    violations: &mut Violations,
) -> Vec<Who> {
    let mut subjects = Vec::with_capacity(sent.len());
    for (index, subject) in sent.into_iter().enumerate() {
        violations.within_item(field, index, |found| {
            subjects.extend(who(subject, namespaces, found));
        });
    }
    subjects
}

fn who(sent: Subject, namespaces: &Namespaces, violations: &mut Violations) -> Option<Who> {
    let (sent, field) = match sent.id {
        Some(Id::UserId(value)) => (of(USER_ID, value), "user_id"),
        Some(Id::AnonymousId(value)) => (of(ANONYMOUS_ID, value), "anonymous_id"),
        Some(Id::Identity(sent)) => (sent, "identity"),
        Some(Id::ProfileId(id)) => match id.parse::<ProfileId>() {
            Ok(id) => return Some(Who::Profile(id)),
            Err(_) => {
                violations.push("profile_id", "must be the id of an existing profile");
                return None;
            }
        },
        None => {
            violations.push("", "must name a person in one way");
            return None;
        }
    };
    violations.within(field, |found| match identity(&sent, namespaces, found)? {
        Read::Named(identity) => Some(Who::Identities(vec![identity])),
        Read::Blocked(broken) => {
            found.push(broken.field, broken.rule);
            None
        }
    })
}

fn of(namespace: &str, value: String) -> Identity {
    Identity {
        namespace: namespace.to_owned(),
        value,
    }
}

pub fn estimate(request: &EstimateSegmentRequest) -> Result<(), Error> {
    let mut violations = Violations::new();
    if request.expression.is_empty() {
        violations.push("expression", "must be set");
    }
    if request.segment_ids.len() > OVERLAPS_MAX {
        violations.push("segment_ids", "must be at most 20 segments");
    }
    Ok(violations.into_result()?)
}

/// From when on, and before when, in milliseconds.
pub fn sizes(request: &ListSegmentSizesRequest) -> Result<(i64, i64), Error> {
    let start_ms = request.start_time.as_ref().map_or(0, to_ms);
    let end_ms = request.end_time.as_ref().map_or(i64::MAX, to_ms);
    if end_ms <= start_ms {
        return Err(Violations::of("end_time", "must be after start_time").into());
    }
    Ok((start_ms, end_ms))
}
