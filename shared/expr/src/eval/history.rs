//! Questions about a person's history, answered by looking at events where nobody keeps
//! the answer, and when time alone changes what they come to. One pass over the events,
//! the newest first; keeps none of them.

use std::{cell::Cell, ops::ControlFlow};

use super::{Frame, Held, STEPS_MAX, fold::Folded};
use crate::{
    history::{Aggregate, Change, EventRef, Step},
    scope::Scope,
    value::Value,
};

/// What is asked of an answer, such as whether it is at least three.
type Test<'t> = &'t dyn Fn(&Value<'_>) -> bool;

/// Whether an event is of a step's type and passes its filter.
pub(crate) fn accepts<'a>(step: &'a Step, event: EventRef<'a>, scope: &'a dyn Scope) -> bool {
    let steps = Cell::new(STEPS_MAX);
    event.event_type == &*step.event_type && Frame::new(scope, &steps).passes(step, event)
}

pub(crate) fn answer_changes_at(aggregate: &Aggregate, scope: &dyn Scope) -> Change {
    let steps = Cell::new(STEPS_MAX);
    let change = Frame::new(scope, &steps).answer_with_change(aggregate).1;
    if steps.get() == 0 {
        Change::Unknown
    } else {
        change
    }
}

impl<'a> Frame<'_, 'a> {
    pub(super) fn aggregate(&self, aggregate: &'a Aggregate) -> Value<'a> {
        if let Some(answer) = self.scope.aggregate(aggregate) {
            return answer;
        }
        match aggregate.steps.as_slice() {
            [step] => self.fold(aggregate, step),
            steps => Value::Bool(self.in_order(aggregate, steps).is_some()),
        }
    }

    /// The answer, and until when it stays the same.
    pub(super) fn answer_with_change(&self, aggregate: &'a Aggregate) -> (Value<'a>, Change) {
        let answer = self.aggregate(aggregate);
        let is_same = |later: &Value<'_>| {
            later.equals(&answer) || (later.is_missing() && answer.is_missing())
        };
        let change = self.answer_passes_until(aggregate, &is_same);
        (answer, change)
    }

    /// Until when a test says the same of the answer that it says now.
    pub(super) fn answer_passes_until(&self, aggregate: &'a Aggregate, test: Test<'_>) -> Change {
        if let Some(change) = self.scope.aggregate_until(aggregate, test) {
            return change;
        }
        let leaves = |ms: Option<i64>| {
            ms.and_then(|ms| aggregate.window.leaves_ms(ms))
                .map_or(Change::Never, Change::At)
        };
        if aggregate.filters_read_time() {
            let (oldest_ms, filters) = self.filters_until(aggregate);
            return filters.min(leaves(oldest_ms));
        }
        match aggregate.steps.as_slice() {
            [step] => leaves(self.flips_without(aggregate, step, test)),
            // Of all such sequences this one leaves the window last.
            steps => leaves(self.in_order(aggregate, steps)),
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

    /// Shows the events of a step, the newest first; false if the budget is used up.
    fn each_event(
        &self,
        aggregate: &'a Aggregate,
        step: &'a Step,
        mut visit: impl FnMut(EventRef<'a>) -> ControlFlow<()>,
    ) -> bool {
        let since = aggregate.window.since_ms(self.scope.now_ms());
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
                visit(event)
            });
        is_complete && self.steps.get() > 0
    }

    fn fold(&self, aggregate: &'a Aggregate, step: &'a Step) -> Value<'a> {
        let mut folded = Folded::new(&aggregate.operation);
        if self.each_event(aggregate, step, |event| folded.add(event)) {
            folded.answer()
        } else {
            Value::Missing
        }
    }

    /// The time of the event whose leaving is the first that makes a test say something
    /// else. Events leave the oldest first, so that what is left are the newest.
    fn flips_without(
        &self,
        aggregate: &'a Aggregate,
        step: &'a Step,
        test: Test<'_>,
    ) -> Option<i64> {
        let mut folded = Folded::new(&aggregate.operation);
        let mut passes = test(&folded.answer());
        // The last event after which it said yes, and no.
        let (mut passed_before, mut failed_before) = (None, None);
        self.each_event(aggregate, step, |event| {
            let without = if passes {
                &mut passed_before
            } else {
                &mut failed_before
            };
            *without = Some(event.time_ms);
            let flow = folded.add(event);
            passes = test(&folded.answer());
            flow
        });
        if passes { failed_before } else { passed_before }
    }

    /// The time of the oldest event that counts, and until when all filters say the same
    /// of every event in the window.
    fn filters_until(&self, aggregate: &'a Aggregate) -> (Option<i64>, Change) {
        let since = aggregate.window.since_ms(self.scope.now_ms());
        let (mut oldest_ms, mut until) = (None, Change::Never);
        for step in &aggregate.steps {
            self.scope
                .events(Some(&step.event_type), since, &mut |event| {
                    if !self.take(1) {
                        until = Change::Unknown;
                        return ControlFlow::Break(());
                    }
                    let (counts, change) = match &step.filter {
                        None => (true, Change::Never),
                        Some(filter) => {
                            let alone = Frame::new(self.scope, self.steps);
                            alone.with(Held::Event(event), |frame| frame.truth(filter))
                        }
                    };
                    until = until.min(change);
                    if counts {
                        oldest_ms = Some(oldest_ms.unwrap_or(i64::MAX).min(event.time_ms));
                    }
                    ControlFlow::Continue(())
                });
        }
        (oldest_ms, until)
    }

    /// Of events of these steps that follow each other, the time of the first, and the
    /// latest such. From the newest back, `ends[i]` is the earliest end of a sequence
    /// that begins with step `i` and was seen whole.
    fn in_order(&self, aggregate: &'a Aggregate, steps: &'a [Step]) -> Option<i64> {
        let since = aggregate.window.since_ms(self.scope.now_ms());
        let mut ends: [Option<i64>; Aggregate::STEPS_MAX] = [None; Aggregate::STEPS_MAX];
        let is_short_enough = |ms: i64| aggregate.sequence_ms.is_none_or(|most| ms <= most);
        let mut found = None;
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
                    if i == 0 && is_short_enough(end_ms.saturating_sub(event.time_ms)) {
                        found = Some(event.time_ms);
                    }
                }
            }
            if found.is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        found
    }
}
