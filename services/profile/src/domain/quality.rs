//! Counts of how good what arrives is: by source, and of declared traits by trait and
//! source. Only adds up; what is wrong with a value is the schema's to say.

pub mod sample;

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::schema::TraitSchemas;

/// How old an event may be when it is received before it counts as late.
pub const LATE_MS: i64 = 86_400_000;

/// What arrived, by kind of fate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub accepted: i64,
    pub rejected: i64,
    pub duplicate: i64,
    pub conflict: i64,
    pub late: i64,
}

impl Counts {
    pub fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.duplicate += other.duplicate;
        self.conflict += other.conflict;
        self.late += other.late;
    }
}

/// What counts are kept of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    pub source: Arc<str>,
    /// Empty for all that a source sends.
    pub trait_id: Arc<str>,
}

/// Counts of one workspace.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally(FxHashMap<Subject, Counts>);

impl Tally {
    /// Of all that a source sends.
    pub fn source(&mut self, source: &Arc<str>) -> &mut Counts {
        self.at(source, "")
    }

    /// Of one trait as a source sends it.
    pub fn at(&mut self, source: &Arc<str>, trait_id: &str) -> &mut Counts {
        let subject = Subject {
            source: source.clone(),
            trait_id: trait_id.into(),
        };
        self.0.entry(subject).or_default()
    }

    pub fn add(&mut self, other: Self) {
        for (subject, counts) in other.0 {
            self.0.entry(subject).or_default().add(counts);
        }
    }

    /// By source, and by those traits that are declared: what anybody may send under any
    /// name is not counted by name.
    pub fn declared(&self, traits: &TraitSchemas) -> Self {
        let is_counted = |subject: &Subject| {
            subject.trait_id.is_empty() || traits.get(&subject.trait_id).is_some()
        };
        let counted = self.0.iter().filter(|(subject, _)| is_counted(subject));
        Self(counted.map(|(s, counts)| (s.clone(), *counts)).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// By source and trait.
    pub fn into_rows(self) -> impl Iterator<Item = (Subject, Counts)> {
        self.0.into_iter()
    }
}
