//! Judges a checked expression over a scope. Total and bounded: no step fails, loops run
//! over lists and events that the scope already holds, and a budget of steps ends what
//! would run long.

mod arithmetic;
mod course;
mod fold;
mod history;
mod line;
mod macros;

use std::{cell::Cell, cmp::Ordering};

pub(crate) use course::changes_at;
pub(crate) use history::{accepts, answer_changes_at};

use crate::{
    functions::{Function, anniversary_within},
    history::EventRef,
    node::{Comparison, Literal, Load, Node},
    scope::Scope,
    value::{Value, parse_duration},
    vocabulary::ContextField,
};

/// What a judgement may cost. Only what runs in loops is counted: one for each node
/// that is judged for an element or an event, and one for each element passed by.
pub(crate) const STEPS_MAX: u32 = 100_000;

const BUCKETS: u64 = 10_000;

pub(crate) fn holds(node: &Node, scope: &dyn Scope) -> bool {
    let steps = Cell::new(STEPS_MAX);
    Frame::new(scope, &steps).holds(node)
}

pub(crate) fn value<'a>(node: &'a Node, scope: &'a dyn Scope) -> Value<'a> {
    let steps = Cell::new(STEPS_MAX);
    Frame::new(scope, &steps).value(node)
}

/// What names mean at one point of the judgement.
#[derive(Clone, Copy)]
struct Frame<'f, 'a> {
    scope: &'a dyn Scope,
    /// Steps that are left.
    steps: &'f Cell<u32>,
    /// The innermost variable.
    bound: Option<&'f Bound<'f, 'a>>,
}

/// A macro's variable during one round.
struct Bound<'f, 'a> {
    level: u8,
    held: Held<'a>,
    outer: Option<&'f Bound<'f, 'a>>,
}

