//! Carries out a plan: each step among the items that the steps before it have left.

use roaring::RoaringBitmap;

use super::{
    ColumnName, Columns,
    plan::{Answer, Atom, Planner, Step},
    selection::Selection,
    test::{JUDGING, Tested},
};
use crate::{
    eval,
    node::Node,
    scope::{Judged, Scope},
    value::Value,
    vocabulary::ItemField,
};

/// A step that costs less is not worth narrowing down for.
const CHEAP: u64 = 4 * JUDGING;

/// None where the plan costs more than `work_max`.
pub(super) fn select<C: Columns>(
    root: &Node,
    columns: &C,
    subject: &dyn Scope,
    work_max: u64,
) -> Option<RoaringBitmap> {
    let plan = Planner { columns, subject }.plan(root);
    if plan.work(columns.universe().len()) > work_max {
        return None;
    }
    let carrying = Carrying { columns, subject };
    let found = carrying.run(&plan, &Selection::all());
    Some(found.into_bits(columns.universe()))
}

struct Carrying<'a, C> {
    columns: &'a C,
    subject: &'a dyn Scope,
}

impl<'a, C: Columns> Carrying<'a, C> {
    /// Tells the truth about the items `within`, and anything about others.
    fn run(&self, step: &Step<'a>, within: &Selection<'a>) -> Selection<'a> {
        match step {
            Step::Constant(true) => Selection::all(),
            Step::Constant(false) => Selection::none(),
            Step::All(steps) => self.all(steps, within),
            Step::Any(steps) => self.any(steps, within),
            Step::AtLeast(least, steps) => self.at_least(*least as usize, steps, within),
            Step::Not(step) => !self.run(step, within),
            Step::Choose(steps) => {
                let [condition, then, otherwise] = &**steps;
                let chosen = self.run(condition, within);
                let then_within = within.and(&chosen);
                let then = self.run(then, &then_within).and(&then_within);
                let else_within = within.minus(chosen);
                let otherwise = self.run(otherwise, &else_within).and(&else_within);
                then.or(otherwise)
            }
            Step::Atom(atom) => self.atom(atom, within),
        }
    }

    fn all(&self, steps: &[Step<'a>], within: &Selection<'a>) -> Selection<'a> {
        let mut left: Option<Selection<'a>> = None;
        for step in steps {
            let among = left.as_ref().unwrap_or(within);
            if among.is_none() {
                break;
            }
            let found = self.run(step, among).and(among);
            left = Some(found);
        }
        left.unwrap_or_else(Selection::all)
    }

    fn any(&self, steps: &[Step<'a>], within: &Selection<'a>) -> Selection<'a> {
        let mut found = Selection::none();
        let among = within.len_max(self.columns.universe());
        for step in steps {
            let more = if step.work(among) <= CHEAP || found.is_none() {
                self.run(step, within)
            } else {
                let rest = within.minus(found.clone());
                self.run(step, &rest).and(&rest)
            };
            found = found.or(more);
        }
        found
    }

    fn at_least(&self, least: usize, steps: &[Step<'a>], within: &Selection<'a>) -> Selection<'a> {
        // At each place, the items for which so many have held.
        let mut holding = vec![Selection::none(); least + 1];
        holding[0] = Selection::all();
        for step in steps {
            let found = self.run(step, within);
            for count in (1..=least).rev() {
                let more = holding[count - 1].and(&found);
                let held = std::mem::replace(&mut holding[count], Selection::none());
                holding[count] = held.or(more);
            }
        }
        holding.swap_remove(least)
    }

    fn atom(&self, atom: &Atom<'a>, within: &Selection<'a>) -> Selection<'a> {
        let among = within.len_max(self.columns.universe());
        if among.saturating_mul(JUDGING) <= atom.work {
            return self.judged(atom.node, within);
        }
        match &atom.answer {
            Answer::Judged => self.judged(atom.node, within),
            Answer::Known(items) => Selection::from(items.clone()),
            Answer::Tested(name, column, test) => {
                let judge = |value: Value<'_>| self.judged_alone(atom.node, *name, value);
                let Tested { found, unsure } = test.run(column, self.columns.universe(), &judge);
                if unsure.is_none() {
                    return found;
                }
                found.or(self.judged(atom.node, &unsure.and(within)))
            }
        }
    }

    fn judged(&self, node: &Node, among: &Selection<'_>) -> Selection<'a> {
        let among = among.clone().into_bits(self.columns.universe());
        let holds = |index: &u32| {
            self.columns.item(*index).is_some_and(|item| {
                let scope = Judged {
                    subject: self.subject,
                    item: &item,
                };
                eval::holds(node, &scope)
            })
        };
        let found: RoaringBitmap = among.iter().filter(holds).collect();
        Selection::from(found)
    }

    /// As for an item of which nothing else is known; the node reads nothing else.
    fn judged_alone(&self, node: &Node, name: ColumnName<'_>, value: Value<'_>) -> bool {
        let scope = Judged {
            subject: self.subject,
            item: &Alone { name, value },
        };
        eval::holds(node, &scope)
    }
}

/// An item with one value.
struct Alone<'a> {
    name: ColumnName<'a>,
    value: Value<'a>,
}

impl Alone<'_> {
    fn get(&self, name: ColumnName<'_>) -> Value<'_> {
        if name == self.name {
            self.value.clone()
        } else {
            Value::Missing
        }
    }
}

impl Scope for Alone<'_> {
    fn item(&self, field: ItemField) -> Value<'_> {
        self.get(ColumnName::Field(field))
    }

    fn characteristic(&self, name: &str) -> Value<'_> {
        self.get(ColumnName::Characteristic(name))
    }
}
