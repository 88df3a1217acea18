//! The encoded `Snapshot` of a person, which is also its compact form in memory:
//! everything but the events first, then the events, newest first, each as the bytes
//! of its own field. A new event is spliced in without decoding the rest. Never holds
//! what consent withholds.

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

/// A `Snapshot`, encoded, and where its events begin.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedSnapshot {
    bytes: Bytes,
    head_len: usize,
    basis: Basis,
}

impl EncodedSnapshot {
    /// `events` come newest first.
    pub fn new(
        profile_id: ProfileId,
        record: &Record,
        default_consent: DefaultConsent,
        events: &[EncodedEvent],
    ) -> Self {
        let (basis, head) = head(profile_id, record, default_consent);
        let events = if basis == Basis::Full { events } else { &[] };
        let len = head.len() + events.iter().map(field_len).sum::<usize>();
        let mut bytes = BytesMut::with_capacity(len);
        bytes.put_slice(&head);
        for event in events {
            put_field(&mut bytes, event);
        }
        Self {
            bytes: bytes.freeze(),
            head_len: head.len(),
            basis,
        }
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
        let events = match (self.basis, basis) {
            (_, Basis::ContextOnly) => &[],
            (Basis::Full, _) => &self.bytes[self.head_len..],
            _ => return None,
        };
        Some(Self {
            bytes: [&head, events].concat().into(),
            head_len: head.len(),
            basis,
        })
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
        let mut rest = &self.bytes[self.head_len..];
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
        let at = match at {
            Some(at) => at,
            None if kept < events_max => end,
            None => return self.clone(),
        };
        let mut bytes = BytesMut::with_capacity(end + field_len(event));
        bytes.put_slice(&self.bytes[..at]);
        put_field(&mut bytes, event);
        bytes.put_slice(&self.bytes[at..end]);
        Self {
            bytes: bytes.freeze(),
            head_len: self.head_len,
            basis: self.basis,
        }
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

/// Only these bytes' own encoder writes them, so a fault here would be a bug; the
/// event is then taken as the oldest.
fn time_of(payload: &[u8]) -> i64 {
    RecentEvent::decode(payload).map_or(i64::MIN, |e| e.time_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::record::Decision;
    use proptest::prelude::*;

    fn event(kind: &str, time_ms: i64) -> EncodedEvent {
        EncodedEvent::new(&RecentEvent {
            r#type: kind.into(),
            time_ms,
            item_ids: vec!["i".repeat(200)],
            revenue: 1.5,
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
        record.set_traits(&[("name".to_owned(), Some(value))].into(), 1);
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
            let snapshot = EncodedSnapshot::new(id, &record, default, &[event("view", 1)])
                .with_event(&event("view", 2), 10);
            let shown = decoded(&snapshot);
            let full = basis == Basis::Full;
            assert_eq!((snapshot.basis(), shown.basis()), (basis, basis));
            assert_eq!(shown.consents[PERSONALIZATION], full);
            assert_eq!(shown.traits.is_some(), full);
            assert_eq!(shown.recent_events.len(), if full { 2 } else { 0 });
        }
    }

    proptest! {
        #[test]
        fn splicing_equals_sorting(
            times in prop::collection::vec(0i64..20, 0..30),
            events_max in 1usize..12,
        ) {
            let start = EncodedSnapshot::new(
                ProfileId::fresh(), &Record::default(), DefaultConsent::Granted, &[]);
            let spliced = times.iter().enumerate().fold(start, |snapshot, (i, time)| {
                snapshot.with_event(&event(&i.to_string(), *time), events_max)
            });
            let mut expected: Vec<_> = times.iter().copied().enumerate().collect();
            expected.sort_by_key(|(i, time)| std::cmp::Reverse((*time, *i)));
            expected.truncate(events_max);
            let got: Vec<_> = decoded(&spliced).recent_events.iter()
                .map(|e| (e.r#type.parse::<usize>().unwrap(), e.time_ms)).collect();
            prop_assert_eq!(got, expected);
        }
    }
}