enum Held<'a> {
    Value(Value<'a>),
    Event(EventRef<'a>),
}

impl<'f, 'a> Frame<'f, 'a> {
    fn new(scope: &'a dyn Scope, steps: &'f Cell<u32>) -> Self {
        Self {
            scope,
            steps,
            bound: None,
        }
    }

    /// Takes steps from the budget; false if it is used up.
    fn take(&self, steps: usize) -> bool {
        let taken = u32::try_from(steps).unwrap_or(u32::MAX);
        let left = self.steps.get();
        self.steps.set(left.saturating_sub(taken));
        left >= taken
    }

    /// Whether a node may be judged; free outside of loops.
    fn may_go_on(&self) -> bool {
        self.bound.is_none() || self.take(1)
    }

    fn holds(&self, node: &'a Node) -> bool {
        if !self.may_go_on() {
            return false;
        }
        match node {
            Node::And(nodes) => nodes.iter().all(|node| self.holds(node)),
            Node::Or(nodes) => nodes.iter().any(|node| self.holds(node)),
            Node::Not(node) => !self.holds(node),
            Node::Has(node) => !self.value(node).is_missing(),
            Node::Compare(comparison, left, right) => {
                compare(*comparison, &self.value(left), &self.value(right))
            }
            Node::In(needle, list) => self.is_in(needle, list),
            Node::Matches(text, pattern) => self
                .value(text)
                .as_text()
                .is_some_and(|text| self.take(text.len() / 64) && pattern.0.is_match(text)),
            Node::Quantify(quantifier, list, test) => self.quantify(*quantifier, list, test),
            Node::AtLeast(least, nodes) => self.at_least(*least, nodes),
            Node::Conditional(parts) => self.holds(self.branch(parts)),
            _ => self.value(node).holds(),
        }
    }

    fn value(&self, node: &'a Node) -> Value<'a> {
        match node {
            Node::Literal(literal) => literal_value(literal),
            Node::Load(load) => self.load(load),
            _ if !self.may_go_on() => Value::Missing,
            Node::Member(of, name) => self.value(of).member(name),
            Node::Index(of, index) => self.value(of).index(&self.value(index)),
            Node::List(nodes) => Value::List(nodes.iter().map(|node| self.value(node)).collect()),
            Node::Map(entries) => self.map(entries),
            Node::Conditional(parts) => self.value(self.branch(parts)),
            Node::Arithmetic(operator, left, right) => {
                self.arithmetic(*operator, &self.value(left), &self.value(right))
            }
            Node::Negate(of) => arithmetic::negate(&self.value(of)),
            Node::Call(function, arguments) => self.call(*function, arguments),
            Node::Filter(list, test) => self.filter(list, test),
            Node::Transform(list, test, result) => self.transform(list, test.as_deref(), result),
            Node::Aggregate(aggregate) => self.aggregate(aggregate),
            Node::And(_)
            | Node::Or(_)
            | Node::Not(_)
            | Node::Has(_)
            | Node::Compare(..)
            | Node::In(..)
            | Node::Matches(..)
            | Node::AtLeast(..)
            | Node::Quantify(..) => Value::Bool(self.holds(node)),
        }
    }

    fn branch(&self, parts: &'a [Node; 3]) -> &'a Node {
        let [condition, then, otherwise] = parts;
        if self.holds(condition) {
            then
        } else {
            otherwise
        }
    }

    fn load(&self, load: &'a Load) -> Value<'a> {
        match load {
            Load::Profile(name) => self.scope.profile(name),
            Load::Segments => self.scope.segments(),
            Load::Context(field) => self.scope.context(*field),
            Load::Item(field) => self.scope.item(*field),
            Load::Characteristic(name) => self.scope.characteristic(name),
            Load::Now => Value::Time(self.scope.now_ms()),
            Load::Bound(name) => self.scope.variable(name),
            Load::Variable(level) => match self.held(*level) {
                Some(Held::Value(value)) => value.clone(),
                _ => Value::Missing,
            },
            Load::Event(level, field) => match self.held(*level) {
                Some(Held::Event(event)) => event.field(field),
                _ => Value::Missing,
            },
        }
    }

    fn held(&self, level: u8) -> Option<&'f Held<'a>> {
        let mut bound = self.bound;
        while let Some(this) = bound {
            if this.level == level {
                return Some(&this.held);
            }
            bound = this.outer;
        }
        None
    }

    fn is_in(&self, needle: &'a Node, list: &'a Node) -> bool {
        let needle = self.value(needle);
        match list {
            Node::Load(Load::Segments) => needle
                .as_text()
                .is_some_and(|segment| self.scope.in_segment(segment)),
            // Judged in place: a list written out costs no allocation.
            Node::List(nodes) => nodes.iter().any(|node| self.value(node).equals(&needle)),
            _ => {
                let list = self.value(list);
                self.take(list.len().unwrap_or(0)) && list.contains(&needle)
            }
        }
    }

    fn at_least(&self, least: u32, nodes: &'a [Node]) -> bool {
        let mut wanted = least;
        for node in nodes {
            if wanted > 0 && self.holds(node) {
                wanted -= 1;
            }
        }
        wanted == 0
    }

    /// Missing if a key is missing, no key at all, or there twice, as CEL has it.
    fn map(&self, entries: &'a [(Node, Node)]) -> Value<'a> {
        let mut pairs: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let key = self.value(key);
            let is_key = matches!(
                key,
                Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Text(_)
            );
            if !is_key || pairs.iter().any(|(known, _)| known.equals(&key)) {
                return Value::Missing;
            }
            pairs.push((key, self.value(value)));
        }
        Value::Map(pairs.into())
    }

    fn call(&self, function: Function, arguments: &'a [Node]) -> Value<'a> {
        let argument = |i: usize| arguments.get(i).map_or(Value::Missing, |n| self.value(n));
        match function {
            Function::Consent => self.of_text(argument(0), |purpose| {
                Value::Bool(self.scope.consent(purpose))
            }),
            Function::Subscribed => self.of_text(argument(0), |group| {
                Value::Bool(self.scope.subscribed(group))
            }),
            Function::Bucket => self.of_text(argument(0), |salt| {
                Value::Int(bucket(self.scope.subject_key(), salt))
            }),
            Function::Anniversary => self.anniversary(&argument(0), &argument(1)),
            _ if function.is_fold() => function.fold((0..arguments.len()).map(argument)),
            _ => {
                let values = [argument(0), argument(1), argument(2), argument(3)];
                if self.bound.is_some() && !self.take(values.iter().map(weight).sum()) {
                    return Value::Missing;
                }
                function.compute(values, arguments.len())
            }
        }
    }

    fn of_text(&self, text: Value<'a>, answer: impl Fn(&str) -> Value<'static>) -> Value<'a> {
        text.as_text().map_or(Value::Missing, answer)
    }

    fn anniversary(&self, date: &Value<'_>, ahead: &Value<'_>) -> Value<'a> {
        let ahead_ms = match ahead {
            Value::Text(text) => parse_duration(text),
            Value::Duration(ms) => Some(*ms),
            _ => None,
        };
        let zone = self.scope.context(ContextField::TimeZone);
        ahead_ms
            .and_then(|ahead| anniversary_within(date, ahead, self.scope.now_ms(), zone.as_text()))
            .map_or(Value::Missing, Value::Bool)
    }
}

/// Steps that a function's work on a value counts for.
fn weight(value: &Value<'_>) -> usize {
    match value {
        Value::Text(text) => text.len() / 64,
        other => other.len().unwrap_or(0),
    }
}

/// 0 to 9999, the same for the same person and salt on every machine and version.
fn bucket(subject_key: &str, salt: &str) -> i64 {
    let mut hasher = blake3::Hasher::new();
    // The length keeps ("ab", "c") apart from ("a", "bc").
    hasher.update(&(salt.len() as u64).to_le_bytes());
    hasher.update(salt.as_bytes());
    hasher.update(subject_key.as_bytes());
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    (u64::from_le_bytes(first) % BUCKETS) as i64
}

fn literal_value(literal: &Literal) -> Value<'_> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(b) => Value::Bool(*b),
        Literal::Int(n) => Value::Int(*n),
        Literal::Uint(n) => Value::Uint(*n),
        Literal::Number(n) => Value::Number(*n),
        Literal::Text(text) => Value::text(text),
        Literal::Bytes(bytes) => Value::Bytes((&**bytes).into()),
        Literal::Time(ms) => Value::Time(*ms),
        Literal::Duration(ms) => Value::Duration(*ms),
        Literal::Version(version) => Value::Version(version.clone()),
        Literal::Type(name) => Value::Type(*name),
    }
}

pub(crate) fn compare(comparison: Comparison, left: &Value<'_>, right: &Value<'_>) -> bool {
    if left.is_missing() || right.is_missing() {
        return false;
    }
    match comparison {
        Comparison::Equal => left.equals(right),
        Comparison::NotEqual => !left.equals(right),
        Comparison::Less => left.compare(right).is_some_and(Ordering::is_lt),
        Comparison::LessOrEqual => left.compare(right).is_some_and(Ordering::is_le),
        Comparison::Greater => left.compare(right).is_some_and(Ordering::is_gt),
        Comparison::GreaterOrEqual => left.compare(right).is_some_and(Ordering::is_ge),
    }
}
