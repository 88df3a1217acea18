//! What an expression reads, so that whoever keeps its answer up to date judges it again
//! when that changes and at no other time. Says more rather than less.

use std::collections::BTreeSet;

use crate::{
    Expression,
    functions::Function,
    node::{Literal, Load, Node},
    vocabulary::ContextField,
};

/// What an expression reads. What it does not name here cannot change its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads<'e> {
    pub traits: BTreeSet<&'e str>,
    /// Types of events in its questions about the history.
    pub event_types: BTreeSet<&'e str>,
    pub segments: BTreeSet<&'e str>,
    /// It reads segments that it does not name, as `size(segments)` does.
    pub any_segment: bool,
    /// Purposes of consent.
    pub consents: BTreeSet<&'e str>,
    /// It works out a purpose, or a group, as it is judged.
    pub any_consent: bool,
    /// Subscription groups.
    pub groups: BTreeSet<&'e str>,
    pub any_group: bool,
    /// The request's situation.
    pub context: bool,
    /// What of it is named, besides the time.
    pub situation: BTreeSet<&'static str>,
    pub item: bool,
    /// Who the person is: what `bucket` hashes.
    pub person: bool,
    /// The clock: time alone can change its answer.
    pub time: bool,
    /// Names that whoever judges gives values.
    pub variables: BTreeSet<&'e str>,
}

impl Expression {
    pub fn reads(&self) -> Reads<'_> {
        let mut reads = Reads {
            segments: self.segments_named(),
            any_segment: self.reads_any_segment(),
            time: self.reads_time(),
            ..Reads::default()
        };
        self.root().walk(&mut |node| match node {
            Node::Load(load) => reads.add_load(load),
            Node::Call(function, arguments) => reads.add_call(*function, arguments),
            Node::Aggregate(aggregate) => reads.event_types.extend(aggregate.event_types()),
            _ => {}
        });
        reads
    }
}

impl<'e> Reads<'e> {
    fn add_load(&mut self, load: &'e Load) {
        match load {
            Load::Profile(name) => {
                self.traits.insert(name);
            }
            Load::Context(field) => {
                self.context = true;
                if *field != ContextField::Time {
                    self.situation.insert(field.name());
                }
            }
            Load::Item(_) | Load::Characteristic(_) => self.item = true,
            Load::Bound(name) => {
                self.variables.insert(name);
            }
            // Told above, or part of what holds them.
            Load::Segments | Load::Now | Load::Variable(_) | Load::Event(..) => {}
        }
    }

    fn add_call(&mut self, function: Function, arguments: &'e [Node]) {
        let (named, any) = match function {
            Function::Consent => (&mut self.consents, &mut self.any_consent),
            Function::Subscribed => (&mut self.groups, &mut self.any_group),
            // In the time zone of the situation.
            Function::Anniversary => {
                self.context = true;
                return;
            }
            Function::Bucket => {
                self.person = true;
                return;
            }
            _ => return,
        };
        match arguments {
            [Node::Literal(Literal::Text(text))] => {
                named.insert(text);
            }
            _ => *any = true,
        }
    }
}
