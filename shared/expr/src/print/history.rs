//! Questions about the history, as a chain in one order: the first event's filter, the
//! window, each further event with its own, the time between, what is asked.

use super::{Binds, EVENT, Printer, literals};
use crate::{
    history::{Aggregate, EventField, Operation, Window},
    node::{Load, Node},
    value::whole_units,
};

const UNITS: [(&str, i64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

pub(crate) fn aggregate(aggregate: &Aggregate) -> String {
    let mut printer = Printer::new();
    aggregate.each_filter(&mut |filter| {
        filter.walk(&mut |node| {
            if let Node::Load(Load::Bound(name)) = node {
                printer.taken.insert(name);
            }
        });
    });
    printer.aggregate(aggregate);
    printer.out
}

impl<'a> Printer<'a> {
    pub(super) fn aggregate(&mut self, aggregate: &'a Aggregate) {
        for (i, step) in aggregate.steps.iter().enumerate() {
            self.push(if i == 0 { "events(" } else { ".then(" });
            literals::quote(&mut self.out, &step.event_type);
            self.push(")");
            if let Some(filter) = &step.filter {
                self.filter(filter);
            }
            if i == 0 {
                self.window(&aggregate.window);
            }
        }
        if let Some(ms) = aggregate.sequence_ms {
            self.within(ms);
        }
        self.operation(&aggregate.operation);
    }

    /// Sees none of the variables around it.
    fn filter(&mut self, filter: &'a Node) {
        let around = std::mem::take(&mut self.variables);
        let event = self.bind(EVENT);
        self.push(&format!(".where({event}, "));
        self.write(filter, Binds::Conditional);
        self.push(")");
        self.variables = around;
    }

    fn window(&mut self, window: &Window) {
        match window {
            Window::Always => {}
            Window::Rolling { ms } => self.within(*ms),
            Window::CalendarDays { days, zone } => {
                self.push(&format!(".withinDays({days}, "));
                literals::quote(&mut self.out, zone.name());
                self.push(")");
            }
        }
    }

    fn within(&mut self, ms: i64) {
        self.push(&format!(".within(\"{}\")", whole_units(ms, &UNITS)));
    }

    fn operation(&mut self, operation: &Operation) {
        let (name, field) = match operation {
            Operation::Count => return self.push(".count()"),
            Operation::Exists => return self.push(".exists()"),
            Operation::First(field) => return self.pick("first", field),
            Operation::Last(field) => return self.pick("last", field),
            Operation::AverageGap => return self.push(".averageGap()"),
            Operation::MostFrequent(field) => ("mostFrequent", field),
            Operation::Distinct(field) => ("distinct", field),
            Operation::Sum(field) => ("sum", field),
            Operation::Average(field) => ("avg", field),
            Operation::Least(field) => ("min", field),
            Operation::Greatest(field) => ("max", field),
        };
        self.push(&format!(".{name}("));
        literals::quote(&mut self.out, field.name());
        self.push(")");
    }

    fn pick(&mut self, name: &str, field: &EventField) {
        self.push(&format!(".{name}()"));
        self.field(field.name());
    }
}
