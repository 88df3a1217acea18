//! The encoded `Snapshot` of a person, which is also its compact form in memory:
//! everything but the history first, then the events, newest first, each as the bytes
//! of its own field, then from when on they are complete. A new event is spliced in
//! without decoding the rest. Never holds what consent withholds.

use attune_api::profile::v1::{Basis, RecentEvent, Snapshot, SnapshotPreferences};
use bytes::{BufMut, Bytes, BytesMut};
use prost::{
    Message,
    encoding::{decode_varint, encode_varint, encoded_len_varint},
};
use prost_types::{ListValue, Struct, Value, value::Kind};

use super::{
    ProfileId, Record,
    derive::Name,
    preferences::{Level, Preferences},
    purposes::{PurposeSet, Purposes, Standing},
};

/// The trait under which rules find what a person said to be interested in.
pub const INTERESTS: &str = "interests";

/// Key of `Snapshot.recent_events`: field 5, length-delimited.
const EVENT_KEY: u8 = 5 << 3 | 2;

/// Key of `Snapshot.segments`: field 4, length-delimited.
const SEGMENT_KEY: u8 = 4 << 3 | 2;

/// Key of `Snapshot.history_since_ms`: field 7, a varint.
const SINCE_KEY: u8 = 7 << 3;

/// An event as the snapshot holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedEvent {
    pub time_ms: i64,
    /// A `RecentEvent`.
    pub bytes: Bytes,
}

impl EncodedEvent {
    pub fn new(event: &RecentEvent) -> Self {
        Self {
            time_ms: event.time_ms,
            bytes: event.encode_to_vec().into(),
        }
    }
}

/// The newest events of a person, newest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RecentHistory {
    pub events: Vec<EncodedEvent>,
    /// The time from which they are all there were; 0 for always.
    pub since_ms: i64,
}

impl RecentHistory {
    /// Of events that were read newest first, one more than are wanted: where it is
    /// there, history before it is left out, and of its own millisecond perhaps some.
    pub fn of(mut events: Vec<EncodedEvent>, events_max: usize) -> Self {
        let left_out = events.get(events_max).map(|event| event.time_ms);
        events.truncate(events_max);
        Self {
            events,
            since_ms: left_out.map_or(0, complete_after),
        }
    }
}

/// From when on history is complete if an event of this time is left out.
fn complete_after(time_ms: i64) -> i64 {
    time_ms.saturating_add(1).max(1)
}

/// A `Snapshot`, encoded, and where its parts are.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedSnapshot {
    bytes: Bytes,
    made: Made,
    /// Where the events begin.
    head_len: usize,
    /// Where they end.
    events_end: usize,
    since_ms: i64,
}

/// What a snapshot was made for.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Made {
    standing: Standing,
    /// What it uses the person's data for.
    allowed: PurposeSet,
    basis: Basis,
    /// Of the purposes.
    fingerprint: u64,
}

impl Made {
    fn new(purposes: &Purposes, standing: Standing, allowed: PurposeSet) -> Self {
        let basis = match standing.level {
            Level::Nothing => Basis::NotPersonalized,
            Level::Full if purposes.personalizes(allowed) => Basis::Full,
            _ => Basis::ContextOnly,
        };
        Self {
            standing,
            allowed,
            basis,
            fingerprint: purposes.fingerprint(),
        }
    }
}

/// Everything of a snapshot but its bytes: what made it, and where its parts are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    made: Made,
    head_len: usize,
    events_end: usize,
    since_ms: i64,
}

impl Shape {
    /// Whether events are in it at all.
    pub fn holds_events(&self) -> bool {
        self.made.basis == Basis::Full
    }

    /// Whether it was made by what is declared now.
    pub fn is_of(&self, purposes: &Purposes) -> bool {
        self.made.fingerprint == purposes.fingerprint()
    }
}

impl EncodedSnapshot {
    /// Of the bytes that had this shape.
    pub fn of(bytes: Bytes, shape: Shape) -> Self {
        let Shape {
            made,
            head_len,
            events_end,
            since_ms,
        } = shape;
        Self {
            bytes,
            made,
            head_len,
            events_end,
            since_ms,
        }
    }

    pub fn shape(&self) -> Shape {
        Shape {
            made: self.made,
            head_len: self.head_len,
            events_end: self.events_end,
            since_ms: self.since_ms,
        }
    }

    /// For where the person was last.
    pub fn new(
        profile_id: ProfileId,
        record: &Record,
        purposes: &Purposes,
        history: &RecentHistory,
    ) -> Self {
        let allowed = purposes.standing(record).allowed;
        Self::allowing(profile_id, record, purposes, allowed, history)
    }

