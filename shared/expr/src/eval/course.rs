//! What becomes of a judgement as time goes by and nothing else changes: until when
//! values stay as they are, and when times and durations that move with the clock pass
//! what they are compared with. Says too early rather than too late. What it cannot
//! tell is what `motion` refuses, and nothing more but where the budget ends.

use std::{cell::Cell, ops::RangeInclusive};

use super::{Frame, Held, STEPS_MAX, compare};
use crate::{
    functions::{Function, PartSpan, anniversary_changes_ms},
    history::Change,
    node::{Comparison, Load, Node, Operator, Quantifier},
    scope::Scope,
    value::{DURATION_MS_MAX, TIME_MS_RANGE, TypeName, Value, parse_duration, parse_time},
    vocabulary::ContextField,
};

/// Differences of times, in milliseconds: 64 bits of nanoseconds.
const BETWEEN_MS_MAX: i64 = i64::MAX / 1_000_000;

/// How a value goes on.
enum Course<'a> {
    /// It stays until then.
    Fixed(Value<'a>, Change),
    /// It moves evenly until then.
    Moving(Line, Change),
    Unknown,
}

/// A time or a duration that moves with the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line {
    kind: LineKind,
    /// As it is now.
    ms: i64,
    /// By how much it grows in a millisecond.
    slope: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineKind {
    Time,
    Duration,
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

impl Line {
    fn value(self) -> Value<'static> {
        match self.kind {
            LineKind::Time => Value::Time(self.ms),
            LineKind::Duration => Value::Duration(self.ms),
        }
    }

    /// A value beside a line; a text is a time beside times.
    fn of(value: &Value<'_>, beside: LineKind) -> Option<Self> {
        let (kind, ms) = match value {
            Value::Time(ms) => (LineKind::Time, *ms),
            Value::Duration(ms) => (LineKind::Duration, *ms),
            Value::Text(text) if beside == LineKind::Time => (LineKind::Time, parse_time(text)?),
            _ => return None,
        };
        Some(Self { kind, ms, slope: 0 })
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
                Course::Moving(line, until) => self.negated(line, until),
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
            Some((a, b)) if a.kind == b.kind => self.passes_at(comparison, a, b),
            // Of different kinds, they compare alike whatever they are.
            _ => Change::Never,
        };
        decided(
            compare(comparison, &left.now(), &right.now()),
            until.min(passes),
        )
    }

    /// When a comparison of two lines turns.
    fn passes_at(&self, comparison: Comparison, left: Line, right: Line) -> Change {
        let distance = i128::from(left.ms) - i128::from(right.ms);
        let slope = i128::from(left.slope) - i128::from(right.slope);
        if slope == 0 {
            return Change::Never;
        }
        let holds = |after_ms: i128| {
            let order = (distance + slope * after_ms).cmp(&0);
            match comparison {
                Comparison::Equal => order.is_eq(),
                Comparison::NotEqual => order.is_ne(),
                Comparison::Less => order.is_lt(),
                Comparison::LessOrEqual => order.is_le(),
                Comparison::Greater => order.is_gt(),
                Comparison::GreaterOrEqual => order.is_ge(),
            }
        };
        // They meet in the first of these milliseconds or just before it.
        let meeting = ceil_div(-distance, slope);
        let turns = [meeting, meeting.saturating_add(1)]
            .into_iter()
            .find(|after_ms| *after_ms > 0 && holds(*after_ms) != holds(0));
        turns.map_or(Change::Never, |after_ms| self.after(after_ms))
    }

    fn after(&self, ms: i128) -> Change {
        i64::try_from(i128::from(self.scope.now_ms()) + ms).map_or(Change::Never, Change::At)
    }

    fn reckoning(&self, operator: Operator, left: &'a Node, right: &'a Node) -> Course<'a> {
        use LineKind::{Duration, Time};
        let (left, right) = (self.course(left), self.course(right));
        let until = left.until().min(right.until());
        let kind_of = |course: &Course<'_>| match course {
            Course::Moving(line, _) => Some(*line),
            Course::Fixed(value, _) => Line::of(value, Duration),
            Course::Unknown => None,
        };
        if matches!(left, Course::Unknown) || matches!(right, Course::Unknown) {
            return Course::Unknown;
        }
        let is_moving = matches!(left, Course::Moving(..)) || matches!(right, Course::Moving(..));
        let lines = kind_of(&left).zip(kind_of(&right)).filter(|_| is_moving);
        let (line, range) = match (operator, lines.map(|(a, b)| ((a, b), (a.kind, b.kind)))) {
            (Operator::Add, Some((lines, (Time, Duration) | (Duration, Time)))) => {
                (added(Time, lines, 1), TIME_MS_RANGE)
            }
            (Operator::Subtract, Some((lines, (Time, Duration)))) => {
                (added(Time, lines, -1), TIME_MS_RANGE)
            }
            (Operator::Subtract, Some((lines, (Time, Time)))) => {
                (added(Duration, lines, -1), -BETWEEN_MS_MAX..=BETWEEN_MS_MAX)
            }
            (Operator::Add, Some((lines, (Duration, Duration)))) => {
                (added(Duration, lines, 1), DURATIONS)
            }
            (Operator::Subtract, Some((lines, (Duration, Duration)))) => {
                (added(Duration, lines, -1), DURATIONS)
            }
            // Values that stay, or do not go together wherever they move.
            _ => {
                let value = self.arithmetic(operator, &left.now(), &right.now());
                return Course::Fixed(value, until);
            }
        };
        self.in_range(line, range, until)
    }

    fn negated(&self, line: Line, until: Change) -> Course<'a> {
        if line.kind == LineKind::Time {
            return Course::Fixed(Value::Missing, until);
        }
        let wide = Wide {
            kind: line.kind,
            ms: -i128::from(line.ms),
            slope: -i128::from(line.slope),
        };
        self.in_range(wide, DURATIONS, until)
    }

    /// A line while it is in its range, and missing while it is not.
    fn in_range(&self, line: Wide, range: RangeInclusive<i64>, until: Change) -> Course<'a> {
        let (low, high) = (i128::from(*range.start()), i128::from(*range.end()));
        let (ms, slope) = (line.ms, line.slope);
        let crosses = match slope {
            0 => None,
            _ if ms < low => (slope > 0).then(|| ceil_div(low - ms, slope)),
            _ if ms > high => (slope < 0).then(|| ceil_div(high - ms, slope)),
            1.. => Some((high - ms).div_euclid(slope) + 1),
            _ => Some((ms - low).div_euclid(-slope) + 1),
        };
        let until = until.min(crosses.map_or(Change::Never, |ms| self.after(ms)));
        match (i64::try_from(ms), i64::try_from(slope)) {
            (Ok(ms), Ok(slope)) if range.contains(&ms) => {
                let line = Line {
                    kind: line.kind,
                    ms,
                    slope,
                };
                match slope {
                    0 => Course::Fixed(line.value(), until),
                    _ => Course::Moving(line, until),
                }
            }
            _ => Course::Fixed(Value::Missing, until),
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
                let leaves = span.map_or(Change::Never, |span| self.leaves(line, span));
                Course::Fixed(self.value(node), until.min(leaves))
            }
            _ => Course::Unknown,
        }
    }

    /// When a line leaves a span.
    fn leaves(&self, line: Line, span: PartSpan) -> Change {
        let (ms, slope) = (i128::from(line.ms), i128::from(line.slope));
        let after = match slope {
            0 => return Change::Never,
            1.. => ceil_div(i128::from(span.end_ms) - ms, slope),
            _ => (ms - i128::from(span.start_ms)).div_euclid(-slope) + 1,
        };
        self.after(after.max(1))
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

const DURATIONS: RangeInclusive<i64> = -DURATION_MS_MAX..=DURATION_MS_MAX;

/// A line that may be out of its range.
struct Wide {
    kind: LineKind,
    ms: i128,
    slope: i128,
}

/// One line and another, so many times.
fn added(kind: LineKind, (a, b): (Line, Line), times: i128) -> Wide {
    Wide {
        kind,
        ms: i128::from(a.ms) + times * i128::from(b.ms),
        slope: i128::from(a.slope) + times * i128::from(b.slope),
    }
}

/// Rounded up; `by` is not zero.
fn ceil_div(of: i128, by: i128) -> i128 {
    let (of, by) = if by < 0 { (-of, -by) } else { (of, by) };
    -(-of).div_euclid(by)
}
