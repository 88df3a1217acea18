//! Carries out the steps of a batch on the records that they concern, and collects
//! what has to be written and told, in order. Pure: the store writes it, the log tells
//! it, memory takes it over after the commit.

use std::{collections::BTreeSet, sync::Arc};

use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    Identity, Occurrence, Owner, ProfileId, Record,
    consent::{Decision, Signals},
    derive::Changes,
    linking::{Directory, Step},
    merge::{Merged, Parted, Refused},
    people::{People, Stored},
    purposes::Purposes,
    quality::Tally,
    record::{Change, Said, Statement, Timed},
    schema::TraitSchemas,
};

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
    pub refusals: Vec<Refused>,
    /// Merges that were undone; none of them made by this batch.
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
    pub preferences: bool,
    /// By segment.
    pub lists: BTreeSet<String>,
}

/// Ids whose stored record the steps read; those created by them are not stored yet.
/// Of somebody who only did something the record is read where it is not known whether
/// that may be learned from.
pub fn records_needed(
    requests: &[Vec<Step>],
    may_learn: &FxHashMap<ProfileId, bool>,
) -> BTreeSet<ProfileId> {
    let mut needed = BTreeSet::new();
    for step in requests.iter().flatten() {
        match step {
            Step::Link { owner, .. }
            | Step::Unlink { owner, .. }
            | Step::Identify { owner, .. }
            | Step::Group { owner, .. }
            | Step::Decide { owner, .. }
            | Step::Signal { owner, .. }
            | Step::Prefer { owner, .. }
            | Step::List { owner, .. } => {
                needed.insert(owner.profile_id);
            }
            Step::Expire { profile_id, .. } => {
                needed.insert(*profile_id);
            }
            Step::Merge(merged) => needed.extend([merged.survivor, merged.merged]),
            Step::Unmerge(parted) => {
                needed.insert(parted.survivor);
            }
            Step::Event { owner, .. } if !may_learn.contains_key(&owner.profile_id) => {
                needed.insert(owner.profile_id);
            }
            Step::Create { .. } | Step::Event { .. } | Step::Meet { .. } | Step::Refuse(_) => {}
        }
    }
    for step in requests.iter().flatten() {
        if let Step::Create { profile_id } = step {
            needed.remove(profile_id);
        }
    }
    needed
}

/// What steps are carried out on.
#[derive(Debug)]
pub struct Execution<'a> {
    /// Records that [`records_needed`] named, and of all who are the same person.
    pub stored: FxHashMap<ProfileId, Stored>,
    /// As it is after the steps were decided.
    pub directory: &'a Directory,
    /// Whether what living profiles do may be learned from, of those where that is known
    /// without their record.
    pub may_learn: FxHashMap<ProfileId, bool>,
    /// As they are declared, as are the next.
    pub traits: &'a TraitSchemas,
    pub purposes: &'a Purposes,
    pub now_ms: i64,
}

/// Steps being carried out.
struct Run<'a> {
    people: People<'a>,
    may_learn: FxHashMap<ProfileId, bool>,
    purposes: &'a Purposes,
    now_ms: i64,
}

impl Execution<'_> {
    /// Runs the steps of each request in turn.
    pub fn run(self, requests: Vec<Vec<Step>>) -> Outcome {
        let mut outcome = Outcome::default();
        let mut run = Run {
            people: People::new(self.stored, self.traits),
            may_learn: self.may_learn,
            purposes: self.purposes,
            now_ms: self.now_ms,
        };
        for (origin, steps) in requests.into_iter().enumerate() {
            outcome.origin = origin;
            for step in steps {
                run.step(step, &mut outcome);
            }
        }
        let changed = outcome.changed.iter().copied();
        let changed = run
            .people
            .changed(changed, |id| self.directory.standing(id));
        outcome.profiles = changed.living;
        outcome.parts = changed.merged;
        outcome.may_learn = run.may_learn;
        outcome.settle();
        outcome
    }
}

