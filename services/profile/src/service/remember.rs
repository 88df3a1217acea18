//! Brings memory up to date with a committed batch, so that the next snapshot shows it.
//! Splices what it can; forgets what it would have to read.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Shared, declarations::Declarations, lookup::Found, obstacles, write::Written};
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

/// What memory is to hold of a profile instead of what was noted; None where it has to be
/// read.
pub type HotChange = (Noted, Option<Arc<Hot>>);

/// After the commit.
pub async fn remember(shared: &Shared, written: &mut Written) {
    match (&mut written.hot).await {
        Ok(changes) => shared.memory.replace(changes.into_iter()),
        // It panicked: nobody knows what is still true.
        Err(_) => shared.memory.forget_all(),
    }
    match written.outcome.parted.is_empty() {
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

/// What a write leads to, should it be committed.
pub struct After {
    pub shared: Arc<Shared>,
    pub outcome: Arc<Outcome>,
    pub found: Arc<Found>,
    pub declared: Arc<Declarations>,
}

impl After {
    /// What memory is to hold then. Looks at nothing but what was noted, so it can be
    /// found out before it is known whether there is a commit.
    pub fn hot(&self, noted: FxHashMap<ProfileId, Noted>) -> Vec<HotChange> {
        let outcome = &self.outcome;
        let merges = outcome.merges.iter();
        let mut unknown: FxHashSet<_> = merges.flat_map(|m| [m.survivor, m.merged]).collect();
        let parted = outcome.parted.iter();
        unknown.extend(parted.flat_map(|p| [p.survivor, p.unmerged]));
        unknown.extend(&outcome.expired);
        let mut rows: FxHashMap<ProfileId, Vec<&TimelineRow>> = FxHashMap::default();
        for row in &outcome.timeline {
            rows.entry(row.owner.profile_id).or_default().push(row);
        }
        let changes = noted.into_iter().map(|(id, noted)| {
            let hot = match unknown.contains(&id) {
                true => None,
                false => {
                    let rows = rows.get(&id).map_or(&[][..], Vec::as_slice);
                    self.now_hot(id, &noted, rows)
                }
            };
            (noted, hot.map(Arc::new))
        });
        changes.collect()
    }

    /// What memory is to hold of a living profile now; None where it has to be read.
    fn now_hot(&self, id: ProfileId, noted: &Noted, rows: &[&TimelineRow]) -> Option<Hot> {
        let stored = self.outcome.profiles.get(&id);
        let standing = self.found.directory.standing(id)?;
        let purposes = &self.declared.purposes;
        let may = match stored {
            Some(stored) => purposes.may_learn(&purposes.standing(&stored.record)),
            None => *self.outcome.may_learn.get(&id)?,
        };
        let snapshot = self.snapshot(id, noted, rows);
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
        &self,
        id: ProfileId,
        noted: &Noted,
        rows: &[&TimelineRow],
    ) -> Option<PackedSnapshot> {
        let events_max = self.shared.config.recent_events_max;
        let events = rows.iter().map(|row| &row.event.recent);
        if let Some(stored) = self.outcome.profiles.get(&id) {
            let before = self.before(id, noted, stored)?;
            let put = |snapshot: EncodedSnapshot, event| snapshot.with_event(event, events_max);
            return Some(PackedSnapshot::new(&events.fold(before, put), events_max));
        }
        let held = noted.hot.as_ref()?.snapshot.as_ref()?;
        match held.shape().is_of(&self.declared.purposes) {
            true => held.with_events(events, events_max),
            false => None,
        }
    }

    /// The snapshot with a record that changed and without the new events.
    fn before(&self, id: ProfileId, noted: &Noted, stored: &Stored) -> Option<EncodedSnapshot> {
        let purposes = &self.declared.purposes;
        if self.outcome.created.contains(&id) {
            let history = RecentHistory::default();
            return Some(EncodedSnapshot::new(id, &stored.record, purposes, &history));
        }
        let held = noted.hot.as_ref()?.snapshot.as_ref()?;
        match held.shape().is_of(purposes) {
            true => held.unpack()?.with_record(id, &stored.record, purposes),
            false => None,
        }
    }
}
