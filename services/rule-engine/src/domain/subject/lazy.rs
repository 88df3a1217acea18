//! A subject as expressions see it: each part of the snapshot is decoded when it is
//! asked for, and only then. Never holds on to personal data.

use std::{cell::OnceCell, collections::BTreeMap, ops::ControlFlow};

use attune_api::profile::v1::RecentEvent;
use attune_expr::{ContextField, EventRef, Scope, SubjectScope, Value, recent_events};
use prost::Message;

use super::{
    Unreadable,
    wire::{each, text},
};

/// What expressions read of a `Snapshot`, traits aside; the field numbers are the
/// contract's.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Known {
    #[prost(string, repeated, tag = "4")]
    pub(super) segments: Vec<String>,
    #[prost(btree_map = "string, bool", tag = "6")]
    pub(super) consents: BTreeMap<String, bool>,
}

/// One trait, whose value is decoded when it is asked for.
struct Trait<'a> {
    id: &'a str,
    bytes: &'a [u8],
    value: OnceCell<prost_types::Value>,
}

/// The traits of a snapshot, in the order of its bytes.
fn traits(bytes: &[u8]) -> Result<Vec<Trait<'_>>, Unreadable> {
    let mut traits = Vec::new();
    each(bytes, 3, |fields| {
        each(fields, 1, |entry| {
            let (mut id, mut value) = ("", &[][..]);
            each(entry, 1, |bytes| {
                id = text(bytes)?;
                Ok(())
            })?;
            each(entry, 2, |bytes| {
                value = bytes;
                Ok(())
            })?;
            traits.push(Trait {
                id,
                bytes: value,
                value: OnceCell::new(),
            });
            Ok(())
        })
    })?;
    Ok(traits)
}

/// One event, decoded when an expression asks for its type.
struct PastEvent<'a> {
    event_type: &'a str,
    bytes: &'a [u8],
    event: OnceCell<RecentEvent>,
}

/// The events of a snapshot, which come newest first.
fn past_events(bytes: &[u8]) -> Result<Vec<PastEvent<'_>>, Unreadable> {
    let mut events = Vec::new();
    each(bytes, 5, |event| {
        let mut event_type = "";
        each(event, 1, |bytes| {
            event_type = text(bytes)?;
            Ok(())
        })?;
        events.push(PastEvent {
            event_type,
            bytes: event,
            event: OnceCell::new(),
        });
        Ok(())
    })?;
    Ok(events)
}

/// The names of a subject in expressions. The snapshot is decoded when the first
/// segment or consent is asked for, a trait when that one is, and an event when a
/// question about the history comes to its type.
pub struct LazySubject<'a> {
    bytes: &'a [u8],
    known: OnceCell<Known>,
    traits: OnceCell<Vec<Trait<'a>>>,
    events: OnceCell<Vec<PastEvent<'a>>>,
    situation: SubjectScope<'a>,
}

impl<'a> LazySubject<'a> {
    /// `situation` without a snapshot: context, channel and time.
    pub fn new(bytes: &'a [u8], situation: SubjectScope<'a>) -> Self {
        Self {
            bytes,
            known: OnceCell::new(),
            traits: OnceCell::new(),
            events: OnceCell::new(),
            situation,
        }
    }

    pub(super) fn known(&self) -> &Known {
        // Bytes that `read` accepted but prost does not would be a stranger's.
        self.known
            .get_or_init(|| Known::decode(self.bytes).unwrap_or_default())
    }
}

impl Scope for LazySubject<'_> {
    fn profile(&self, trait_id: &str) -> Value<'_> {
        let traits = self
            .traits
            .get_or_init(|| traits(self.bytes).unwrap_or_default());
        // Of two entries in a protobuf map the last counts.
        let held = traits.iter().rev().find(|held| held.id == trait_id);
        held.map_or(Value::Missing, |held| {
            let value = held
                .value
                .get_or_init(|| Message::decode(held.bytes).unwrap_or_default());
            Value::from(value)
        })
    }

    fn segments(&self) -> Value<'_> {
        Value::Texts(&self.known().segments)
    }

    fn in_segment(&self, segment_id: &str) -> bool {
        self.known().segments.iter().any(|s| s == segment_id)
    }

    fn context(&self, field: ContextField) -> Value<'_> {
        self.situation.context(field)
    }

    fn consent(&self, purpose: &str) -> bool {
        let consents = &self.known().consents;
        consents.get(purpose).copied().unwrap_or(false)
    }

    fn subject_key(&self) -> &str {
        self.situation.subject_key
    }

    fn now_ms(&self) -> i64 {
        self.situation.now_ms()
    }

    fn events<'s>(
        &'s self,
        event_type: Option<&str>,
        since_ms: Option<i64>,
        visit: &mut dyn FnMut(EventRef<'s>) -> ControlFlow<()>,
    ) {
        let events = self
            .events
            .get_or_init(|| past_events(self.bytes).unwrap_or_default());
        let wanted = events
            .iter()
            .filter(|past| event_type.is_none_or(|wanted| wanted == past.event_type))
            .map(|past| {
                past.event
                    .get_or_init(|| Message::decode(past.bytes).unwrap_or_default())
            });
        recent_events(wanted, event_type, since_ms, visit);
    }
}
