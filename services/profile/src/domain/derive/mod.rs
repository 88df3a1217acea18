//! What is derived of a person: segments and computed traits. Each is judged again only
//! when something it reads has changed, in an order in which none comes before what it
//! reads itself, so that the cost of an event follows the expressions that read it and
//! not their number. Pure: is shown a record and a history, and changes the record.

mod dues;
mod index;
mod order;
mod value;

use std::{collections::BTreeSet, sync::Arc};

use attune_expr::{Aggregate, Change, Expression, Scope};
use rustc_hash::{FxHashMap, FxHashSet};

use super::Record;
use dues::Dues;
use index::{Needed, Readers};
pub use order::Cycle;

/// When a judgement is looked at again that gives no time for its next change. Expressions
/// that never give one are refused when they are saved; of the others only one whose
/// judging runs out of its budget can meet this.
const LOOK_AGAIN_MS: i64 = 3_600_000;

/// What something derived is called.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    Trait(Arc<str>),
    Segment(Arc<str>),
}

/// Where it comes from.
#[derive(Debug, Clone)]
pub enum Rule {
    Expression(Expression),
    /// Who is put on it by name, since it was made at this revision of what is declared.
    List {
        born: i64,
    },
}

/// Something that is derived.
#[derive(Debug, Clone)]
pub struct Definition {
    pub name: Name,
    pub rule: Rule,
}

/// A person's record and history, shown as expressions read them.
pub trait Person {
    /// Lets an expression see what is known, with `record` as it is now.
    fn show<T>(&self, record: &Record, see: impl FnOnce(&dyn Scope) -> T) -> T;
}

/// What changed of a person.
#[derive(Debug, Default)]
pub struct Touched<'a> {
    pub extent: Extent,
    pub event_types: FxHashSet<&'a str>,
    pub traits: BTreeSet<&'a str>,
    /// Purposes of consent.
    pub consents: BTreeSet<&'a str>,
    pub lists: BTreeSet<&'a str>,
}

/// How much of a person was touched besides what is named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Extent {
    #[default]
    Named,
    /// The person is new: nothing was known before.
    New,
    /// Time has passed.
    Time,
    /// What is derived is not what it was: some of it was never judged of this person,
    /// or is declared no longer.
    Filling,
    /// Anything may be different.
    Everything,
}

/// What a derivation changed in a record.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub entered: Vec<Arc<str>>,
    pub left: Vec<Arc<str>>,
    /// Computed traits.
    pub traits: Vec<Arc<str>>,
    /// Whether time has to be looked at again at another moment than before.
    pub due: bool,
    /// Whether it was noted otherwise than before when what changes, though not what
    /// changes first.
    pub noted: bool,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        !self.due
            && !self.noted
            && self.entered.is_empty()
            && self.left.is_empty()
            && self.traits.is_empty()
    }
}

/// All that is derived in a workspace. A number stands for each; what one reads has a
/// smaller number.
#[derive(Debug, Default)]
pub struct Derived {
    definitions: Vec<Definition>,
    numbers: FxHashMap<Name, u32>,
    readers: Readers,
    /// What has to be judged of somebody new, of whom nothing is known.
    at_first: Vec<u32>,
}

impl Derived {
    /// Of definitions that form no cycle. Those that do are left out and told: they are
    /// refused when they are saved, so that they cannot be here.
    pub fn new(
        definitions: Vec<Definition>,
        needed: Needed<'_>,
        nobody: &impl Person,
    ) -> (Self, Vec<Cycle>) {
        let (definitions, cycles) = order::in_order(definitions);
        let mut derived = Self {
            readers: Readers::of(&definitions, needed),
            ..Self::default()
        };
        for (number, definition) in (0..).zip(&definitions) {
            derived.numbers.insert(definition.name.clone(), number);
            if is_judged_of_nobody(definition, nobody) {
                derived.at_first.push(number);
            }
        }
        derived.definitions = definitions;
        (derived, cycles)
    }

    pub fn is_empty(&self) -> bool {
        self.definitions.is_empty()
    }

    /// The number of something derived, by its name.
    pub fn number(&self, name: &Name) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// The name of something derived, by its number.
    pub fn definition(&self, number: u32) -> Option<&Definition> {
        self.definitions.get(number as usize)
    }

