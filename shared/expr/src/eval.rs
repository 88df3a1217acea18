//! Judges a checked expression over a scope. Total and bounded: no step fails, and the
//! only loops run over lists the scope already holds.

use std::{borrow::Cow, cmp::Ordering};

use crate::{
    functions::parse_duration,
    node::{Comparison, Function, Literal, Load, Node, Operator, Quantifier},
    scope::Scope,
    value::{Value, parse_time},
};

const BUCKETS: u64 = 10_000;

pub(crate) fn holds(node: &Node, scope: &dyn Scope) -> bool {
    Frame {
        scope,
        variable: None,
    }
    .holds(node)
}

pub(crate) fn value<'a>(node: &'a Node, scope: &'a dyn Scope) -> Value<'a> {
    Frame {
        scope,
        variable: None,
    }
    .value(node)
}

/// What names mean at one point of the judgement.
struct Frame<'a> {
    scope: &'a dyn Scope,
    variable: Option<Value<'a>>,
}

impl<'a> Frame<'a> {
    fn holds(&self, node: &'a Node) -> bool {
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
                .is_some_and(|text| pattern.is_match(text)),
            Node::Quantify(quantifier, list, test) => self.quantify(*quantifier, list, test),
            Node::Conditional(parts) => {
                let [condition, then, otherwise] = &**parts;
                self.holds(if self.holds(condition) {
                    then
                } else {
                    otherwise
                })
            }
            _ => self.value(node).holds(),
        }
    }

    fn value(&self, node: &'a Node) -> Value<'a> {
        match node {
            Node::Literal(literal) => literal_value(literal),
            Node::Load(load) => self.load(load),
            Node::Member(of, name) => self.value(of).member(name),
            Node::Index(of, index) => self.value(of).index(&self.value(index)),
            Node::List(nodes) => Value::List(nodes.iter().map(|node| self.value(node)).collect()),
            Node::Conditional(parts) => {
                let [condition, then, otherwise] = &**parts;
                self.value(if self.holds(condition) {
                    then
                } else {
                    otherwise
                })
            }
            Node::Arithmetic(operator, left, right) => {
                arithmetic(*operator, self.value(left), self.value(right))
            }
            Node::Negate(of) => match self.value(of) {
                Value::Int(n) => n.checked_neg().map_or(Value::Missing, Value::Int),
                Value::Number(n) => Value::Number(-n),
                Value::Duration(ms) => Value::Duration(-ms),
                _ => Value::Missing,
            },
            Node::Call(function, arguments) => self.call(*function, arguments),
            Node::And(_)
            | Node::Or(_)
            | Node::Not(_)
            | Node::Has(_)
            | Node::Compare(..)
            | Node::In(..)
            | Node::Matches(..)
            | Node::Quantify(..) => Value::Bool(self.holds(node)),
        }
    }

    fn load(&self, load: &'a Load) -> Value<'a> {
        match load {
            Load::Profile(name) => self.scope.profile(name),
            Load::Segments => self.scope.segments(),
            Load::Context(field) => self.scope.context(*field),
            Load::Item(field) => self.scope.item(*field),
            Load::Characteristic(name) => self.scope.characteristic(name),
            Load::Variable => self.variable.clone().unwrap_or(Value::Missing),
        }
    }

    fn is_in(&self, needle: &'a Node, list: &'a Node) -> bool {
        let needle = self.value(needle);
        match list {
            Node::Load(Load::Segments) => needle
                .as_text()
                .is_some_and(|segment| self.scope.in_segment(segment)),
            // Judged in place: a list written out costs no allocation.
            Node::List(nodes) => nodes.iter().any(|node| self.value(node).equals(&needle)),
            _ => self.value(list).contains(&needle),
        }
    }

    fn quantify(&self, quantifier: Quantifier, list: &'a Node, test: &'a Node) -> bool {
        let Some(elements) = self.value(list).elements() else {
            return false;
        };
        let mut verdicts = elements.into_iter().map(|element| {
            Frame {
                scope: self.scope,
                variable: Some(element),
            }
            .holds(test)
        });
        match quantifier {
            Quantifier::Exists => verdicts.any(|holds| holds),
            Quantifier::All => verdicts.all(|holds| holds),
        }
    }

    fn call(&self, function: Function, arguments: &'a [Node]) -> Value<'a> {
        let argument = |i: usize| arguments.get(i).map_or(Value::Missing, |n| self.value(n));
        let first = argument(0);
        match function {
            Function::Size => first.size(),
            Function::Contains => Value::Bool(match &first {
                Value::Text(text) => argument(1)
                    .as_text()
                    .is_some_and(|part| text.contains(part)),
                list => list.contains(&argument(1)),
            }),
            Function::StartsWith => both_texts(&first, &argument(1), |a, b| a.starts_with(b)),
            Function::EndsWith => both_texts(&first, &argument(1), |a, b| a.ends_with(b)),
            Function::LowerAscii => match first {
                Value::Text(text) => Value::Text(Cow::Owned(text.to_ascii_lowercase())),
                _ => Value::Missing,
            },
            Function::Consent => Value::Bool(
                first
                    .as_text()
                    .is_some_and(|purpose| self.scope.consent(purpose)),
            ),
            Function::Bucket => first.as_text().map_or(Value::Missing, |salt| {
                Value::Int(bucket(self.scope.subject_key(), salt))
            }),
            Function::Timestamp => first
                .as_text()
                .and_then(parse_time)
                .map_or(Value::Missing, Value::Time),
            Function::Duration => first
                .as_text()
                .and_then(parse_duration)
                .map_or(Value::Missing, Value::Duration),
            Function::Hours => civil(&first, arguments.len(), &argument(1), |t| t.hour().into()),
            Function::DayOfWeek => civil(&first, arguments.len(), &argument(1), |t| {
                t.weekday().to_sunday_zero_offset().into()
            }),
        }
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
        Literal::Bool(b) => Value::Bool(*b),
        Literal::Int(n) => Value::Int(*n),
        Literal::Number(n) => Value::Number(*n),
        Literal::Text(text) => Value::text(text),
        Literal::Time(ms) => Value::Time(*ms),
        Literal::Duration(ms) => Value::Duration(*ms),
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

fn both_texts(left: &Value<'_>, right: &Value<'_>, test: fn(&str, &str) -> bool) -> Value<'static> {
    Value::Bool(match (left.as_text(), right.as_text()) {
        (Some(left), Some(right)) => test(left, right),
        _ => false,
    })
}

/// A part of a time as a clock on the wall shows it; UTC unless a zone is named.
fn civil(
    time: &Value<'_>,
    arguments: usize,
    zone: &Value<'_>,
    part: fn(&jiff::Zoned) -> i64,
) -> Value<'static> {
    let ms = match time {
        Value::Time(ms) => Some(*ms),
        Value::Text(text) => parse_time(text),
        _ => None,
    };
    let zone = match zone.as_text() {
        None if arguments < 2 => Some(jiff::tz::TimeZone::UTC),
        None => None,
        Some(name) => jiff::tz::TimeZone::get(name).ok(),
    };
    match (
        ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()),
        zone,
    ) {
        (Some(time), Some(zone)) => Value::Int(part(&time.to_zoned(zone))),
        _ => Value::Missing,
    }
}

/// Missing where the operands do not go together, or where the result would not fit.
fn arithmetic<'a>(operator: Operator, left: Value<'a>, right: Value<'a>) -> Value<'a> {
    use Value::{Duration, Int, Number, Text, Time};
    match (operator, left, right) {
        (_, Int(a), Int(b)) => integers(operator, a, b).map_or(Value::Missing, Int),
        (_, Int(a), Number(b)) => numbers(operator, a as f64, b),
        (_, Number(a), Int(b)) => numbers(operator, a, b as f64),
        (_, Number(a), Number(b)) => numbers(operator, a, b),
        (Operator::Add, Text(a), Text(b)) => Text(Cow::Owned(a.into_owned() + &b)),
        (Operator::Add, Time(a), Duration(b)) | (Operator::Add, Duration(a), Time(b)) => {
            a.checked_add(b).map_or(Value::Missing, Time)
        }
        (Operator::Subtract, Time(a), Duration(b)) => a.checked_sub(b).map_or(Value::Missing, Time),
        (Operator::Subtract, Time(a), Time(b)) => a.checked_sub(b).map_or(Value::Missing, Duration),
        (Operator::Add, Duration(a), Duration(b)) => {
            a.checked_add(b).map_or(Value::Missing, Duration)
        }
        (Operator::Subtract, Duration(a), Duration(b)) => {
            a.checked_sub(b).map_or(Value::Missing, Duration)
        }
        _ => Value::Missing,
    }
}

fn integers(operator: Operator, a: i64, b: i64) -> Option<i64> {
    match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide => a.checked_div(b),
        Operator::Remainder => a.checked_rem(b),
    }
}

fn numbers(operator: Operator, a: f64, b: f64) -> Value<'static> {
    let result = match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::Remainder => a % b,
    };
    if result.is_finite() {
        Value::Number(result)
    } else {
        Value::Missing
    }
}
