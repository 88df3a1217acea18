//! What a batch leads to: what has to be written and told, in order. Pure: the store
//! writes it, the log tells it, memory takes it over after the commit; steps are carried
//! out next door.

mod run;

use std::{collections::BTreeSet, sync::Arc};

use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    Identity, Occurrence, Owner, ProfileId, Record,
    consent::Decision,
    derive::Changes,
    merge::{Confirmed, Merged, Parted, Refused, Split, Undone},
    people::Stored,
    quality::Tally,
    record::{Said, Timed},
};
pub use run::{Execution, records_needed};

/// A row of the timeline.
#[derive(Debug)]
pub struct TimelineRow {
    pub owner: Owner,
    pub event: Arc<Occurrence>,
}

/// A value of a trait that holds no longer, or came too late to.
#[derive(Debug)]
pub struct PastRow {
    pub owner: Owner,
    pub trait_id: String,
    pub value: Timed,
}

/// A row of the history of consent.
#[derive(Debug)]
pub struct DecisionRow {
    pub owner: Owner,
    pub purpose: String,
    pub decision: Decision,
}

/// What the log is told.
#[derive(Debug)]
pub struct Telling {
    pub profile_id: ProfileId,
    pub told: Told,
    /// Which of the requests in the batch led to it.
    pub origin: usize,
}

/// What happened to a profile.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    Updated,
    Merged {
        merged: ProfileId,
    },
    Unmerged {
        unmerged: ProfileId,
        /// Merged profiles that are part of the one that stayed, and of the other.
        stay: Vec<ProfileId>,
        leave: Vec<ProfileId>,
    },
    Recorded {
        event: Arc<Occurrence>,
        allowed: bool,
        /// Those the person was in before.
        segments: Vec<String>,
    },
    Segment {
        segment_id: Arc<str>,
        /// Entered, or left.
        member: bool,
        time_ms: i64,
    },
    Erased {
        /// The living profile, and those that were merged into it.
        profile_ids: Vec<ProfileId>,
        /// Hashes of the addresses by which they could be written to.
        address_keys: Vec<String>,
    },
}

/// What a batch leads to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Made by this batch, also those it merged away again.
    pub created: FxHashSet<ProfileId>,
    changed: FxHashSet<ProfileId>,
    origin: usize,
    /// New and changed living profiles as they are to be stored.
    pub profiles: FxHashMap<ProfileId, Stored>,
    /// Changed profiles that are part of another.
    pub parts: FxHashMap<ProfileId, Stored>,
    /// In order.
    pub merges: Vec<Merged>,
    pub confirmed: Vec<Confirmed>,
    pub refusals: Vec<Refused>,
    /// Merges that were undone; none of them made by this batch.
    pub undone: Vec<Undone>,
    /// Who is a person of their own without them.
    pub parted: Vec<Parted>,
    pub links: Vec<(Identity, Owner)>,
    /// Identifiers taken from those who held them, before others are linked.
    pub unlinks: Vec<Identity>,
    /// Devices, and customers they were seen with.
    pub encounters: Vec<(Identity, ProfileId)>,
    pub timeline: Vec<TimelineRow>,
    pub past: Vec<PastRow>,
    /// Every decision about consent, whether it holds or came too late to.
    pub decisions: Vec<DecisionRow>,
    /// Of what came about as the steps were taken.
    pub tally: Tally,
    pub tellings: Vec<Telling>,
    /// Those of whom something went, so that what is remembered of them is not true.
    pub expired: FxHashSet<ProfileId>,
    /// By living profile; new events are on the timeline.
    pub touched: FxHashMap<ProfileId, Touched>,
    /// Whether what people do may be learned from, of those of whom it was asked or known.
    pub may_learn: FxHashMap<ProfileId, bool>,
    pub derivations: Derivations,
}

/// What changed of what is derived, besides the records.
#[derive(Debug, Default)]
pub struct Derivations {
    /// Segments and who entered them.
    pub entered: Vec<(Arc<str>, ProfileId)>,
    pub left: Vec<(Arc<str>, ProfileId)>,
    /// When time has to be looked at next; None for never.
    pub due: Vec<(ProfileId, Option<i64>)>,
}

/// What of a person a batch changed, for what is derived from it.
#[derive(Debug, Default)]
pub struct Touched {
    /// New, merged, or expired: whatever is derived has to be derived anew.
    pub everything: bool,
    pub traits: BTreeSet<String>,
    /// By purpose.
    pub consents: BTreeSet<String>,
    /// By segment.
    pub lists: BTreeSet<String>,
}

impl Outcome {
    fn touched(&mut self, profile_id: ProfileId) -> &mut Touched {
        self.touched.entry(profile_id).or_default()
    }

    /// Told once per batch, at the first change.
    fn updated(&mut self, profile_id: ProfileId) {
        let first = self.changed.insert(profile_id);
        if first {
            self.tell(profile_id, Told::Updated);
        }
    }

