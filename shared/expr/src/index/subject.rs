//! What one subject has of the attributes: asked of the scope when the index first wants
//! to know, and once, however many expressions read it. Holds ordinals only, in memory
//! that the next subject reuses.

use std::ops::ControlFlow;

use super::{
    accepts::{self, Ordinal},
    names::{Ask, Attribute, AttributeId, Attributes, Like, Part, UNKNOWN_TEXT, View},
};
use crate::{
    eval,
    scope::Scope,
    value::{Value, parse_time},
};

/// A subject's value of one attribute.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Known {
    Missing,
    /// Of another kind than it is read as.
    Unlike,
    One(Ordinal),
    /// A part of [`Memory::ordinals`].
    Many {
        start: u32,
        len: u32,
    },
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// The subject it is about.
    turn: u32,
    known: Known,
}

/// What is reused from subject to subject.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    slots: Vec<Slot>,
    ordinals: Vec<Ordinal>,
    turn: u32,
}

/// One subject being matched.
pub(crate) struct Subject<'s> {
    attributes: &'s Attributes,
    scope: &'s dyn Scope,
    memory: &'s mut Memory,
}

impl<'s> Subject<'s> {
    pub fn new(attributes: &'s Attributes, scope: &'s dyn Scope, memory: &'s mut Memory) -> Self {
        memory.ordinals.clear();
        memory.turn = match memory.turn.checked_add(1) {
            Some(turn) => turn,
            None => {
                memory.slots.clear();
                1
            }
        };
        if memory.slots.len() < attributes.len() {
            let never = Slot {
                turn: 0,
                known: Known::Missing,
            };
            memory.slots.resize(attributes.len(), never);
        }
        Self {
            attributes,
            scope,
            memory,
        }
    }

    #[inline]
    pub fn known(&mut self, id: AttributeId) -> Known {
        match self.memory.slots.get(id as usize) {
            Some(slot) if slot.turn == self.memory.turn => slot.known,
            _ => self.ask(id),
        }
    }

    /// Whether the tree of a truth holds.
    pub fn holds(&mut self, id: AttributeId) -> bool {
        matches!(self.known(id), Known::One(1))
    }

    #[inline]
    pub fn ordinals(&self, start: u32, len: u32) -> &[Ordinal] {
        let (start, len) = (start as usize, len as usize);
        self.memory.ordinals.get(start..start + len).unwrap_or(&[])
    }

    #[cold]
    fn ask(&mut self, id: AttributeId) -> Known {
        let attribute = self.attributes.get(id as usize).and_then(Option::as_ref);
        let known = attribute.map_or(Known::Missing, |attribute| {
            read(attribute, self.scope, &mut self.memory.ordinals)
        });
        if let Some(slot) = self.memory.slots.get_mut(id as usize) {
            *slot = Slot {
                turn: self.memory.turn,
                known,
            };
        }
        known
    }
}

fn read(attribute: &Attribute, scope: &dyn Scope, ordinals: &mut Vec<Ordinal>) -> Known {
    let Ask { node, view } = &*attribute.ask;
    let start = ordinals.len();
    match view {
        View::Truth => return Known::One(u64::from(eval::holds(node, scope))),
        View::Presence => {
            return match eval::value(node, scope) {
                Value::Missing => Known::Missing,
                _ => Known::One(0),
            };
        }
        View::One(like) => {
            return match eval::value(node, scope) {
                Value::Missing => Known::Missing,
                value => ordinal(&value, *like, attribute).map_or(Known::Unlike, Known::One),
            };
        }
        View::Each(like) => elements(&eval::value(node, scope), *like, attribute, ordinals),
        View::Parts(part) => match (eval::value(node, scope), part) {
            (Value::Text(text), part) => parts(&text, *part, attribute, ordinals),
            (list, Part::Inside) => elements(&list, Like::Text, attribute, ordinals),
            _ => {}
        },
    }
    Known::Many {
        start: start as u32,
        len: (ordinals.len() - start) as u32,
    }
}

fn ordinal(value: &Value<'_>, like: Like, attribute: &Attribute) -> Option<Ordinal> {
    match (like, value) {
        (Like::Text, Value::Text(text)) => {
            let known = attribute.texts.get(text.as_ref());
            Some(known.copied().unwrap_or(UNKNOWN_TEXT))
        }
        (Like::Number, Value::Int(n)) => accepts::of_number(*n as f64),
        (Like::Number, Value::Uint(n)) => accepts::of_number(*n as f64),
        (Like::Number, Value::Number(n)) => accepts::of_number(*n),
        (Like::Bool, Value::Bool(b)) => Some(u64::from(*b)),
        (Like::Time, Value::Time(ms)) | (Like::Duration, Value::Duration(ms)) => {
            Some(accepts::of_signed(*ms))
        }
        (Like::Time, Value::Text(text)) => parse_time(text).map(accepts::of_signed),
        _ => None,
    }
}

fn elements(list: &Value<'_>, like: Like, attribute: &Attribute, ordinals: &mut Vec<Ordinal>) {
    let mut take = |element: &Value<'_>| {
        if let Some(ordinal) = ordinal(element, like, attribute)
            && !(like == Like::Text && ordinal == UNKNOWN_TEXT)
        {
            ordinals.push(ordinal);
        }
    };
    match list {
        Value::Texts(texts) => texts.iter().for_each(|text| take(&Value::text(text))),
        Value::Protos(values) => values.iter().for_each(|value| take(&Value::from(value))),
        other => {
            other.visit(|element| {
                take(&element);
                ControlFlow::Continue(())
            });
        }
    }
}

fn parts(text: &str, part: Part, attribute: &Attribute, ordinals: &mut Vec<Ordinal>) {
    let known = &attribute.texts;
    let lengths = attribute
        .lengths
        .iter()
        .take_while(|length| **length <= text.len());
    // A length that ends within a character is no text's beginning or end.
    match part {
        Part::Inside => {
            let inside = known.iter().filter(|(known, _)| text.contains(&***known));
            ordinals.extend(inside.map(|(_, ordinal)| *ordinal));
        }
        Part::Start => {
            let starts = lengths.filter_map(|length| known.get(text.get(..*length)?));
            ordinals.extend(starts);
        }
        Part::End => {
            let ends = lengths.filter_map(|length| known.get(text.get(text.len() - length..)?));
            ordinals.extend(ends);
        }
    }
}