    /// For what is allowed as the person asks.
    pub fn allowing(
        profile_id: ProfileId,
        record: &Record,
        purposes: &Purposes,
        allowed: PurposeSet,
        history: &RecentHistory,
    ) -> Self {
        let made = Made::new(purposes, purposes.standing(record), allowed);
        let head = head(profile_id, record, purposes, &made);
        if made.basis != Basis::Full {
            return Self::put_together(made, &head, &[], 0);
        }
        let len = history.events.iter().map(field_len).sum();
        let mut events = BytesMut::with_capacity(len);
        for event in &history.events {
            put_field(&mut events, event);
        }
        Self::put_together(made, &head, &events, history.since_ms)
    }

    /// With what is known now instead, and the same events. None if they are needed
    /// again and were withheld until now.
    pub fn with_record(
        &self,
        profile_id: ProfileId,
        record: &Record,
        purposes: &Purposes,
    ) -> Option<Self> {
        let standing = purposes.standing(record);
        let made = Made::new(purposes, standing, standing.allowed);
        let head = head(profile_id, record, purposes, &made);
        match (self.made.basis, made.basis) {
            (Basis::Full, Basis::Full) => Some(Self::put_together(
                made,
                &head,
                &self.bytes[self.head_len..self.events_end],
                self.since_ms,
            )),
            (_, Basis::Full) => None,
            _ => Some(Self::put_together(made, &head, &[], 0)),
        }
    }

    /// For less than it was made for. None where more is allowed now: what was left out
    /// has to be read.
    pub fn narrowed(&self, purposes: &Purposes, allowed: PurposeSet) -> Option<Self> {
        if !self.made.allowed.has_all(allowed) {
            return None;
        }
        let made = Made::new(purposes, self.made.standing, allowed);
        // Only this encoder's own bytes come here, so a fault would be a bug.
        let mut head = Snapshot::decode(&self.bytes[..self.head_len]).ok()?;
        head.basis = made.basis.into();
        purposes.narrowed(allowed, &mut head.consents);
        if made.basis == Basis::Full {
            let may_conclude =
                |name: &Name| purposes.may_conclude(name, made.standing.allowed, allowed);
            if let Some(traits) = &mut head.traits {
                traits.fields.retain(|id, _| {
                    let name = Name::Trait(id.as_str().into());
                    purposes.may_use(id, allowed) && may_conclude(&name)
                });
            }
            let segments = &mut head.segments;
            segments.retain(|id| may_conclude(&Name::Segment(id.as_str().into())));
            let events = &self.bytes[self.head_len..self.events_end];
            return Some(Self::put_together(
                made,
                &head.encode_to_vec(),
                events,
                self.since_ms,
            ));
        }
        head.traits = None;
        head.segments.clear();
        if let Some(preferences) = &mut head.preferences {
            preferences.interests.clear();
        }
        Some(Self::put_together(made, &head.encode_to_vec(), &[], 0))
    }

    fn put_together(made: Made, head: &[u8], events: &[u8], since_ms: i64) -> Self {
        let mut bytes = BytesMut::with_capacity(head.len() + events.len() + 11);
        bytes.put_slice(head);
        bytes.put_slice(events);
        Self::closed(bytes, head.len(), since_ms, made)
    }

    /// Of everything but the last field.
    fn closed(mut bytes: BytesMut, head_len: usize, since_ms: i64, made: Made) -> Self {
        let events_end = bytes.len();
        if since_ms != 0 {
            bytes.put_u8(SINCE_KEY);
            encode_varint(since_ms as u64, &mut bytes);
        }
        Self {
            bytes: bytes.freeze(),
            made,
            head_len,
            events_end,
            since_ms,
        }
    }

    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    pub fn basis(&self) -> Basis {
        self.made.basis
    }

    pub fn standing(&self) -> &Standing {
        &self.made.standing
    }

    /// What it uses the person's data for.
    pub fn allowed(&self) -> PurposeSet {
        self.made.allowed
    }

    /// Segments that it names.
    pub fn segments(&self) -> Vec<String> {
        let mut segments = Vec::new();
        let mut rest = &self.bytes[..self.head_len];
        while let Some((key, field_len, payload)) = head_field(rest) {
            if key == SEGMENT_KEY
                && let Ok(id) = std::str::from_utf8(payload)
            {
                segments.push(id.to_owned());
            }
            rest = &rest[field_len..];
        }
        segments
    }

    /// With one more event in its place by time, before those of the same time, since
    /// it came later; at most `events_max` stay.
    pub fn with_event(&self, event: &EncodedEvent, events_max: usize) -> Self {
        if self.made.basis != Basis::Full {
            return self.clone();
        }
        let mut at = None;
        let mut end = self.head_len;
        let mut kept = 0;
        let mut rest = &self.bytes[self.head_len..self.events_end];
        while kept + usize::from(at.is_some()) < events_max {
            let Some((field_len, payload)) = first_field(rest) else {
                break;
            };
            if at.is_none() && time_of(payload) <= event.time_ms {
                at = Some(end);
                continue;
            }
            rest = &rest[field_len..];
            end += field_len;
            kept += 1;
        }
        // The newest that is left out, if any is.
        let left_out = first_field(rest).map(|(_, payload)| time_of(payload));
        let (at, left_out) = match at {
            Some(at) => (Some(at), left_out),
            None if kept < events_max => (Some(end), left_out),
            None => (None, left_out.max(Some(event.time_ms))),
        };
        let since_ms = left_out.map_or(0, complete_after).max(self.since_ms);
        let mut bytes = BytesMut::with_capacity(end + field_len(event) + 11);
        match at {
            Some(at) => {
                bytes.put_slice(&self.bytes[..at]);
                put_field(&mut bytes, event);
                bytes.put_slice(&self.bytes[at..end]);
            }
            None => bytes.put_slice(&self.bytes[..end]),
        }
        Self::closed(bytes, self.head_len, since_ms, self.made)
    }
}