    fn tell(&mut self, profile_id: ProfileId, told: Told) {
        let origin = self.origin;
        self.tellings.push(Telling {
            profile_id,
            told,
            origin,
        });
    }

    /// Notes what was derived of a profile and is no longer.
    fn left_behind(&mut self, profile_id: ProfileId, derived: Record) {
        let segments = derived.segments.into_keys();
        let left = segments.map(|id| (Arc::from(id), profile_id));
        self.derivations.left.extend(left);
        let due = derived.due_ms.map(|_| (profile_id, None));
        self.derivations.due.extend(due);
    }

    /// Takes over what was derived of a profile: to be stored, and told.
    pub fn derived(
        &mut self,
        profile_id: ProfileId,
        stored: Stored,
        changes: Changes,
        now_ms: i64,
    ) {
        if !changes.traits.is_empty() {
            self.updated(profile_id);
        }
        let entered = changes.entered.into_iter().map(|id| (id, true));
        let left = changes.left.into_iter().map(|id| (id, false));
        for (segment_id, member) in entered.chain(left) {
            let told = Told::Segment {
                segment_id: segment_id.clone(),
                member,
                time_ms: now_ms,
            };
            self.tell(profile_id, told);
            match member {
                true => self.derivations.entered.push((segment_id, profile_id)),
                false => self.derivations.left.push((segment_id, profile_id)),
            }
        }
        if changes.due {
            let due = (profile_id, stored.record.due_ms);
            self.derivations.due.push(due);
        }
        self.profiles.insert(profile_id, stored);
    }

    fn merged(&mut self, merged: Merged) {
        let survivor = merged.survivor;
        self.changed.insert(survivor);
        self.touched(survivor).everything = true;
        let told = Told::Merged {
            merged: merged.merged,
        };
        self.tell(survivor, told);
        self.merges.push(merged);
    }

    fn parted(&mut self, split: Split) {
        let stay: Vec<_> = split.stays.joined.keys().copied().collect();
        let survivor = split.stays.root;
        let leaving = split.leave.iter().map(|part| part.root);
        for id in leaving.chain([survivor]) {
            self.changed.insert(id);
            self.touched(id).everything = true;
        }
        for part in &split.leave {
            let told = Told::Unmerged {
                unmerged: part.root,
                stay: stay.clone(),
                leave: part.joined.keys().copied().collect(),
            };
            self.tell(survivor, told);
        }
        self.parted.extend(split.parted());
        self.undone.extend(split.undone);
    }

    fn unlinked(&mut self, identity: Identity, owner: Owner, device: ProfileId) {
        let linked = self.links.iter().position(|(held, _)| *held == identity);
        match linked {
            // By this batch: it is not stored yet.
            Some(index) => drop(self.links.swap_remove(index)),
            None => self.unlinks.push(identity),
        }
        self.updated(owner.profile_id);
        // Nothing that is merged moves.
        let told = Told::Unmerged {
            unmerged: device,
            stay: Vec::new(),
            leave: Vec::new(),
        };
        self.tell(owner.profile_id, told);
    }

    fn recorded(&mut self, owner: Owner, event: Arc<Occurrence>, allowed: bool) {
        let told = Told::Recorded {
            event: event.clone(),
            allowed,
            segments: Vec::new(),
        };
        self.tell(owner.profile_id, told);
        self.timeline.push(TimelineRow { owner, event });
    }

    fn said(&mut self, owner: Owner, source: &Arc<str>, said: Said) {
        for trait_id in &said.disputed {
            self.tally.at(source, trait_id).conflict += 1;
            self.tally.source(source).conflict += 1;
        }
        if said.late > 0 {
            self.tally.source(source).late += i64::from(said.late);
        }
        let past = said.past.into_iter().map(|(trait_id, value)| PastRow {
            owner,
            trait_id,
            value,
        });
        self.past.extend(past);
    }

    /// Rows of profiles that this batch merged away are written where they belong.
    fn settle(&mut self) {
        if self.merges.is_empty() {
            return;
        }
        let merges = self.merges.iter();
        let merged: FxHashMap<_, _> = merges.map(|m| (m.merged, m.survivor)).collect();
        let settled = |mut id: ProfileId| {
            while let Some(survivor) = merged.get(&id) {
                id = *survivor;
            }
            id
        };
        for (_, owner) in &mut self.links {
            owner.profile_id = settled(owner.profile_id);
        }
        for row in &mut self.timeline {
            row.owner.profile_id = settled(row.owner.profile_id);
        }
        for row in &mut self.decisions {
            row.owner.profile_id = settled(row.owner.profile_id);
        }
        for row in &mut self.past {
            row.owner.profile_id = settled(row.owner.profile_id);
        }
        for merged in merged.keys() {
            self.touched.remove(merged);
        }
    }
}