    /// What reads something, a plain trait included.
    pub fn readers_of(&self, name: &Name) -> impl Iterator<Item = &Name> {
        let readers = self.readers.of_name(name).iter();
        readers
            .filter_map(|number| self.definition(*number))
            .map(|d| &d.name)
    }

    /// What asks whether a purpose is allowed, or reads a trait that it decides about.
    pub fn governed_by(&self, purpose: &str) -> impl Iterator<Item = &Name> {
        let numbers: BTreeSet<_> = self.readers.governed_by(purpose).copied().collect();
        let definitions = numbers.into_iter().filter_map(|n| self.definition(n));
        definitions.map(|definition| &definition.name)
    }

    /// What is judged by something of this, or by what is judged by it.
    pub fn following(&self, touched: &Touched<'_>) -> impl Iterator<Item = &Name> {
        let mut open = self.first(touched);
        let mut reached = open.clone();
        while let Some(number) = open.pop_first() {
            let name = self.definition(number).map(|definition| &definition.name);
            for reader in name.map_or(&[][..], |name| self.readers.of_name(name)) {
                if reached.insert(*reader) {
                    open.insert(*reader);
                }
            }
        }
        let numbers = reached.into_iter();
        numbers.filter_map(|number| Some(&self.definition(number)?.name))
    }

    /// The way on which something would lead back to itself if this were its expression.
    pub fn cycle_through(&self, name: &Name, expression: &Expression) -> Option<Cycle> {
        order::cycle_through(name, expression, |name| {
            let number = self.number(name)?;
            self.definition(number).map(|definition| &definition.rule)
        })
    }

    /// What has to be judged because it reads what was touched.
    pub fn first(&self, touched: &Touched<'_>) -> BTreeSet<u32> {
        let count = u32::try_from(self.definitions.len()).unwrap_or(u32::MAX);
        let mut found = BTreeSet::new();
        match touched.extent {
            Extent::Everything => return (0..count).collect(),
            Extent::New => found.extend(&self.at_first),
            Extent::Named | Extent::Filling | Extent::Time => {}
        }
        self.readers.touched(touched, &mut found);
        found
    }

    /// What has to be judged because its time has come; everything that reads the clock
    /// where it was not noted whose.
    pub fn due(&self, record: &Record, now_ms: i64) -> BTreeSet<u32> {
        match dues::until(record, now_ms) {
            Some(names) => names.filter_map(|name| self.number(&name)).collect(),
            None => self.readers.time().iter().copied().collect(),
        }
    }

    /// The questions about the history that judging `first`, and what reads it, may ask.
    // What can change inside a question, its compiled patterns, is no part of its hash.
    #[allow(clippy::mutable_key_type)]
    pub fn aggregates(&self, first: &BTreeSet<u32>) -> Vec<&Arc<Aggregate>> {
        let mut reached = first.clone();
        let mut open = first.clone();
        let mut found = Vec::new();
        let mut seen = FxHashSet::default();
        while let Some(number) = open.pop_first() {
            let Some(definition) = self.definition(number) else {
                continue;
            };
            if let Rule::Expression(expression) = &definition.rule {
                found.extend(
                    expression
                        .aggregates()
                        .into_iter()
                        .filter(|a| seen.insert(*a)),
                );
            }
            for reader in self.readers.of_name(&definition.name) {
                if reached.insert(*reader) {
                    open.insert(*reader);
                }
            }
        }
        found
    }

    /// Judges `first` and then what reads that of it which changed, and brings the
    /// record up to date: memberships, computed traits, and when time has to be looked
    /// at next.
    pub fn derive(
        &self,
        first: BTreeSet<u32>,
        extent: Extent,
        person: &impl Person,
        record: &mut Record,
        now_ms: i64,
    ) -> Changes {
        let mut changes = Changes::default();
        let mut dues = Dues::begin(record, extent, now_ms);
        if matches!(extent, Extent::Everything | Extent::Filling) {
            self.forget_undeclared(record, &mut changes, &mut dues);
        }
        let mut open = first;
        while let Some(number) = open.pop_first() {
            let Some(definition) = self.definition(number) else {
                continue;
            };
            let (answer, next_ms) = person.show(record, |scope| {
                (
                    answer(definition, record, scope),
                    next_change(definition, scope, now_ms),
                )
            });
            dues.judged(&definition.name, next_ms);
            if changes.take(definition, answer, record, now_ms) {
                open.extend(self.readers.of_name(&definition.name));
            }
        }
        dues.end(record, &mut changes);
        changes
    }

