//! Macros over lists and maps: one round for each element, with the variable of the
//! macro's level bound to it. The budget ends what would run long; what it ended is
//! false or missing.

use std::ops::ControlFlow;

use super::{Bound, Frame, Held, arithmetic::ELEMENTS_MAX};
use crate::{
    node::{Node, Quantifier},
    value::Value,
};

impl<'a> Frame<'_, 'a> {
    fn level(&self) -> u8 {
        self.bound.map_or(0, |bound| bound.level + 1)
    }

    /// Judges something with a variable bound.
    pub(super) fn with<T>(&self, held: Held<'a>, judge: impl FnOnce(&Frame<'_, 'a>) -> T) -> T {
        let bound = Bound {
            level: self.level(),
            held,
            outer: self.bound,
        };
        judge(&Frame {
            scope: self.scope,
            steps: self.steps,
            bound: Some(&bound),
        })
    }

    /// Shows each element; false if this is no list or the budget is used up.
    fn each(&self, list: &'a Node, mut visit: impl FnMut(Value<'a>) -> ControlFlow<()>) -> bool {
        let mut is_complete = true;
        let is_list = self.value(list).visit(|element| {
            is_complete = self.take(1);
            if is_complete {
                visit(element)
            } else {
                ControlFlow::Break(())
            }
        });
        is_list && is_complete && self.steps.get() > 0
    }

    pub(super) fn quantify(&self, quantifier: Quantifier, list: &'a Node, test: &'a Node) -> bool {
        let mut holding = 0_u32;
        let mut all = true;
        let is_complete = self.each(list, |element| {
            let holds = self.with(Held::Value(element), |frame| frame.holds(test));
            holding += u32::from(holds);
            all &= holds;
            let is_decided = match quantifier {
                Quantifier::Exists => holding > 0,
                Quantifier::All => !all,
                Quantifier::ExistsOne => holding > 1,
            };
            if is_decided {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        is_complete
            && match quantifier {
                Quantifier::Exists => holding > 0,
                Quantifier::All => all,
                Quantifier::ExistsOne => holding == 1,
            }
    }

    pub(super) fn filter(&self, list: &'a Node, test: &'a Node) -> Value<'a> {
        let mut kept = Vec::new();
        let is_complete = self.each(list, |element| {
            if self.with(Held::Value(element.clone()), |frame| frame.holds(test)) {
                kept.push(element);
            }
            ControlFlow::Continue(())
        });
        if is_complete && kept.len() <= ELEMENTS_MAX {
            Value::List(kept.into())
        } else {
            Value::Missing
        }
    }

    /// Missing if any result is, as in CEL an error would be.
    pub(super) fn transform(
        &self,
        list: &'a Node,
        test: Option<&'a Node>,
        result: &'a Node,
    ) -> Value<'a> {
        let mut results = Vec::new();
        let mut is_sound = true;
        let is_complete = self.each(list, |element| {
            self.with(Held::Value(element), |frame| {
                if test.is_none_or(|test| frame.holds(test)) {
                    let result = frame.value(result);
                    is_sound = !result.is_missing() && results.len() < ELEMENTS_MAX;
                    results.push(result);
                }
            });
            if is_sound {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        if is_complete && is_sound {
            Value::List(results.into())
        } else {
            Value::Missing
        }
    }
}