impl Run<'_> {
    fn step(&mut self, step: Step, outcome: &mut Outcome) {
        match step {
            Step::Create { profile_id } => {
                self.people.begin(profile_id, self.now_ms);
                outcome.created.insert(profile_id);
                outcome.touched(profile_id).everything = true;
                outcome.updated(profile_id);
            }
            Step::Link { identity, owner } => {
                outcome.links.push((identity, owner));
                outcome.updated(owner.profile_id);
            }
            Step::Unlink {
                identity,
                owner,
                device,
            } => outcome.unlinked(identity, owner, device),
            Step::Meet { identity, customer } => outcome.encounters.push((identity, customer)),
            Step::Refuse(refused) => outcome.refusals.push(refused),
            Step::Identify {
                owner,
                traits,
                time_ms,
                provenance,
            } => {
                let statement = Statement {
                    traits: &traits,
                    time_ms,
                    provenance: &provenance,
                };
                let said = self.people.own(owner).set_traits(statement);
                if said.change == Change::Some {
                    outcome.updated(owner.profile_id);
                    let ids = traits.iter().map(|(id, _)| id.clone());
                    outcome.touched(owner.profile_id).traits.extend(ids);
                }
                outcome.said(owner, &provenance.source, said);
            }
            Step::Group {
                owner,
                group_id,
                traits,
                time_ms,
                provenance,
            } => {
                let statement = Statement {
                    traits: &traits,
                    time_ms,
                    provenance: &provenance,
                };
                let record = self.people.own(owner);
                if record.join_group(&group_id, statement) == Change::Some {
                    outcome.updated(owner.profile_id);
                }
            }
            Step::Merge(merged) => {
                let (survivor, gone) = (merged.survivor, merged.merged);
                let derived = self.people.merge(survivor, gone, self.now_ms);
                outcome.left_behind(gone, derived);
                outcome.merged(merged);
            }
            Step::Unmerge(parted) => {
                self.people
                    .part(parted.survivor, parted.unmerged, &parted.parts);
                outcome.parted(parted);
            }
            Step::Decide {
                owner,
                purpose,
                decision,
            } => self.decide(owner, purpose, decision, outcome),
            Step::Signal {
                owner,
                signals,
                time_ms,
            } => self.signal(owner, &signals, time_ms, outcome),
            Step::Prefer { owner, preferences } => {
                if self.people.own(owner).prefer(preferences) == Change::Some {
                    outcome.updated(owner.profile_id);
                    outcome.touched(owner.profile_id).preferences = true;
                }
            }
            Step::List {
                owner,
                segment_id,
                listed,
            } => {
                if self.people.own(owner).list(&segment_id, listed) == Change::Some {
                    outcome.updated(owner.profile_id);
                    let touched = outcome.touched(owner.profile_id);
                    touched.lists.insert(segment_id.to_string());
                }
            }
            Step::Expire { profile_id, traits } => {
                self.people.expire(profile_id, &traits);
                outcome.updated(profile_id);
                outcome.expired.insert(profile_id);
                outcome.touched(profile_id).everything = true;
            }
            Step::Event { owner, event } => {
                let allowed = self.may_learn(owner.profile_id);
                outcome.recorded(owner, event, allowed);
            }
        }
    }

    fn decide(&mut self, owner: Owner, purpose: String, decision: Decision, outcome: &mut Outcome) {
        outcome.decisions.push(DecisionRow {
            owner,
            purpose: purpose.clone(),
            decision: decision.clone(),
        });
        if self.people.own(owner).decide(&purpose, decision) == Change::Some {
            let touched = outcome.touched(owner.profile_id);
            touched.consents.insert(purpose);
            // Other traits may be read now, by whatever is derived.
            touched.everything = true;
            outcome.updated(owner.profile_id);
        }
    }

    fn signal(&mut self, owner: Owner, signals: &Signals, time_ms: i64, outcome: &mut Outcome) {
        let purposes = self.purposes;
        // What holds of the person, whichever of their profiles said it.
        let held = self.people.record(owner.profile_id);
        let held = held
            .map(|record| record.consents.clone())
            .unwrap_or_default();
        let record = self.people.own(owner);
        let mut signalled = record.signalled.clone().unwrap_or_default();
        let decisions = signalled.take(signals, time_ms, &held, purposes);
        let moved = record.signalled.as_ref().map_or("", |s| &s.region) != signalled.region;
        let noted = Some(signalled);
        if record.signalled != noted {
            record.signalled = noted;
            outcome.changed.insert(owner.profile_id);
        }
        if moved && purposes.is_regional() {
            outcome.updated(owner.profile_id);
            outcome.touched(owner.profile_id).everything = true;
        }
        for (purpose, decision) in decisions {
            self.decide(owner, purpose, decision, outcome);
        }
    }

    fn may_learn(&mut self, profile_id: ProfileId) -> bool {
        match self.people.record(profile_id) {
            Some(record) => {
                let may = self.purposes.may_learn(&self.purposes.standing(record));
                self.may_learn.insert(profile_id, may);
                may
            }
            // Looked up with the directory; a profile nobody looked up is not used.
            None => self.may_learn.get(&profile_id).copied().unwrap_or(false),
        }
    }
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

    fn parted(&mut self, parted: Parted) {
        let (survivor, unmerged) = (parted.survivor, parted.unmerged);
        for id in [survivor, unmerged] {
            self.changed.insert(id);
            self.touched(id).everything = true;
        }
        self.tell(survivor, Told::Unmerged { unmerged });
        self.parted.push(parted);
    }

    fn unlinked(&mut self, identity: Identity, owner: Owner, device: ProfileId) {
        let linked = self.links.iter().position(|(held, _)| *held == identity);
        match linked {
            // By this batch: it is not stored yet.
            Some(index) => drop(self.links.swap_remove(index)),
            None => self.unlinks.push(identity),
        }
        self.updated(owner.profile_id);
        self.tell(owner.profile_id, Told::Unmerged { unmerged: device });
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
