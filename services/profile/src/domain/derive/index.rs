//! Which of the things that are derived read what. Answers with numbers and judges
//! nothing.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::{Definition, Name, Rule, Touched};

/// The purposes that must be allowed for a trait to be read.
pub type Needed<'n> = &'n dyn Fn(&str) -> Vec<&'n str>;

type ByName = FxHashMap<Box<str>, Vec<u32>>;

/// The readers of each thing that can be read, by number.
#[derive(Debug, Default)]
pub struct Readers {
    event_types: ByName,
    traits: ByName,
    segments: ByName,
    /// By purpose: those that ask for it, or read a trait that it decides about.
    consents: ByName,
    /// They work the purpose out as they are judged.
    any_consent: Vec<u32>,
    lists: ByName,
    time: Vec<u32>,
}

impl Readers {
    /// Numbers count the definitions in their order. `needed` says which purposes a
    /// trait can only be read for.
    pub fn of(definitions: &[Definition], needed: Needed<'_>) -> Self {
        let mut readers = Self::default();
        for (number, definition) in (0..).zip(definitions) {
            readers.add(number, definition, needed);
        }
        readers
    }

    fn add(&mut self, number: u32, definition: &Definition, needed: Needed<'_>) {
        let expression = match (&definition.rule, &definition.name) {
            (Rule::Expression(expression), _) => expression,
            (Rule::List { .. }, Name::Segment(id)) => {
                return enter(&mut self.lists, [&**id], number);
            }
            (Rule::List { .. }, Name::Trait(_)) => return,
        };
        let reads = expression.reads();
        enter(&mut self.event_types, reads.event_types, number);
        let governing = reads.traits.iter().flat_map(|id| needed(id));
        let purposes: BTreeSet<&str> = reads.consents.into_iter().chain(governing).collect();
        enter(&mut self.traits, reads.traits, number);
        enter(&mut self.segments, reads.segments, number);
        enter(&mut self.consents, purposes, number);
        if reads.any_consent {
            self.any_consent.push(number);
        }
        if reads.time {
            self.time.push(number);
        }
    }

    /// Those that read the clock.
    pub fn time(&self) -> &[u32] {
        &self.time
    }

    /// Those that read something derived.
    pub fn of_name(&self, name: &Name) -> &[u32] {
        let (by_name, id) = match name {
            Name::Trait(id) => (&self.traits, id),
            Name::Segment(id) => (&self.segments, id),
        };
        by_name.get(&**id).map_or(&[], Vec::as_slice)
    }

    /// Those that a decision about a purpose may change.
    pub fn governed_by(&self, purpose: &str) -> impl Iterator<Item = &u32> {
        let named = self.consents.get(purpose).into_iter().flatten();
        named.chain(&self.any_consent)
    }

    /// Those that read what was touched by name.
    pub fn touched(&self, touched: &Touched<'_>, found: &mut BTreeSet<u32>) {
        let named = touched
            .event_types
            .iter()
            .map(|name| (&self.event_types, name))
            .chain(touched.traits.iter().map(|name| (&self.traits, name)))
            .chain(touched.lists.iter().map(|name| (&self.lists, name)));
        for (by_name, name) in named {
            found.extend(by_name.get(*name).into_iter().flatten());
        }
        for purpose in &touched.consents {
            found.extend(self.governed_by(purpose));
        }
    }
}

fn enter<'a>(by_name: &mut ByName, names: impl IntoIterator<Item = &'a str>, number: u32) {
    for name in names {
        match by_name.get_mut(name) {
            Some(numbers) => numbers.push(number),
            None => {
                by_name.insert(name.into(), vec![number]);
            }
        }
    }
}
