//! The validation of what `PersonalizationService` is asked, everything at once, and
//! its parting into what each hop needs. Expressions and ids that only exist elsewhere
//! are judged there.

use std::collections::HashSet;

use attune_api::{
    gateway::v1::{ReportOutcomesRequest, TrackRequest},
    rules::v1::{OutcomeType, PlacementRequest},
    r#type::v1::{Context, Location, Subject, subject::Id},
};
use attune_errors::Violations;
use bytes::Bytes;
use prost::Message;

use crate::{door::Signal, personalization::wire};

const ID_CHARS_MAX: usize = 256;
const ITEM_ID_CHARS_MAX: usize = 128;
const NAME_CHARS_MAX: usize = 64;
const FILTER_CHARS_MAX: usize = 4096;
const PLACEMENTS_MAX: usize = 20;
const EVENTS_MAX: usize = 100;
const ITEMS_MAX: usize = 1000;
const SUBJECTS_MAX: usize = 1000;
const OUTCOMES_MAX: usize = 1000;
const COUNT_MAX: i32 = 100;
const COUNT_DEFAULT: usize = 10;

/// A request in parts.
pub struct Personalize {
    pub subject: Subject,
    pub events: Vec<TrackRequest>,
    /// The parts of one `Context`.
    pub context: Vec<Bytes>,
    pub decide: Decide,
    /// What the caller's browser says.
    pub signal: Signal,
}

/// What the rule-engine is told besides the person and the context.
#[derive(Clone)]
pub struct Decide {
    pub channel: String,
    pub placements: Vec<PlacementRequest>,
    pub exclude_item_ids: Vec<Bytes>,
    pub explain: bool,
    pub preview: bool,
}

/// How many slots a placement is asked for.
pub fn count_of(placement: &PlacementRequest) -> usize {
    match usize::try_from(placement.count) {
        Ok(0) | Err(_) => COUNT_DEFAULT,
        Ok(count) => count,
    }
}

pub fn personalize(request: wire::PersonalizeRequest) -> Result<Personalize, Violations> {
    let mut found = Violations::new();
    let subject = request.subject.unwrap_or_default();
    found.within("subject", |found| check_subject(found, &subject));
    let decide = Decide {
        channel: request.channel,
        placements: request.placements,
        exclude_item_ids: request.exclude_item_ids,
        explain: request.explain,
        preview: request.preview,
    };
    check_decide(&mut found, &decide, &request.context);
    check_events(&mut found, &request.events);
    found.into_result()?;
    Ok(Personalize {
        subject,
        events: request.events,
        context: request.context,
        decide,
        signal: Signal::None,
    })
}

/// A `Context` of which nothing but the place is read.
#[derive(Clone, PartialEq, prost::Message)]
struct Whereabouts {
    #[prost(message, optional, tag = "4")]
    location: Option<Location>,
}

/// Where the person is, as ISO 3166 has it; empty where the context does not say so in
/// its codes. A part of a country in other words leaves the country.
pub fn region(context: &[Bytes]) -> String {
    let decoded = match context {
        [] => return String::new(),
        [only] => Whereabouts::decode(only.clone()),
        parts => Whereabouts::decode(parts.concat().as_slice()),
    };
    let location = decoded.ok().and_then(|whereabouts| whereabouts.location);
    let Some(Location {
        country, region, ..
    }) = location
    else {
        return String::new();
    };
    if country.len() != 2 || !country.bytes().all(|b| b.is_ascii_alphabetic()) {
        return String::new();
    }
    let part = match region.split_once('-') {
        Some((of, part)) if of.eq_ignore_ascii_case(&country) => part,
        Some(_) => "",
        None => &region,
    };
    let is_code = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    match is_code {
        true => format!("{country}-{part}"),
        false => country,
    }
}

/// One request for each subject.
pub fn batch(
    request: wire::BatchPersonalizeRequest,
) -> Result<impl Iterator<Item = Personalize> + Send + 'static, Violations> {
    let mut found = Violations::new();
    let subjects = request.subjects;
    if !(1..=SUBJECTS_MAX).contains(&subjects.len()) {
        found.push("subjects", format!("must be 1 to {SUBJECTS_MAX}"));
    } else {
        for (i, subject) in subjects.iter().enumerate() {
            found.within_item("subjects", i, |found| check_subject(found, subject));
        }
    }
    let decide = Decide {
        channel: request.channel,
        placements: request.placements,
        exclude_item_ids: request.exclude_item_ids,
        explain: request.explain,
        preview: request.preview,
    };
    let context = request.context;
    check_decide(&mut found, &decide, &context);
    found.into_result()?;
    Ok(subjects.into_iter().map(move |subject| Personalize {
        subject,
        events: Vec::new(),
        context: context.clone(),
        decide: decide.clone(),
        signal: Signal::None,
    }))
}

