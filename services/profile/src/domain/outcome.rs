//! Carries out the steps of a batch on the records that they concern, and collects
//! what has to be written and told, in order. Pure: the store writes it, the log tells
//! it, memory takes it over after the commit.

use std::{collections::BTreeSet, sync::Arc};

use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    Identity, Occurrence, ProfileId, Record,
    linking::Step,
    quality::Tally,
    record::{Change, PERSONALIZATION, Said, Statement, Timed},
    snapshot::DefaultConsent,
};

/// A profile as it is stored, without its identities and events.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stored {
    pub record: Record,
    pub create_ms: i64,
    pub known: bool,
}

/// A row of the timeline.
#[derive(Debug)]
pub struct TimelineRow {
    pub profile_id: ProfileId,
    pub event: Arc<Occurrence>,
}

/// A value of a trait that holds no longer, or came too late to.
#[derive(Debug)]
pub struct PastRow {
    pub profile_id: ProfileId,
    /// Whose identifier it came by.
    pub origin_id: ProfileId,
    pub trait_id: String,
    pub value: Timed,
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
    Recorded {
        event: Arc<Occurrence>,
        allowed: bool,
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
    /// New and changed profiles as they are to be stored.
    pub profiles: FxHashMap<ProfileId, Stored>,
    /// In order: survivor, merged.
    pub merges: Vec<(ProfileId, ProfileId)>,
    pub links: Vec<(Identity, ProfileId)>,
    pub timeline: Vec<TimelineRow>,
    pub past: Vec<PastRow>,
    /// Of what came about as the steps were taken.
    pub tally: Tally,
    pub tellings: Vec<Telling>,
    /// Those of whom something went, so that what is remembered of them is not true.
    pub expired: FxHashSet<ProfileId>,
    /// By living profile; new events are on the timeline.
    pub touched: FxHashMap<ProfileId, Touched>,
}

/// What of a person a batch changed, for what is derived from it.
#[derive(Debug, Default)]
pub struct Touched {
    /// New, merged, or expired: whatever is derived has to be derived anew.
    pub everything: bool,
    pub traits: BTreeSet<String>,
    /// By purpose.
    pub consents: BTreeSet<String>,
}

/// Ids whose stored record the steps read; those created by them are not stored yet.
pub fn records_needed(requests: &[Vec<Step>]) -> BTreeSet<ProfileId> {
    let mut needed = BTreeSet::new();
    for step in requests.iter().flatten() {
        match step {
            Step::Link { profile_id, .. }
            | Step::Identify { profile_id, .. }
            | Step::Group { profile_id, .. }
            | Step::Expire { profile_id, .. }
            | Step::Decide { profile_id, .. } => {
                needed.insert(*profile_id);
            }
            Step::Merge { survivor, merged } => needed.extend([*survivor, *merged]),
            Step::Create { .. } | Step::Event { .. } => {}
        }
    }
    for step in requests.iter().flatten() {
        if let Step::Create { profile_id } = step {
            needed.remove(profile_id);
        }
    }
    needed
}

/// Carries steps out.
#[derive(Debug)]
pub struct Execution<'a> {
    /// Records that [`records_needed`] named.
    pub stored: FxHashMap<ProfileId, Stored>,
    /// Consent to personalization of every living profile that was looked up.
    pub allowed: &'a FxHashMap<ProfileId, bool>,
    pub default_consent: DefaultConsent,
    pub now_ms: i64,
}

