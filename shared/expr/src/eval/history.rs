//! Questions about a person's history, answered by looking at events where nobody keeps
//! the answer. One pass over the events, the newest first; keeps none of them.

use std::{cell::Cell, ops::ControlFlow};

use super::{Frame, Held, STEPS_MAX};
use crate::{
    history::{Aggregate, EventField, EventRef, Operation, Step},
    scope::Scope,
    value::Value,
};

/// Whether an event is of a step's type and passes its filter.
pub(crate) fn accepts<'a>(step: &'a Step, event: EventRef<'a>, scope: &'a dyn Scope) -> bool {
    let steps = Cell::new(STEPS_MAX);
    event.event_type == &*step.event_type && Frame::new(scope, &steps).passes(step, event)
}

/// The time of the newest event that counts, or of the oldest one.
pub(crate) fn counted_time(
    aggregate: &Aggregate,
    scope: &dyn Scope,
    is_newest: bool,
) -> Option<i64> {
    let since = aggregate.window.since_ms(scope.now_ms());
    let mut found = None;
    scope.events(aggregate.one_type(), since, &mut |event| {
        if !aggregate.accepts(event, scope) {
            return ControlFlow::Continue(());
        }
        found = Some(event.time_ms);
        if is_newest {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    found
}

impl Aggregate {
    /// The one type to look at; None for a sequence, which wants all in their order.
    fn one_type(&self) -> Option<&str> {
        match self.steps.as_slice() {
            [step] => Some(&step.event_type),
            _ => None,
        }
    }
}

impl<'a> Frame<'_, 'a> {
    pub(super) fn aggregate(&self, aggregate: &'a Aggregate) -> Value<'a> {
        if let Some(answer) = self.scope.aggregate(aggregate) {
            return answer;
        }
        match aggregate.steps.as_slice() {
            [step] => self.fold(aggregate, step),
            steps => Value::Bool(self.is_in_order(aggregate, steps)),
        }
    }

    /// A filter sees its event and nothing that a macro around it has bound.
    fn passes(&self, step: &'a Step, event: EventRef<'a>) -> bool {
        let Some(filter) = &step.filter else {
            return true;
        };
        let alone = Frame::new(self.scope, self.steps);
        alone.with(Held::Event(event), |frame| frame.holds(filter))
    }

    fn fold(&self, aggregate: &'a Aggregate, step: &'a Step) -> Value<'a> {
        let since = aggregate.window.since_ms(self.scope.now_ms());
        let mut folded = Folded::default();
        let operation = &aggregate.operation;
        let mut is_complete = true;
        self.scope
            .events(Some(&step.event_type), since, &mut |event| {
                is_complete = self.take(1);
                if !is_complete {
                    return ControlFlow::Break(());
                }
                if !self.passes(step, event) {
                    return ControlFlow::Continue(());
                }
                folded.add(operation, event)
            });
        if is_complete && self.steps.get() > 0 {
            folded.answer(operation)
        } else {
            Value::Missing
        }
    }

    /// Whether events of these steps follow each other. From the newest back, `ends[i]`
    /// is the earliest end of a sequence that begins with step `i` and was seen whole.
    fn is_in_order(&self, aggregate: &'a Aggregate, steps: &'a [Step]) -> bool {
        let since = aggregate.window.since_ms(self.scope.now_ms());
        let mut ends: [Option<i64>; Aggregate::STEPS_MAX] = [None; Aggregate::STEPS_MAX];
        let is_short_enough = |ms: i64| aggregate.sequence_ms.is_none_or(|most| ms <= most);
        let mut found = false;
        self.scope.events(None, since, &mut |event| {
            if !self.take(1) {
                return ControlFlow::Break(());
            }
            // From the first step on, so that no event stands for two of them.
            for (i, step) in steps.iter().enumerate() {
                if *step.event_type != *event.event_type || !self.passes(step, event) {
                    continue;
                }
                if i + 1 == steps.len() {
                    ends[i] = Some(event.time_ms);
                } else if let Some(end_ms) = ends[i + 1] {
                    ends[i] = Some(end_ms);
                    found |= i == 0 && is_short_enough(end_ms.saturating_sub(event.time_ms));
                }
            }
            if found {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        found
    }
}

/// What the events seen so far come to.
#[derive(Default)]
struct Folded<'a> {
    count: i64,
    sum: f64,
    numbers: u32,
    extreme: Option<f64>,
    picked: Option<Value<'a>>,
}

impl<'a> Folded<'a> {
    fn add(&mut self, operation: &Operation, event: EventRef<'a>) -> ControlFlow<()> {
        self.count += 1;
        match operation {
            Operation::Count => {}
            Operation::Exists => return ControlFlow::Break(()),
            Operation::Last(field) => {
                self.picked = Some(event.field(field));
                return ControlFlow::Break(());
            }
            Operation::First(field) => self.picked = Some(event.field(field)),
            Operation::Sum(field) | Operation::Average(field) => {
                if let Some(number) = number(event, field) {
                    self.sum += number;
                    self.numbers += 1;
                }
            }
            Operation::Least(field) => self.take(number(event, field), f64::min),
            Operation::Greatest(field) => self.take(number(event, field), f64::max),
        }
        ControlFlow::Continue(())
    }

    fn take(&mut self, number: Option<f64>, choose: fn(f64, f64) -> f64) {
        if let Some(number) = number {
            self.extreme = Some(self.extreme.map_or(number, |known| choose(known, number)));
        }
    }

    fn answer(self, operation: &Operation) -> Value<'a> {
        match operation {
            Operation::Count => Value::Int(self.count),
            Operation::Exists => Value::Bool(self.count > 0),
            Operation::Sum(_) => Value::Number(self.sum),
            Operation::Average(_) if self.numbers > 0 => {
                Value::Number(self.sum / f64::from(self.numbers))
            }
            Operation::Average(_) => Value::Missing,
            Operation::Least(_) | Operation::Greatest(_) => {
                self.extreme.map_or(Value::Missing, Value::Number)
            }
            Operation::First(_) | Operation::Last(_) => self.picked.unwrap_or(Value::Missing),
        }
    }
}

fn number(event: EventRef<'_>, field: &EventField) -> Option<f64> {
    event.field(field).as_number().filter(|n| n.is_finite())
}