pub fn outcomes(request: &ReportOutcomesRequest) -> Result<(), Violations> {
    let mut found = Violations::new();
    if !(1..=OUTCOMES_MAX).contains(&request.outcomes.len()) {
        found.push("outcomes", format!("must be 1 to {OUTCOMES_MAX}"));
        return Err(found);
    }
    for (i, outcome) in request.outcomes.iter().enumerate() {
        found.within_item("outcomes", i, |found| {
            if outcome.token.is_empty() {
                found.push("token", "must be set");
            }
            let known = OutcomeType::try_from(outcome.r#type);
            if !matches!(known, Ok(kind) if kind != OutcomeType::Unspecified) {
                let rule = "must be one of EXPOSURE, CLICK, DISMISS, CONVERSION";
                found.push("type", rule);
            }
            if !outcome.value.is_finite() || outcome.value < 0.0 {
                found.push("value", "must be a finite number, at least 0");
            }
            at_most(found, "outcome_id", &outcome.outcome_id, ID_CHARS_MAX);
        });
    }
    found.into_result()
}

fn check_subject(found: &mut Violations, subject: &Subject) {
    match &subject.id {
        None => {
            let rule = "must have one of profile_id, user_id, anonymous_id, identity";
            found.push("", rule);
        }
        Some(Id::ProfileId(id)) => check_id(found, "profile_id", id),
        Some(Id::UserId(id)) => check_id(found, "user_id", id),
        Some(Id::AnonymousId(id)) => check_id(found, "anonymous_id", id),
        Some(Id::Identity(identity)) => found.within("identity", |found| {
            if identity.namespace.is_empty() {
                found.push("namespace", "must be set");
            }
            at_most(found, "namespace", &identity.namespace, NAME_CHARS_MAX);
            check_id(found, "value", &identity.value);
        }),
    }
}

fn check_decide(found: &mut Violations, decide: &Decide, context: &[Bytes]) {
    if decide.channel.is_empty() {
        found.push("channel", "must be set");
    }
    at_most(found, "channel", &decide.channel, NAME_CHARS_MAX);
    check_placements(found, &decide.placements);
    if decide.exclude_item_ids.len() > ITEMS_MAX {
        found.push("exclude_item_ids", format!("must be at most {ITEMS_MAX}"));
    }
    for (i, id) in decide.exclude_item_ids.iter().take(ITEMS_MAX).enumerate() {
        match std::str::from_utf8(id) {
            Ok(id) => check_item_id(found, &format_args!("exclude_item_ids[{i}]"), id),
            Err(_) => found.push(format!("exclude_item_ids[{i}]"), "must be UTF-8"),
        }
    }
    if !context.is_empty() {
        found.within("context", |found| check_context(found, context));
    }
}

fn check_placements(found: &mut Violations, placements: &[PlacementRequest]) {
    if !(1..=PLACEMENTS_MAX).contains(&placements.len()) {
        found.push("placements", format!("must be 1 to {PLACEMENTS_MAX}"));
        return;
    }
    let mut seen = HashSet::new();
    for (i, wanted) in placements.iter().enumerate() {
        found.within_item("placements", i, |found| {
            check_placement(found, wanted);
            if !seen.insert(&wanted.placement) && !wanted.placement.is_empty() {
                found.push("placement", "is given twice");
            }
        });
    }
}

fn check_placement(found: &mut Violations, wanted: &PlacementRequest) {
    if wanted.placement.is_empty() {
        found.push("placement", "must be set");
    }
    at_most(found, "placement", &wanted.placement, NAME_CHARS_MAX);
    if !(0..=COUNT_MAX).contains(&wanted.count) {
        found.push("count", format!("must be 0 to {COUNT_MAX}"));
    }
    if !wanted.item_id.is_empty() {
        check_item_id(found, &"item_id", &wanted.item_id);
    }
    at_most(found, "filter", &wanted.filter, FILTER_CHARS_MAX);
}

/// Only the parts that the profile service cannot name by this request's fields.
fn check_events(found: &mut Violations, events: &[TrackRequest]) {
    if events.len() > EVENTS_MAX {
        found.push("events", format!("must be at most {EVENTS_MAX}"));
    }
    for (i, event) in events.iter().take(EVENTS_MAX).enumerate() {
        if event.event.is_empty() {
            found.push(format!("events[{i}].event"), "must be set");
        }
        if event.message_id.chars().count() > ID_CHARS_MAX {
            let rule = format!("must be at most {ID_CHARS_MAX} characters");
            found.push(format!("events[{i}].message_id"), rule);
        }
    }
}

fn check_context(found: &mut Violations, parts: &[Bytes]) {
    let decoded = match parts {
        [only] => Context::decode(only.clone()),
        parts => Context::decode(parts.concat().as_slice()),
    };
    let Ok(context) = decoded else {
        found.push("", "must be a Context");
        return;
    };
    if let Some(time) = &context.time
        && !(0..1_000_000_000).contains(&time.nanos)
    {
        found.push("time", "must be a valid time");
    }
    let zone = &context.time_zone;
    if !zone.is_empty() && jiff::tz::TimeZone::get(zone).is_err() {
        found.push("time_zone", "must be an IANA time zone, e.g. Europe/Berlin");
    }
    if !context.locale.is_empty() && !is_locale(&context.locale) {
        found.push("locale", "must be a BCP 47 tag, e.g. de-AT");
    }
    if let Some(location) = &context.location {
        found.within("location", |found| check_location(found, location));
    }
    if context.cart_item_ids.len() > ITEMS_MAX {
        found.push("cart_item_ids", format!("must be at most {ITEMS_MAX}"));
    }
    for (i, id) in context.cart_item_ids.iter().take(ITEMS_MAX).enumerate() {
        check_item_id(found, &format_args!("cart_item_ids[{i}]"), id);
    }
    if let Some(page) = &context.page
        && !page.item_id.is_empty()
    {
        check_item_id(found, &"page.item_id", &page.item_id);
    }
}

fn check_location(found: &mut Violations, location: &Location) {
    // NaN is in no range.
    if location
        .lat
        .is_some_and(|lat| !(-90.0..=90.0).contains(&lat))
    {
        found.push("lat", "must be -90 to 90");
    }
    if location
        .lng
        .is_some_and(|lng| !(-180.0..=180.0).contains(&lng))
    {
        found.push("lng", "must be -180 to 180");
    }
    if location.lat.is_some() != location.lng.is_some() {
        let absent = if location.lat.is_none() { "lat" } else { "lng" };
        found.push(absent, "must be given with the other coordinate");
    }
    let country = location.country.as_bytes();
    let is_code = country.len() == 2 && country.iter().all(u8::is_ascii_uppercase);
    if !country.is_empty() && !is_code {
        found.push("country", "must be an ISO 3166-1 alpha-2 code, e.g. AT");
    }
}

/// The shape of a tag: a language of 2 to 8 letters, then subtags.
fn is_locale(text: &str) -> bool {
    let mut parts = text.split(['-', '_']);
    let language = parts.next().unwrap_or_default();
    let is_language =
        (2..=8).contains(&language.len()) && language.bytes().all(|b| b.is_ascii_alphabetic());
    let is_subtag =
        |p: &str| (1..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric());
    is_language && text.len() <= NAME_CHARS_MAX && parts.all(is_subtag)
}

fn check_id(found: &mut Violations, field: &str, id: &str) {
    if id.is_empty() {
        found.push(field, "must not be empty");
    }
    at_most(found, field, id, ID_CHARS_MAX);
}

fn check_item_id(found: &mut Violations, field: &dyn std::fmt::Display, id: &str) {
    let fits = !id.is_empty()
        && (id.len() <= ITEM_ID_CHARS_MAX || id.chars().count() <= ITEM_ID_CHARS_MAX)
        && !id.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control());
    if !fits {
        let rule = "must be 1 to 128 printable characters without / or white space";
        found.push(field.to_string(), rule);
    }
}

fn at_most(found: &mut Violations, field: &str, text: &str, chars_max: usize) {
    if text.len() > chars_max && text.chars().count() > chars_max {
        found.push(field, format!("must be at most {chars_max} characters"));
    }
}
