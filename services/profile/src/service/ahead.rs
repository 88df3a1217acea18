//! What of a write can be done before its turn, where requests come in and many at once:
//! events are sealed for whom memory says they are of. The turn alone decides who that
//! is; what turns out otherwise is sealed there.

use super::{Shared, ingest::Submission};
use crate::{
    domain::{Kind, Message, ProfileId, Who},
    store::timeline,
};

pub fn seal(shared: &Shared, submission: &Submission) {
    let events: Vec<_> = submission
        .messages
        .iter()
        .filter_map(|message| match &message.kind {
            Kind::Event(event) => Some((origin(shared, submission, message)?, event)),
            _ => None,
        })
        .collect();
    let owners = events.iter().map(|(origin_id, _)| *origin_id);
    let seals = shared.codec.held(&submission.workspace, owners);
    for (origin_id, event) in events {
        if seals.has(origin_id)
            && let Ok(sealed) = timeline::seal(&seals, origin_id, event)
        {
            // Set already where a request is tried again, and for the same or in vain.
            let _ = event.sealed.set(sealed);
        }
    }
}

/// By which profile a message seems to come.
fn origin(shared: &Shared, submission: &Submission, message: &Message) -> Option<ProfileId> {
    let identities = match &message.who {
        Who::Profile(id) => return Some(*id),
        Who::Identities(identities) => identities,
    };
    let memory = &shared.memory;
    identities.iter().find_map(|identity| {
        let key = memory.identity_key(&submission.workspace, identity);
        Some(memory.owner(key)??.origin_id)
    })
}
