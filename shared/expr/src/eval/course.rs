//! What becomes of a judgement as time goes by and nothing else changes: until when
//! values stay as they are, and when times and durations that move with the clock pass
//! what they are compared with. Says too early rather than too late. What it cannot
//! tell is what `motion` refuses, and nothing more but where the budget ends.

use std::cell::Cell;

use super::{
    Frame, Held, STEPS_MAX, compare,
    line::{Line, LineKind, Ranged},
};
use crate::{
    functions::{Function, PartSpan, anniversary_changes_ms},
    history::Change,
    node::{Comparison, Load, Node, Operator, Quantifier},
    scope::Scope,
    value::{TypeName, Value, parse_duration},
    vocabulary::ContextField,
};

/// How a value goes on.
enum Course<'a> {
    /// It stays until then.
    Fixed(Value<'a>, Change),
    /// It moves evenly until then.
    Moving(Line, Change),
    Unknown,
}

/// When time alone can next change what a condition or a value comes to.
pub(crate) fn changes_at(node: &Node, scope: &dyn Scope) -> Change {
    let steps = Cell::new(STEPS_MAX);
    let change = match Frame::new(scope, &steps).course(node) {
        Course::Fixed(_, until) => until,
        Course::Moving(..) | Course::Unknown => Change::Unknown,
    };
    if steps.get() == 0 {
        return Change::Unknown;
    }
    match change {
        // What is due already is due at once.
        Change::At(ms) => Change::At(ms.max(scope.now_ms().saturating_add(1))),
        other => other,
    }
}

impl<'a> Course<'a> {
    /// The value as it is now.
    fn now(self) -> Value<'a> {
        match self {
            Self::Fixed(value, _) => value,
            Self::Moving(line, _) => line.value(),
            Self::Unknown => Value::Missing,
        }
    }

    fn until(&self) -> Change {
        match self {
            Self::Fixed(_, until) | Self::Moving(_, until) => *until,
            Self::Unknown => Change::Unknown,
        }
    }
}

