//! Carrying steps out: each changes the records of the people it is about, and leaves in
//! the outcome what has to be written and told. Decides nothing about who is who.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::{DecisionRow, Outcome};
use crate::domain::{
    Owner, ProfileId,
    consent::{Decision, Held, Signals},
    linking::{Directory, Step},
    people::{People, Stored},
    purposes::Purposes,
    record::{Change, Statement},
    schema::TraitSchemas,
};

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
            Step::Unmerge(split) => {
                needed.insert(split.stays.root);
            }
            Step::Event { owner, .. } if !may_learn.contains_key(&owner.profile_id) => {
                needed.insert(owner.profile_id);
            }
            Step::Create { .. }
            | Step::Event { .. }
            | Step::Meet { .. }
            | Step::Confirm(_)
            | Step::Refuse(_) => {}
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
            Step::Confirm(confirmed) => outcome.confirmed.push(confirmed),
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
            Step::Unmerge(split) => {
                self.people.part(&split);
                outcome.parted(split);
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
            outcome.updated(owner.profile_id);
        }
    }

    fn signal(&mut self, owner: Owner, signals: &Signals, time_ms: i64, outcome: &mut Outcome) {
        let purposes = self.purposes;
        // What holds of the person, whichever of their profiles said it.
        let person = self.people.record(owner.profile_id);
        let (consents, known) = person
            .map(|record| (record.consents.clone(), record.signalled.clone()))
            .unwrap_or_default();
        let held = Held {
            decisions: &consents,
            signalled: known.as_ref(),
        };
        let record = self.people.own(owner);
        let mut signalled = record.signalled.clone().unwrap_or_default();
        let decisions = signalled.take(signals, time_ms, held, purposes);
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
