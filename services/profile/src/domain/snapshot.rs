//! The encoded `Snapshot` of a person, which is also its compact form in memory:
//! everything but the history first, then the events, newest first, each as the bytes
//! of its own field, then from when on they are complete. A new event is spliced in
//! without decoding the rest. Never holds what consent withholds.

use std::collections::BTreeMap;

use attune_api::profile::v1::{Basis, RecentEvent, Snapshot};
use bytes::{BufMut, Bytes, BytesMut};
use prost::{
    Message,
    encoding::{decode_varint, encode_varint, encoded_len_varint},
};

use super::{ProfileId, Record, record::PERSONALIZATION};

/// Key of `Snapshot.recent_events`: field 5, length-delimited.
const EVENT_KEY: u8 = 5 << 3 | 2;

/// Key of `Snapshot.history_since_ms`: field 7, a varint.
const SINCE_KEY: u8 = 7 << 3;

/// What holds where a person has decided nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultConsent {
    Granted,
    Denied,
}

impl DefaultConsent {
    /// Whether the profile may be used, given what the person decided.
    pub fn allows(self, decided: Option<bool>) -> bool {
        decided.unwrap_or(self == DefaultConsent::Granted)
    }
}

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
    /// Where the events begin.
    head_len: usize,
    /// Where they end.
    events_end: usize,
    since_ms: i64,
    basis: Basis,
}

impl EncodedSnapshot {
    pub fn new(
        profile_id: ProfileId,
        record: &Record,
        default_consent: DefaultConsent,
        history: &RecentHistory,
    ) -> Self {
        let (basis, head) = head(profile_id, record, default_consent);
        if basis == Basis::ContextOnly {
            return Self::put_together(basis, &head, &[], 0);
        }
        let len = history.events.iter().map(field_len).sum();
        let mut events = BytesMut::with_capacity(len);
        for event in &history.events {
            put_field(&mut events, event);
        }
        Self::put_together(basis, &head, &events, history.since_ms)
    }

    /// With what is known now instead, and the same events. None if they are needed
    /// again and were withheld until now.
    pub fn with_record(
        &self,
        profile_id: ProfileId,
        record: &Record,
        default_consent: DefaultConsent,
    ) -> Option<Self> {
        let (basis, head) = head(profile_id, record, default_consent);
        match (self.basis, basis) {
            (_, Basis::ContextOnly) => Some(Self::put_together(basis, &head, &[], 0)),
            (Basis::Full, _) => Some(Self::put_together(
                basis,
                &head,
                &self.bytes[self.head_len..self.events_end],
                self.since_ms,
            )),
            _ => None,
        }
    }

    fn put_together(basis: Basis, head: &[u8], events: &[u8], since_ms: i64) -> Self {
        let mut bytes = BytesMut::with_capacity(head.len() + events.len() + 11);
        bytes.put_slice(head);
        bytes.put_slice(events);
        Self::closed(bytes, head.len(), since_ms, basis)
    }

    /// Of everything but the last field.
    fn closed(mut bytes: BytesMut, head_len: usize, since_ms: i64, basis: Basis) -> Self {
        let events_end = bytes.len();
        if since_ms != 0 {
            bytes.put_u8(SINCE_KEY);
            encode_varint(since_ms as u64, &mut bytes);
        }
        Self {
            bytes: bytes.freeze(),
            head_len,
            events_end,
            since_ms,
            basis,
        }
    }

    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    pub fn basis(&self) -> Basis {
        self.basis
    }