impl<'a> Frame<'_, 'a> {
    /// Whether a condition holds, and until when it stays so.
    pub(super) fn truth(&self, node: &'a Node) -> (bool, Change) {
        match self.course(node) {
            Course::Fixed(value, until) => (value.holds(), until),
            // A time is no truth, whichever it is.
            Course::Moving(..) => (false, Change::Never),
            Course::Unknown => (self.holds(node), Change::Unknown),
        }
    }

    fn course(&self, node: &'a Node) -> Course<'a> {
        if !node.reads_time() {
            return Course::Fixed(self.value(node), Change::Never);
        }
        match node {
            Node::Load(load) => self.clock(load),
            Node::And(nodes) => self.some_of(nodes.len(), nodes.iter().map(|n| self.truth(n))),
            Node::Or(nodes) => self.some_of(1, nodes.iter().map(|n| self.truth(n))),
            Node::AtLeast(least, nodes) => {
                self.some_of(*least as usize, nodes.iter().map(|n| self.truth(n)))
            }
            Node::Not(of) => {
                let (holds, until) = self.truth(of);
                Course::Fixed(Value::Bool(!holds), until)
            }
            Node::Has(of) => {
                let course = self.course(of);
                let until = course.until();
                Course::Fixed(Value::Bool(!course.now().is_missing()), until)
            }
            Node::Compare(comparison, left, right) => self.comparison(*comparison, left, right),
            Node::Conditional(parts) => {
                let [condition, then, otherwise] = &**parts;
                let (holds, until) = self.truth(condition);
                self.course(if holds { then } else { otherwise })
                    .until_at_most(until)
            }
            Node::Arithmetic(operator, left, right) => self.reckoning(*operator, left, right),
            Node::Negate(of) => match self.course(of) {
                Course::Moving(line, until) => match line.negated() {
                    Some(line) => self.in_range(&line, until),
                    None => Course::Fixed(Value::Missing, until),
                },
                _ => self.of_fixed(node),
            },
            Node::Call(function, arguments) => self.called(node, *function, arguments),
            Node::Aggregate(aggregate) => {
                let (answer, until) = self.answer_with_change(aggregate);
                Course::Fixed(answer, until)
            }
            Node::Quantify(quantifier, list, test) => self.rounds(node, *quantifier, list, test),
            Node::Filter(list, test) => self.each_round(node, list, &[test]),
            Node::Transform(list, test, result) => match test {
                Some(test) => self.each_round(node, list, &[test, result]),
                None => self.each_round(node, list, &[result]),
            },
            _ => self.of_fixed(node),
        }
    }

    fn clock(&self, load: &'a Load) -> Course<'a> {
        match self.load(load) {
            Value::Time(ms) => {
                let kind = LineKind::Time;
                Course::Moving(Line { kind, ms, slope: 1 }, Change::Never)
            }
            other => Course::Fixed(other, Change::Never),
        }
    }

    /// What all parts of a node that stay make of it.
    fn of_fixed(&self, node: &'a Node) -> Course<'a> {
        let mut until = Change::Never;
        node.each_child(&mut |child| {
            until = until.min(match self.course(child) {
                Course::Fixed(_, until) => until,
                Course::Moving(..) | Course::Unknown => Change::Unknown,
            });
        });
        match until {
            Change::Unknown => Course::Unknown,
            until => Course::Fixed(self.value(node), until),
        }
    }

    /// At least so many hold for as long as so many of those that do; fewer for as long
    /// as enough of the others do not.
    fn some_of(&self, least: usize, truths: impl Iterator<Item = (bool, Change)>) -> Course<'a> {
        let (holding, failing): (Vec<_>, Vec<_>) = truths.partition(|(holds, _)| *holds);
        let holds = holding.len() >= least;
        let all = holding.len() + failing.len();
        let (deciding, needed) = match holds {
            true => (holding, least),
            false => (failing, (all + 1).saturating_sub(least)),
        };
        let mut untils: Vec<_> = deciding.into_iter().map(|(_, until)| until).collect();
        untils.sort_unstable_by(|a, b| b.cmp(a));
        let until = match needed.checked_sub(1) {
            // Nothing can make it otherwise.
            None => Change::Never,
            Some(last) => untils.get(last).copied().unwrap_or(Change::Never),
        };
        Course::Fixed(Value::Bool(holds), until)
    }

    fn comparison(&self, comparison: Comparison, left: &'a Node, right: &'a Node) -> Course<'a> {
        let decided = |holds, until| Course::Fixed(Value::Bool(holds), until);
        // An answer may change often before it passes what it is compared with.
        if let Node::Aggregate(aggregate) = left
            && let Course::Fixed(value, until) = self.course(right)
        {
            let test = |answer: &Value<'_>| compare(comparison, answer, &value);
            let answer = self.aggregate(aggregate);
            return decided(
                test(&answer),
                self.answer_passes_until(aggregate, &test).min(until),
            );
        }
        if let Node::Aggregate(aggregate) = right
            && let Course::Fixed(value, until) = self.course(left)
        {
            let test = |answer: &Value<'_>| compare(comparison, &value, answer);
            let answer = self.aggregate(aggregate);
            return decided(
                test(&answer),
                self.answer_passes_until(aggregate, &test).min(until),
            );
        }
        let (left, right) = (self.course(left), self.course(right));
        let until = left.until().min(right.until());
        let lines = match (&left, &right) {
            (Course::Unknown, _) | (_, Course::Unknown) => return Course::Unknown,
            (Course::Moving(a, _), Course::Moving(b, _)) => Some((*a, *b)),
            (Course::Moving(a, _), Course::Fixed(b, _)) => Line::of(b, a.kind).map(|b| (*a, b)),
            (Course::Fixed(a, _), Course::Moving(b, _)) => Line::of(a, b.kind).map(|a| (a, *b)),
            (Course::Fixed(..), Course::Fixed(..)) => None,
        };
        let passes = match lines {
            Some((a, b)) if a.kind == b.kind => self.after(a.turns_after(comparison, b)),
            // Of different kinds, they compare alike whatever they are.
            _ => Change::Never,
        };
        decided(
            compare(comparison, &left.now(), &right.now()),
            until.min(passes),
        )
    }

    fn after(&self, ms: Option<i128>) -> Change {
        let now_ms = i128::from(self.scope.now_ms());
        let at_ms = ms.and_then(|ms| i64::try_from(now_ms.saturating_add(ms)).ok());
        at_ms.map_or(Change::Never, Change::At)
    }

    fn reckoning(&self, operator: Operator, left: &'a Node, right: &'a Node) -> Course<'a> {
        let (left, right) = (self.course(left), self.course(right));
        let until = left.until().min(right.until());
        let line_of = |course: &Course<'_>| match course {
            Course::Moving(line, _) => Some(*line),
            Course::Fixed(value, _) => Line::of(value, LineKind::Duration),
            Course::Unknown => None,
        };
        let is_moving = match (&left, &right) {
            (Course::Unknown, _) | (_, Course::Unknown) => return Course::Unknown,
            (left, right) => {
                matches!(left, Course::Moving(..)) || matches!(right, Course::Moving(..))
            }
        };
        let lines = line_of(&left).zip(line_of(&right)).filter(|_| is_moving);
        match lines.and_then(|(left, right)| Line::reckon(operator, left, right)) {
            Some(line) => self.in_range(&line, until),
            // Values that stay, or do not go together wherever they move.
            None => {
                let value = self.arithmetic(operator, &left.now(), &right.now());
                Course::Fixed(value, until)
            }
        }
    }

    fn in_range(&self, line: &Ranged, until: Change) -> Course<'a> {
        let until = until.min(self.after(line.crosses_after()));
        match line.line() {
            Some(line) if line.slope != 0 => Course::Moving(line, until),
            Some(line) => Course::Fixed(line.value(), until),
            None => Course::Fixed(Value::Missing, until),
        }
    }

    fn called(&self, node: &'a Node, function: Function, arguments: &'a [Node]) -> Course<'a> {
        let first = match arguments.first() {
            Some(first) => self.course(first),
            None => return self.of_fixed(node),
        };
        if function == Function::Anniversary {
            return self.anniversary_course(node);
        }
        let Course::Moving(line, until) = first else {
            return self.of_fixed(node);
        };
        match function {
            Function::Dyn => Course::Moving(line, until),
            Function::Convert(TypeName::Time) if line.kind == LineKind::Time => {
                Course::Moving(line, until)
            }
            Function::Convert(TypeName::Duration) if line.kind == LineKind::Duration => {
                Course::Moving(line, until)
            }
            Function::Convert(TypeName::Time | TypeName::Duration) => {
                Course::Fixed(Value::Missing, until)
            }
            Function::Type => Course::Fixed(self.value(node), until),
            Function::Clock(part) if part.is_coarse() => {
                let zone = match arguments.get(1).map(|zone| self.course(zone)) {
                    None => None,
                    Some(Course::Fixed(zone, until)) => Some((zone, until)),
                    Some(_) => return Course::Unknown,
                };
                let (zone, until) = match zone {
                    None => (None, until),
                    Some((zone, zone_until)) => (Some(zone), until.min(zone_until)),
                };
                let span = match line.kind {
                    LineKind::Duration => PartSpan::of_duration(part, line.ms),
                    LineKind::Time => PartSpan::of_time(part, line.ms, zone.as_ref()),
                };
                let leaves = self.after(span.and_then(|span| line.leaves_after(span)));
                Course::Fixed(self.value(node), until.min(leaves))
            }
            _ => Course::Unknown,
        }
    }

    fn anniversary_course(&self, node: &'a Node) -> Course<'a> {
        let Node::Call(_, arguments) = node else {
            return Course::Unknown;
        };
        let mut until = Change::Never;
        let mut values = Vec::with_capacity(2);
        for argument in arguments {
            match self.course(argument) {
                Course::Fixed(value, change) => {
                    until = until.min(change);
                    values.push(value);
                }
                Course::Moving(..) | Course::Unknown => return Course::Unknown,
            }
        }
        let ahead_ms = match values.get(1) {
            Some(Value::Text(text)) => parse_duration(text),
            Some(Value::Duration(ms)) => Some(*ms),
            _ => None,
        };
        let zone = self.scope.context(ContextField::TimeZone);
        let changes = ahead_ms.zip(values.first()).and_then(|(ahead_ms, date)| {
            anniversary_changes_ms(date, ahead_ms, self.scope.now_ms(), zone.as_text())
        });
        let changes = changes.map_or(Change::Never, Change::At);
        Course::Fixed(self.value(node), until.min(changes))
    }

    fn rounds(
        &self,
        node: &'a Node,
        quantifier: Quantifier,
        list: &'a Node,
        test: &'a Node,
    ) -> Course<'a> {
        let Some((elements, until)) = self.elements(list) else {
            return Course::Unknown;
        };
        let mut truths = Vec::with_capacity(elements.len());
        for element in elements {
            if !self.take(1) {
                return Course::Unknown;
            }
            truths.push(self.with(Held::Value(element), |frame| frame.truth(test)));
        }
        let tests_until = match quantifier {
            Quantifier::Exists => self.some_of(1, truths.into_iter()).until(),
            Quantifier::All => self.some_of(truths.len(), truths.into_iter()).until(),
            Quantifier::ExistsOne => truths
                .iter()
                .map(|(_, until)| *until)
                .min()
                .unwrap_or(until),
        };
        Course::Fixed(Value::Bool(self.holds(node)), until.min(tests_until))
    }

    /// A macro whose result is made of what comes of each element.
    fn each_round(&self, node: &'a Node, list: &'a Node, bodies: &[&'a Node]) -> Course<'a> {
        let Some((elements, mut until)) = self.elements(list) else {
            return Course::Unknown;
        };
        for element in elements {
            if !self.take(1) {
                return Course::Unknown;
            }
            self.with(Held::Value(element), |frame| {
                for body in bodies {
                    until = until.min(match frame.course(body) {
                        Course::Fixed(_, change) => change,
                        Course::Moving(..) | Course::Unknown => Change::Unknown,
                    });
                }
            });
        }
        match until {
            Change::Unknown => Course::Unknown,
            until => Course::Fixed(self.value(node), until),
        }
    }

    /// Of a list that stays, or of something that is none.
    fn elements(&self, list: &'a Node) -> Option<(Vec<Value<'a>>, Change)> {
        match self.course(list) {
            Course::Fixed(list, until) => Some((list.elements().unwrap_or_default(), until)),
            Course::Moving(..) | Course::Unknown => None,
        }
    }
}

impl<'a> Course<'a> {
    fn until_at_most(self, most: Change) -> Self {
        match (self, most) {
            (_, Change::Unknown) | (Self::Unknown, _) => Self::Unknown,
            (Self::Fixed(value, until), most) => Self::Fixed(value, until.min(most)),
            (Self::Moving(line, until), most) => Self::Moving(line, until.min(most)),
        }
    }
}
