//! A snapshot as memory keeps it: compressed, and beside it the few newest events that
//! came since, which are put in their places when it is read or when there are enough
//! of them. Compressing takes as long as ten events do, and so is not done for each.
//! Never decides what is in a snapshot.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::domain::snapshot::{EncodedEvent, EncodedSnapshot, Shape};

/// Events that may wait beside what is compressed. More would save time and cost memory.
const WAITING_MAX: usize = 4;

/// Twice the size of most snapshots' repeated parts is found within the block itself, so
/// no dictionary is kept: it would have to be made of people.
#[derive(Debug, Clone, PartialEq)]
pub struct PackedSnapshot {
    /// An LZ4 block, shared by all who add to what waits beside it.
    block: Arc<[u8]>,
    /// Of the snapshot, uncompressed.
    len: u32,
    shape: Shape,
    /// In the order in which they came.
    waiting: Box<[EncodedEvent]>,
    events_max: u32,
}

impl PackedSnapshot {
    pub fn new(snapshot: &EncodedSnapshot, events_max: usize) -> Self {
        let bytes = snapshot.bytes();
        Self {
            block: lz4_flex::block::compress(&bytes).into(),
            len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            shape: snapshot.shape(),
            waiting: Box::default(),
            events_max: u32::try_from(events_max).unwrap_or(u32::MAX),
        }
    }

    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// None if the block is broken, which only a bug could do: it is then read anew.
    pub fn unpack(&self) -> Option<EncodedSnapshot> {
        let len = usize::try_from(self.len).ok()?;
        let mut bytes = BytesMut::zeroed(len);
        let written = lz4_flex::block::decompress_into(&self.block, &mut bytes).ok()?;
        if written != len {
            return None;
        }
        let snapshot = EncodedSnapshot::of(bytes.freeze(), self.shape);
        let events_max = usize::try_from(self.events_max).unwrap_or(usize::MAX);
        let put = |snapshot: EncodedSnapshot, event| snapshot.with_event(event, events_max);
        Some(self.waiting.iter().fold(snapshot, put))
    }

    /// With what came since. None if it has to be read anew.
    pub fn with_events<'a>(
        &self,
        events: impl Iterator<Item = &'a EncodedEvent>,
        events_max: usize,
    ) -> Option<Self> {
        if !self.shape.holds_events() {
            return Some(self.clone());
        }
        let came: Vec<_> = events.map(EncodedEvent::compact).collect();
        if self.waiting.len() + came.len() <= WAITING_MAX {
            let waiting = self.waiting.iter().cloned().chain(came);
            return Some(Self {
                waiting: waiting.collect(),
                block: self.block.clone(),
                ..*self
            });
        }
        let put = |snapshot: EncodedSnapshot, event| snapshot.with_event(event, events_max);
        let snapshot = came.iter().fold(self.unpack()?, put);
        Some(Self::new(&snapshot, events_max))
    }

    /// Bytes that it takes, but for itself.
    pub fn weight(&self) -> usize {
        let waiting = self.waiting.iter();
        let events: usize = waiting.map(|e| EVENT_BYTES + e.bytes.len()).sum();
        self.block.len() + events
    }
}

/// What an event takes besides its bytes: its place in the list, and what counts who
/// shares it.
const EVENT_BYTES: usize = size_of::<EncodedEvent>() + 32;

impl EncodedEvent {
    /// Not a part of something larger, which would be kept for it.
    fn compact(&self) -> Self {
        Self {
            time_ms: self.time_ms,
            bytes: Bytes::copy_from_slice(&self.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        ProfileId, Record,
        consent::{Decision, PERSONALIZATION},
        purposes::tests::purposes,
        snapshot::RecentHistory,
    };
    use attune_api::profile::v1::RecentEvent;
    use proptest::prelude::*;

    fn snapshot(personalization: bool) -> EncodedSnapshot {
        let mut record = Record::default();
        let decision = Decision {
            granted: personalization,
            ..Decision::default()
        };
        record.decide(PERSONALIZATION, decision);
        let history = RecentHistory::default();
        EncodedSnapshot::new(ProfileId::fresh(), &record, &purposes(), &history)
    }

    fn event(n: usize, time_ms: i64) -> EncodedEvent {
        EncodedEvent::new(&RecentEvent {
            r#type: format!("view{n}"),
            time_ms,
            channel: "web".into(),
            ..RecentEvent::default()
        })
    }

    proptest! {
        #[test]
        fn unpacking_gives_what_was_packed_and_all_that_came_since(
            batches in prop::collection::vec(prop::collection::vec(0i64..20, 0..7), 0..8),
            events_max in 1usize..12,
        ) {
            let mut expected = snapshot(true);
            let mut packed = PackedSnapshot::new(&expected, events_max);
            for (n, times) in batches.iter().enumerate() {
                let events: Vec<_> = times.iter().map(|time| event(n, *time)).collect();
                packed = packed.with_events(events.iter(), events_max).unwrap();
                expected = events.iter().fold(expected, |s, e| s.with_event(e, events_max));
                prop_assert_eq!(packed.unpack().unwrap(), expected.clone());
            }
        }
    }

    #[test]
    fn nothing_waits_beside_a_snapshot_that_withholds_events() {
        let withheld = snapshot(false);
        let packed = PackedSnapshot::new(&withheld, 10);
        let weight = packed.weight();
        let packed = packed.with_events([event(1, 5)].iter(), 10).unwrap();
        assert_eq!(packed.weight(), weight);
        assert_eq!(packed.unpack().unwrap(), withheld);
    }

    #[test]
    fn a_history_takes_about_half_of_what_it_did() {
        let events = (0..30).map(|n| event(n, n as i64));
        let full = events.fold(snapshot(true), |s, e| s.with_event(&e, 100));
        let packed = PackedSnapshot::new(&full, 100);
        assert!(
            packed.weight() * 10 < full.bytes().len() * 8,
            "{}",
            packed.weight()
        );
    }
}