    /// With one more event in its place by time, before those of the same time, since
    /// it came later; at most `events_max` stay.
    pub fn with_event(&self, event: &EncodedEvent, events_max: usize) -> Self {
        if self.basis == Basis::ContextOnly {
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
        Self::closed(bytes, self.head_len, since_ms, self.basis)
    }
}

/// Everything but the events, and what it allows.
fn head(
    profile_id: ProfileId,
    record: &Record,
    default_consent: DefaultConsent,
) -> (Basis, Vec<u8>) {
    let allowed = default_consent.allows(record.granted(PERSONALIZATION));
    let basis = if allowed {
        Basis::Full
    } else {
        Basis::ContextOnly
    };
    let mut consents: BTreeMap<_, _> = record
        .consents
        .iter()
        .map(|(purpose, decision)| (purpose.clone(), decision.granted))
        .collect();
    consents.insert(PERSONALIZATION.to_owned(), allowed);
    let head = Snapshot {
        profile_id: profile_id.to_string(),
        basis: basis.into(),
        traits: allowed.then(|| record.current_traits()),
        segments: Vec::new(),
        recent_events: Vec::new(),
        consents,
        history_since_ms: 0,
    };
    (basis, head.encode_to_vec())
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
mod tests {
    use super::*;
    use crate::domain::record::{Decision, Provenance, Statement};
    use proptest::prelude::*;

    fn event(kind: &str, time_ms: i64) -> EncodedEvent {
        EncodedEvent::new(&RecentEvent {
            r#type: kind.into(),
            time_ms,
            item_ids: vec!["i".repeat(200)],
            revenue: 1.5,
            ..RecentEvent::default()
        })
    }

    fn decoded(snapshot: &EncodedSnapshot) -> Snapshot {
        Snapshot::decode(snapshot.bytes()).unwrap()
    }

    fn decided(granted: bool) -> Record {
        let mut record = Record::default();
        let decision = Decision {
            granted,
            ..Decision::default()
        };
        record.decide(PERSONALIZATION, decision);
        let value = attune_api::json::to_value("Ann".into());
        record.set_traits(Statement {
            traits: &[("name".to_owned(), Some(value))].into(),
            time_ms: 1,
            provenance: &Provenance::default(),
        });
        record
    }

    #[test]
    fn without_consent_nothing_personal_is_held() {
        let id = ProfileId::fresh();
        let rows = [
            (decided(false), DefaultConsent::Granted, Basis::ContextOnly),
            (
                Record::default(),
                DefaultConsent::Denied,
                Basis::ContextOnly,
            ),
            (decided(true), DefaultConsent::Denied, Basis::Full),
            (decided(true), DefaultConsent::Granted, Basis::Full),
        ];
        for (record, default, basis) in rows {
            let history = RecentHistory::of(vec![event("view", 1)], 10);
            let snapshot = EncodedSnapshot::new(id, &record, default, &history)
                .with_event(&event("view", 2), 10);
            let shown = decoded(&snapshot);
            let full = basis == Basis::Full;
            assert_eq!((snapshot.basis(), shown.basis()), (basis, basis));
            assert_eq!(shown.consents[PERSONALIZATION], full);
            assert_eq!(shown.traits.is_some(), full);
            assert_eq!(shown.recent_events.len(), if full { 2 } else { 0 });
        }
    }

    #[test]
    fn a_snapshot_says_from_when_on_its_history_is_complete() {
        let read = vec![event("c", 30), event("b", 20), event("a", 10)];
        assert_eq!(RecentHistory::of(read.clone(), 3).since_ms, 0);
        let history = RecentHistory::of(read, 2);
        assert_eq!((history.events.len(), history.since_ms), (2, 11));
        let id = ProfileId::fresh();
        let record = Record::default();
        let snapshot = EncodedSnapshot::new(id, &record, DefaultConsent::Granted, &history);
        let later = snapshot
            .with_event(&event("d", 40), 2)
            .with_record(id, &record, DefaultConsent::Granted)
            .unwrap();
        assert_eq!(decoded(&later).history_since_ms, 21);
        assert_eq!(decoded(&later).recent_events.len(), 2);
    }

    proptest! {
        #[test]
        fn splicing_equals_sorting(
            times in prop::collection::vec(0i64..20, 0..30),
            events_max in 1usize..12,
        ) {
            let start = EncodedSnapshot::new(
                ProfileId::fresh(), &Record::default(), DefaultConsent::Granted,
                &RecentHistory::default());
            let spliced = times.iter().enumerate().fold(start, |snapshot, (i, time)| {
                snapshot.with_event(&event(&i.to_string(), *time), events_max)
            });
            let mut expected: Vec<_> = times.iter().copied().enumerate().collect();
            expected.sort_by_key(|(i, time)| std::cmp::Reverse((*time, *i)));
            let left_out = expected.iter().skip(events_max).map(|(_, time)| time + 1).max();
            expected.truncate(events_max);
            let shown = decoded(&spliced);
            let got: Vec<_> = shown.recent_events.iter()
                .map(|e| (e.r#type.parse::<usize>().unwrap(), e.time_ms)).collect();
            prop_assert_eq!(got, expected);
            prop_assert_eq!(shown.history_since_ms, left_out.unwrap_or(0));
        }
    }
}