impl Execution<'_> {
    /// Runs the steps of each request in turn.
    pub fn run(mut self, requests: Vec<Vec<Step>>) -> Outcome {
        let mut outcome = Outcome::default();
        for (origin, steps) in requests.into_iter().enumerate() {
            outcome.origin = origin;
            for step in steps {
                self.step(step, &mut outcome);
            }
        }
        for id in &outcome.changed {
            if let Some(stored) = self.stored.remove(id) {
                outcome.profiles.insert(*id, stored);
            }
        }
        outcome.settle();
        outcome
    }

    fn step(&mut self, step: Step, outcome: &mut Outcome) {
        match step {
            Step::Create { profile_id } => {
                let create_ms = self.now_ms;
                let stored = Stored {
                    create_ms,
                    ..Stored::default()
                };
                self.stored.insert(profile_id, stored);
                outcome.created.insert(profile_id);
                outcome.touched(profile_id).everything = true;
                outcome.updated(profile_id);
            }
            Step::Link {
                identity,
                profile_id,
            } => {
                self.at(profile_id).known |= identity.names_a_customer();
                outcome.links.push((identity, profile_id));
                outcome.updated(profile_id);
            }
            Step::Identify {
                profile_id,
                traits,
                time_ms,
                provenance,
            } => {
                let statement = Statement {
                    traits: &traits,
                    time_ms,
                    provenance: &provenance,
                };
                let said = self.at(profile_id).record.set_traits(statement);
                if said.change == Change::Some {
                    outcome.updated(profile_id);
                    let ids = traits.iter().map(|(id, _)| id.clone());
                    outcome.touched(profile_id).traits.extend(ids);
                }
                outcome.said(profile_id, &provenance.source, said);
            }
            Step::Group {
                profile_id,
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
                let record = &mut self.at(profile_id).record;
                if record.join_group(&group_id, statement) == Change::Some {
                    outcome.updated(profile_id);
                }
            }
            Step::Merge { survivor, merged } => {
                // The merged record stays as it was: the way back needs it.
                let other = self.at(merged).clone();
                let ours = self.at(survivor);
                ours.record.absorb(other.record);
                ours.known |= other.known;
                ours.create_ms = ours.create_ms.min(other.create_ms);
                outcome.merged(survivor, merged);
            }
            Step::Decide {
                profile_id,
                purpose,
                decision,
            } => {
                if self.at(profile_id).record.decide(&purpose, decision) == Change::Some {
                    outcome.updated(profile_id);
                    outcome.touched(profile_id).consents.insert(purpose);
                }
            }
            Step::Expire { profile_id, traits } => {
                self.at(profile_id).record.expire(&traits);
                outcome.updated(profile_id);
                outcome.expired.insert(profile_id);
                outcome.touched(profile_id).everything = true;
            }
            Step::Event { profile_id, event } => {
                let allowed = self.allowed(profile_id);
                outcome.recorded(profile_id, event, allowed);
            }
        }
    }

    fn at(&mut self, profile_id: ProfileId) -> &mut Stored {
        self.stored.entry(profile_id).or_default()
    }

    fn allowed(&self, profile_id: ProfileId) -> bool {
        match self.stored.get(&profile_id) {
            Some(stored) => self
                .default_consent
                .allows(stored.record.granted(PERSONALIZATION)),
            // Looked up with the directory; a profile nobody looked up is not used.
            None => self.allowed.get(&profile_id).copied().unwrap_or(false),
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

    fn merged(&mut self, survivor: ProfileId, merged: ProfileId) {
        self.changed.insert(survivor);
        self.merges.push((survivor, merged));
        self.touched(survivor).everything = true;
        self.tell(survivor, Told::Merged { merged });
    }

    fn recorded(&mut self, profile_id: ProfileId, event: Arc<Occurrence>, allowed: bool) {
        let told = Told::Recorded {
            event: event.clone(),
            allowed,
        };
        self.tell(profile_id, told);
        self.timeline.push(TimelineRow { profile_id, event });
    }

    fn said(&mut self, profile_id: ProfileId, source: &Arc<str>, said: Said) {
        for trait_id in &said.disputed {
            self.tally.at(source, trait_id).conflict += 1;
            self.tally.source(source).conflict += 1;
        }
        if said.late > 0 {
            self.tally.source(source).late += i64::from(said.late);
        }
        let past = said.past.into_iter().map(|(trait_id, value)| PastRow {
            profile_id,
            origin_id: profile_id,
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
        let merged: FxHashMap<_, _> = self.merges.iter().map(|(s, m)| (*m, *s)).collect();
        let settled = |mut id: ProfileId| {
            while let Some(survivor) = merged.get(&id) {
                id = *survivor;
            }
            id
        };
        for (_, profile_id) in &mut self.links {
            *profile_id = settled(*profile_id);
        }
        for row in &mut self.timeline {
            row.profile_id = settled(row.profile_id);
        }
        for row in &mut self.past {
            row.profile_id = settled(row.profile_id);
        }
        for merged in merged.keys() {
            self.touched.remove(merged);
        }
    }
}
