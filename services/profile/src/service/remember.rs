//! Brings memory up to date with a committed batch, so that the next snapshot shows it.
//! Splices what it can; forgets what it would have to read.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Shared, obstacles, write::Written};
use crate::{
    domain::{
        Identity, ProfileId,
        outcome::{Outcome, TimelineRow},
        people::Stored,
        purposes::Learning,
        snapshot::{EncodedSnapshot, RecentHistory},
    },
    memory::{Hot, Noted},
    packed::PackedSnapshot,
};

/// Before the commit: takes note of what is held of every profile it will change.
pub fn note(shared: &Shared, workspace: &str, outcome: &Outcome) -> FxHashMap<ProfileId, Noted> {
    let mut ids: FxHashSet<ProfileId> = outcome.profiles.keys().copied().collect();
    ids.extend(outcome.timeline.iter().map(|row| row.owner.profile_id));
    ids.extend(outcome.merges.iter().flat_map(|m| [m.survivor, m.merged]));
    let ids: Vec<_> = ids.into_iter().collect();
    let keys: Vec<_> = ids
        .iter()
        .map(|id| shared.memory.profile_key(workspace, *id))
        .collect();
    ids.into_iter().zip(shared.memory.note(&keys)).collect()
}

/// After the commit.
pub fn remember(shared: &Shared, written: &Written) {
    let outcome = &written.outcome;
    let merges = outcome.merges.iter();
    let mut unknown: FxHashSet<_> = merges.flat_map(|m| [m.survivor, m.merged]).collect();
    let parted = outcome.parted.iter();
    unknown.extend(parted.flat_map(|p| [p.survivor, p.unmerged]));
    unknown.extend(&outcome.expired);
    let mut rows: FxHashMap<ProfileId, Vec<&TimelineRow>> = FxHashMap::default();
    for row in &outcome.timeline {
        rows.entry(row.owner.profile_id).or_default().push(row);
    }
    let changes = written.noted.iter().map(|(id, noted)| {
        let hot = match unknown.contains(id) {
            true => None,
            false => {
                let rows = rows.get(id).map_or(&[][..], Vec::as_slice);
                now_hot(shared, written, *id, noted, rows)
            }
        };
        (noted.clone(), hot.map(Arc::new))
    });
    shared.memory.replace(changes);
    match outcome.parted.is_empty() {
        true => obstacles::settle(shared, &written.workspace, &written.found),
        false => shared.settled.forget_all(),
    }
    // Also those that memory had: they may be of somebody else now.
    for (key, owner) in written.found.directory.owners() {
        if let Some(identity) = Identity::from_key(key) {
            let key = shared.memory.identity_key(&written.workspace, &identity);
            if shared.memory.owner(key) != Some(Some(owner)) {
                shared.memory.set_owner(key, owner);
            }
        }
    }
}

/// What memory is to hold of a living profile now; None where it has to be read.
fn now_hot(
    shared: &Shared,
    written: &Written,
    id: ProfileId,
    noted: &Noted,
    rows: &[&TimelineRow],
) -> Option<Hot> {
    let stored = written.outcome.profiles.get(&id);
    let standing = written.found.directory.standing(id)?;
    let purposes = &written.declared.purposes;
    let may = match stored {
        Some(stored) => purposes.may_learn(&purposes.standing(&stored.record)),
        None => *written.outcome.may_learn.get(&id)?,
    };
    let snapshot = snapshot(shared, written, id, noted, rows);
    Some(Hot {
        standing,
        learning: Learning::Found {
            may,
            fingerprint: purposes.fingerprint(),
        },
        snapshot,
        elsewhere: None,
    })
}

/// The snapshot with the new record and the new events, if it can be told.
fn snapshot(
    shared: &Shared,
    written: &Written,
    id: ProfileId,
    noted: &Noted,
    rows: &[&TimelineRow],
) -> Option<PackedSnapshot> {
    let events_max = shared.config.recent_events_max;
    let events = rows.iter().map(|row| &row.event.recent);
    if let Some(stored) = written.outcome.profiles.get(&id) {
        let before = before(written, id, noted, stored)?;
        let put = |snapshot: EncodedSnapshot, event| snapshot.with_event(event, events_max);
        return Some(PackedSnapshot::new(&events.fold(before, put), events_max));
    }
    let held = noted.hot.as_ref()?.snapshot.as_ref()?;
    match held.shape().is_of(&written.declared.purposes) {
        true => held.with_events(events, events_max),
        false => None,
    }
}

/// The snapshot with a record that changed and without the new events.
fn before(
    written: &Written,
    id: ProfileId,
    noted: &Noted,
    stored: &Stored,
) -> Option<EncodedSnapshot> {
    let purposes = &written.declared.purposes;
    if written.outcome.created.contains(&id) {
        let history = RecentHistory::default();
        return Some(EncodedSnapshot::new(id, &stored.record, purposes, &history));
    }
    let held = noted.hot.as_ref()?.snapshot.as_ref()?;
    match held.shape().is_of(purposes) {
        true => held.unpack()?.with_record(id, &stored.record, purposes),
        false => None,
    }
}
