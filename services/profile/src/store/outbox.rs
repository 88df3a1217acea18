//! What other services are told, in the same transaction as the change. Writes the
//! bytes of `attune.events.v1.LogEntry`, with an event as the bytes it already has. The
//! log is kept and copied: nothing personal is in it but ids.

use std::sync::Arc;

use attune_api::{
    events::v1::{
        LogEntry, ProfileErased, ProfileUpdated, ProfilesMerged, ProfilesUnmerged, SegmentChanged,
        log_entry::Change,
    },
    time::from_ms,
};
use attune_storage::{Error, LogRecord, Tx};
use bytes::Bytes;
use prost::Message;

use crate::domain::{
    ProfileId,
    outcome::{Telling, Told},
};

/// `LogEntry` with an `EventRecorded` in it, field for field.
#[derive(Clone, PartialEq, Message)]
struct EventEntry {
    #[prost(string, tag = "5")]
    traceparent: String,
    #[prost(message, optional, tag = "10")]
    event_recorded: Option<EventRecorded>,
}

/// `EventRecorded` whose event is encoded already.
#[derive(Clone, PartialEq, Message)]
struct EventRecorded {
    #[prost(string, tag = "1")]
    profile_id: String,
    #[prost(bytes = "bytes", tag = "2")]
    event: Bytes,
    #[prost(bool, tag = "3")]
    personalization_allowed: bool,
    #[prost(string, repeated, tag = "4")]
    segments: Vec<String>,
}

/// Tells what happened to a profile.
pub async fn tell(
    tx: &mut Tx,
    workspace: &Arc<str>,
    traceparent: &str,
    telling: &Telling,
) -> Result<(), Error> {
    let key = telling.profile_id.to_string();
    let entry = entry(key.clone(), traceparent.to_owned(), &telling.told);
    let workspace = workspace.clone();
    tx.publish(LogRecord {
        workspace,
        key,
        entry,
    })
    .await
}

fn entry(profile_id: String, traceparent: String, told: &Told) -> Bytes {
    let change = match told {
        Told::Recorded {
            event,
            allowed,
            segments,
        } => {
            let event_recorded = Some(EventRecorded {
                profile_id,
                event: event.told.clone(),
                personalization_allowed: *allowed,
                segments: segments.clone(),
            });
            let entry = EventEntry {
                traceparent,
                event_recorded,
            };
            return entry.encode_to_vec().into();
        }
        Told::Updated => Change::ProfileUpdated(ProfileUpdated { profile_id }),
        Told::Merged { merged } => Change::ProfilesMerged(ProfilesMerged {
            profile_id,
            merged_profile_id: merged.to_string(),
        }),
        Told::Erased {
            profile_ids,
            address_keys,
        } => Change::ProfileErased(ProfileErased {
            profile_ids: profile_ids.iter().map(ToString::to_string).collect(),
            address_keys: address_keys.clone(),
        }),
        Told::Segment {
            segment_id,
            member,
            time_ms,
        } => Change::SegmentChanged(SegmentChanged {
            profile_id,
            segment_id: segment_id.to_string(),
            member: *member,
            time: Some(from_ms(*time_ms)),
        }),
        Told::Unmerged {
            unmerged,
            stay,
            leave,
        } => Change::ProfilesUnmerged(ProfilesUnmerged {
            profile_id,
            unmerged_profile_id: unmerged.to_string(),
            staying_profile_ids: stay.iter().map(ToString::to_string).collect(),
            leaving_profile_ids: leave.iter().map(ToString::to_string).collect(),
        }),
    };
    let entry = LogEntry {
        traceparent,
        change: Some(change),
        ..LogEntry::default()
    };
    entry.encode_to_vec().into()
}

/// The profiles that an entry says were erased; empty if it says no such thing.
pub fn erased_in(entry: &[u8]) -> Vec<ProfileId> {
    match LogEntry::decode(entry).ok().and_then(|entry| entry.change) {
        Some(Change::ProfileErased(erased)) => {
            let ids = erased.profile_ids.iter();
            ids.filter_map(|id| id.parse().ok()).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether an entry tells of an erasure: whoever follows has to hear of it, however long
/// they were away. One that cannot be read might.
pub fn is_erasure(entry: &[u8]) -> bool {
    LogEntry::decode(entry).map_or(true, |entry| {
        matches!(entry.change, Some(Change::ProfileErased(_)))
    })
}

/// What an entry says about another profile than its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Other {
    Merged(ProfileId),
    Unmerged(ProfileId),
}

/// None if it says no such thing.
pub fn other_in(entry: &[u8]) -> Option<Other> {
    match LogEntry::decode(entry).ok()?.change? {
        Change::ProfilesMerged(told) => told.merged_profile_id.parse().ok().map(Other::Merged),
        Change::ProfilesUnmerged(told) => {
            told.unmerged_profile_id.parse().ok().map(Other::Unmerged)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{Occurrence, Sent};

    #[test]
    fn an_event_is_told_as_the_contract_says() {
        let event = Arc::new(Occurrence::new(Sent {
            event_id: "m1".into(),
            name: "Product Viewed".into(),
            time_ms: 5,
            ..Sent::default()
        }));
        let told = Told::Recorded {
            event,
            allowed: true,
            segments: vec!["loyal".into()],
        };
        let entry = LogEntry::decode(entry("p".into(), "t".into(), &told)).unwrap();
        let Some(Change::EventRecorded(recorded)) = entry.change else {
            panic!()
        };
        let event = recorded.event.unwrap();
        assert_eq!(
            (entry.traceparent, recorded.profile_id),
            ("t".into(), "p".into())
        );
        assert_eq!((event.event_id, event.name), (String::new(), String::new()));
        assert_eq!(event.r#type, "view");
        assert!(recorded.personalization_allowed);
        assert_eq!(recorded.segments, ["loyal"]);
    }
}