/// Everything but the events.
fn head(profile_id: ProfileId, record: &Record, purposes: &Purposes, made: &Made) -> Vec<u8> {
    let full = made.basis == Basis::Full;
    let judged = made.standing.allowed;
    let segments = record.segments.keys().filter(|id| {
        let name = Name::Segment(id.as_str().into());
        full && purposes.may_conclude(&name, judged, made.allowed)
    });
    let head = Snapshot {
        profile_id: profile_id.to_string(),
        basis: made.basis.into(),
        traits: full.then(|| traits(record, purposes, made)),
        segments: segments.cloned().collect(),
        recent_events: Vec::new(),
        consents: purposes.shown(made.allowed, record),
        history_since_ms: 0,
        preferences: record.preferences.as_ref().map(|p| preferences(p, full)),
    };
    head.encode_to_vec()
}

/// What was told, what was computed and what the person is interested in, as far as it
/// may be used; the person's own word counts most.
fn traits(record: &Record, purposes: &Purposes, made: &Made) -> Struct {
    let allowed = made.allowed;
    let told = record
        .traits
        .iter()
        .filter_map(|(id, timed)| Some((id, timed.value.as_ref()?)));
    let computed = record.computed.iter().filter(|(id, _)| {
        let name = Name::Trait(id.as_str().into());
        purposes.may_conclude(&name, made.standing.allowed, allowed)
    });
    let fields = told.chain(computed);
    let fields = fields.filter(|(id, _)| purposes.may_use(id, allowed));
    let mut traits = Struct {
        fields: fields
            .map(|(id, value)| (id.clone(), value.clone()))
            .collect(),
    };
    let interests = record.preferences.iter().flat_map(|p| &p.interests);
    let values: Vec<_> = interests
        .map(|interest| Value {
            kind: Some(Kind::StringValue(interest.clone())),
        })
        .collect();
    if !values.is_empty() {
        let list = Kind::ListValue(ListValue { values });
        let value = Value { kind: Some(list) };
        traits.fields.insert(INTERESTS.to_owned(), value);
    }
    traits
}

/// How and when to be spoken to is for the person to say whatever they consented to;
/// what they like is part of their profile.
fn preferences(held: &Preferences, full: bool) -> SnapshotPreferences {
    let interests = held.interests.iter().filter(|_| full);
    SnapshotPreferences {
        interests: interests.cloned().collect(),
        channels: held.channels.clone(),
        messages_per_week_max: held.messages_per_week_max,
        language: held.language.clone(),
        time_zone: held.time_zone.clone(),
        quiet_start: held.quiet_start.clone(),
        quiet_end: held.quiet_end.clone(),
    }
}

fn field_len(event: &EncodedEvent) -> usize {
    let len = event.bytes.len();
    1 + encoded_len_varint(len as u64) + len
}

fn put_field(bytes: &mut BytesMut, event: &EncodedEvent) {
    bytes.put_u8(EVENT_KEY);
    encode_varint(event.bytes.len() as u64, bytes);
    bytes.put_slice(&event.bytes);
}

/// Length of the whole first field and its payload; None at the end.
fn first_field(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut rest = bytes.get(1..)?;
    let len = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
    let payload = rest.get(..len)?;
    Some((bytes.len() - rest.len() + len, payload))
}

/// The key, length and payload of the first field of a head; a number has no payload.
fn head_field(bytes: &[u8]) -> Option<(u8, usize, &[u8])> {
    let key = *bytes.first()?;
    if key & 7 == 2 {
        let (field_len, payload) = first_field(bytes)?;
        return Some((key, field_len, payload));
    }
    let mut rest = bytes.get(1..)?;
    decode_varint(&mut rest).ok()?;
    Some((key, bytes.len() - rest.len(), &[]))
}

/// A `RecentEvent` of which nothing but the time is read.
#[derive(Clone, PartialEq, Message)]
struct TimeOfEvent {
    #[prost(int64, tag = "2")]
    time_ms: i64,
}

/// Only these bytes' own encoder writes them, so a fault here would be a bug; the
/// event is then taken as the oldest.
fn time_of(payload: &[u8]) -> i64 {
    TimeOfEvent::decode(payload).map_or(i64::MIN, |e| e.time_ms)
}

#[cfg(test)]
mod tests;