    /// Of one thing that is no longer declared, or of any.
    fn forget_undeclared(&self, record: &mut Record, changes: &mut Changes, dues: &mut Dues) {
        let gone: Vec<Name> = record
            .segments
            .keys()
            .map(|id| Name::Segment(id.as_str().into()))
            .chain(
                record
                    .computed
                    .keys()
                    .map(|id| Name::Trait(id.as_str().into())),
            )
            .filter(|name| self.number(name).is_none())
            .collect();
        for name in gone {
            dues.forget(&name);
            match name {
                Name::Segment(id) => {
                    record.segments.remove(&*id);
                    record.lists.remove(&*id);
                    changes.left.push(id);
                }
                Name::Trait(id) => {
                    record.computed.remove(&*id);
                    changes.traits.push(id);
                }
            }
        }
    }
}

/// What a definition comes to.
enum Answer {
    Member(bool),
    Value(Option<prost_types::Value>),
}

fn answer(definition: &Definition, record: &Record, scope: &dyn Scope) -> Answer {
    match (&definition.rule, &definition.name) {
        (Rule::List { born }, Name::Segment(id)) => Answer::Member(record.is_listed(id, *born)),
        (Rule::List { .. }, Name::Trait(_)) => Answer::Value(None),
        (Rule::Expression(expression), Name::Segment(_)) => {
            Answer::Member(expression.matches(scope))
        }
        (Rule::Expression(expression), Name::Trait(_)) => {
            Answer::Value(value::stored(&expression.value(scope)))
        }
    }
}

/// When time alone can next change it.
fn next_change(definition: &Definition, scope: &dyn Scope, now_ms: i64) -> Option<i64> {
    let Rule::Expression(expression) = &definition.rule else {
        return None;
    };
    if !expression.reads_time() {
        return None;
    }
    match expression.changes_at(scope) {
        Change::Never => None,
        // Never now or before, so that no fault can keep the timer busy.
        Change::At(ms) => Some(ms.max(now_ms.saturating_add(1))),
        Change::Unknown => Some(now_ms.saturating_add(LOOK_AGAIN_MS)),
    }
}

/// Whether it can be anything but absent of somebody of whom nothing is known.
fn is_judged_of_nobody(definition: &Definition, nobody: &impl Person) -> bool {
    let Rule::Expression(expression) = &definition.rule else {
        return false;
    };
    let reads = expression.reads();
    // What a purpose comes to by default, and the bucket, differ from person to person.
    if reads.person || reads.any_consent || !reads.consents.is_empty() {
        return true;
    }
    let record = Record::default();
    nobody.show(&record, |scope| {
        let is_absent = match answer(definition, &record, scope) {
            Answer::Member(is_member) => !is_member,
            Answer::Value(value) => value.is_none(),
        };
        !is_absent || next_change(definition, scope, scope.now_ms()).is_some()
    })
}

impl Changes {
    /// Notes an answer in the record; whether it is another than before.
    fn take(
        &mut self,
        definition: &Definition,
        answer: Answer,
        record: &mut Record,
        now_ms: i64,
    ) -> bool {
        match (&definition.name, answer) {
            (Name::Segment(id), Answer::Member(true)) => {
                let entered = !record.segments.contains_key(&**id);
                if entered {
                    record.segments.insert(id.to_string(), now_ms);
                    self.entered.push(id.clone());
                }
                entered
            }
            (Name::Segment(id), _) => {
                let left = record.segments.remove(&**id).is_some();
                if left {
                    self.left.push(id.clone());
                }
                left
            }
            (Name::Trait(id), Answer::Value(Some(value))) => {
                let changed = record.computed.get(&**id) != Some(&value);
                if changed {
                    record.computed.insert(id.to_string(), value);
                    self.traits.push(id.clone());
                }
                changed
            }
            (Name::Trait(id), _) => {
                let changed = record.computed.remove(&**id).is_some();
                if changed {
                    self.traits.push(id.clone());
                }
                changed
            }
        }
    }
}

#[cfg(test)]
mod tests;
