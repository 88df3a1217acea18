//! Which of the things that are derived read what. Answers with numbers and judges
//! nothing.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::{Definition, Name, Rule, Touched};

type ByName = FxHashMap<Box<str>, Vec<u32>>;

/// The readers of each thing that can be read, by number.
#[derive(Debug, Default)]
pub struct Readers {
    event_types: ByName,
    traits: ByName,
    segments: ByName,
    consents: ByName,
    /// They work the purpose out as they are judged.
    any_consent: Vec<u32>,
    subscriptions: ByName,
    any_subscription: Vec<u32>,
    lists: ByName,
    time: Vec<u32>,
}

impl Readers {
    /// Numbers count the definitions in their order.
    pub fn of(definitions: &[Definition]) -> Self {
        let mut readers = Self::default();
        for (number, definition) in (0..).zip(definitions) {
            readers.add(number, definition);
        }
        readers
    }

    fn add(&mut self, number: u32, definition: &Definition) {
        let expression = match (&definition.rule, &definition.name) {
            (Rule::Expression(expression), _) => expression,
            (Rule::List, Name::Segment(id)) => {
                return enter(&mut self.lists, [&**id], number);
            }
            (Rule::List, Name::Trait(_)) => return,
        };
        let reads = expression.reads();
        enter(&mut self.event_types, reads.event_types, number);
        enter(&mut self.traits, reads.traits, number);
        enter(&mut self.segments, reads.segments, number);
        enter(&mut self.consents, reads.consents, number);
        enter(&mut self.subscriptions, reads.groups, number);
        if reads.any_consent {
            self.any_consent.push(number);
        }
        if reads.any_group {
            self.any_subscription.push(number);
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

    /// Those that read what was touched by name.
    pub fn touched(&self, touched: &Touched<'_>, found: &mut BTreeSet<u32>) {
        let named = touched
            .event_types
            .iter()
            .map(|name| (&self.event_types, name))
            .chain(touched.traits.iter().map(|name| (&self.traits, name)))
            .chain(touched.consents.iter().map(|name| (&self.consents, name)))
            .chain(
                touched
                    .subscriptions
                    .iter()
                    .map(|name| (&self.subscriptions, name)),
            )
            .chain(touched.lists.iter().map(|name| (&self.lists, name)));
        for (by_name, name) in named {
            found.extend(by_name.get(*name).into_iter().flatten());
        }
        if !touched.consents.is_empty() {
            found.extend(&self.any_consent);
        }
        if !touched.subscriptions.is_empty() {
            found.extend(&self.any_subscription);
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
