//! When time alone next changes what is derived of a person, each thing by its name, so
//! that those whose time has come are judged and no others. What is noted may be too
//! early, never too late: an event that puts a change off leaves it as it is, and spares
//! a write. Never decides what changes.

use std::collections::BTreeMap;

use super::{Changes, Extent, Name, Record};

/// Times that are told apart of one person. Who has more has only the earliest noted, and
/// all that reads the clock is judged then.
const DUES_MAX: usize = 256;

/// A trait as expressions write it, which no segment's id can be.
const TRAIT_PREFIX: &str = "profile.";

fn name_of(key: &str) -> Name {
    match key.strip_prefix(TRAIT_PREFIX) {
        Some(id) => Name::Trait(id.into()),
        None => Name::Segment(key.into()),
    }
}

/// Whether only the earliest is known: of records from before, and of those with many.
fn is_untold(record: &Record) -> bool {
    record.due_ms.is_some() && record.dues.is_empty()
}

/// Those whose time has come; None where it was not noted whose.
pub fn until(record: &Record, now_ms: i64) -> Option<impl Iterator<Item = Name>> {
    let due = record.dues.iter().filter(move |(_, ms)| **ms <= now_ms);
    (!is_untold(record)).then(|| due.map(|(key, _)| name_of(key)))
}

/// The times of one person while things are judged.
pub struct Dues {
    before: BTreeMap<String, i64>,
    noted: BTreeMap<String, i64>,
    /// Of what is not told apart.
    rest_ms: Option<i64>,
    is_untold: bool,
    /// Whether what is judged was touched, and what was noted of it may stay.
    is_lazy: bool,
}

impl Dues {
    pub fn begin(record: &mut Record, extent: Extent, now_ms: i64) -> Self {
        let was_untold = is_untold(record);
        let before = std::mem::take(&mut record.dues);
        let mut dues = Self {
            noted: BTreeMap::new(),
            rest_ms: None,
            is_untold: false,
            is_lazy: extent == Extent::Named,
            before,
        };
        match extent {
            // All that reads the clock is judged.
            Extent::Everything | Extent::New => {}
            Extent::Time => {
                let later = dues.before.iter().filter(|(_, ms)| **ms > now_ms);
                dues.noted = later.map(|(key, ms)| (key.clone(), *ms)).collect();
            }
            Extent::Named | Extent::Filling => {
                dues.noted = dues.before.clone();
                dues.is_untold = was_untold;
                dues.rest_ms = record.due_ms.filter(|_| was_untold);
            }
        }
        dues
    }

    /// Something was judged, and time alone changes it then; None for never.
    pub fn judged(&mut self, name: &Name, next_ms: Option<i64>) {
        if self.is_untold {
            self.rest_ms = self.rest_ms.into_iter().chain(next_ms).min();
            return;
        }
        // Most never change by themselves, and then there is nothing to look up.
        if next_ms.is_none() && (self.is_lazy || self.noted.is_empty()) {
            return;
        }
        let key = name.to_string();
        match (next_ms, self.noted.get_mut(&key)) {
            (Some(ms), Some(noted)) if self.is_lazy => *noted = ms.min(*noted),
            (Some(ms), _) => drop(self.noted.insert(key, ms)),
            (None, _) => drop(self.noted.remove(&key)),
        }
    }

    /// Something is not declared any more.
    pub fn forget(&mut self, name: &Name) {
        if !self.noted.is_empty() {
            self.noted.remove(&name.to_string());
        }
    }

    /// Writes down what is known now.
    pub fn end(self, record: &mut Record, changes: &mut Changes) {
        let earliest_ms = self.noted.values().copied().chain(self.rest_ms).min();
        record.dues = match self.noted.len() > DUES_MAX {
            true => BTreeMap::new(),
            false => self.noted,
        };
        changes.due = earliest_ms != record.due_ms;
        changes.noted = record.dues != self.before;
        record.due_ms = earliest_ms;
    }
}
