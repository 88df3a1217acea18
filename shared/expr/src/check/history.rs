//! Questions about the history: chains such as
//! `events("purchase").where(e, e.revenue > 50.0).within("30d").count()`.

use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};

use super::{Checker, NOTHING, StandsFor, Typed, Variable};
use crate::{
    fault::nearest,
    functions::Zone,
    history::{Aggregate, EventField, Operation, Step, Window},
    node::{Load, Node},
    value::parse_duration,
    vocabulary::{EventProperties, Kind},
};

/// Calendar days of a window, at most: ten years.
const DAYS_MAX: i64 = 3660;

/// What may stand in a chain, for suggestions.
const LINKS: [&str; 15] = [
    "where",
    "within",
    "withinDays",
    "then",
    "count",
    "exists",
    "sum",
    "avg",
    "min",
    "max",
    "mostFrequent",
    "distinct",
    "averageGap",
    "last",
    "first",
];

/// Those that end one with a value.
const ANSWERS: [&str; 9] = [
    "count",
    "exists",
    "sum",
    "avg",
    "min",
    "max",
    "mostFrequent",
    "distinct",
    "averageGap",
];

/// One call of a chain.
#[derive(Clone, Copy)]
struct Link<'a> {
    id: u64,
    call: &'a CallExpr,
}

/// The calls of a chain from `events(…)` on; None if it begins with anything else.
fn chain<'a>(id: u64, call: &'a CallExpr) -> Option<Vec<Link<'a>>> {
    let mut links = vec![Link { id, call }];
    let mut current = call;
    while let Some(target) = current.target.as_deref() {
        let Expr::Call(call) = &target.expr else {
            return None;
        };
        links.push(Link {
            id: target.id,
            call,
        });
        current = call;
    }
    links.reverse();
    (current.func_name == "events").then_some(links)
}

/// What a chain has said so far.
struct Question<'a> {
    steps: Vec<Step>,
    /// Of the last step's type, where they are declared.
    properties: Option<&'a EventProperties>,
    window: Window,
    sequence_ms: Option<i64>,
}

impl<'a> Checker<'a> {
    /// What a call is if it ends a chain.
    pub(super) fn history(&mut self, id: u64, call: &'a CallExpr) -> Option<Typed> {
        let links = self.known_chain(id, call)?;
        let (last, before) = links.split_last()?;
        let is_answered = |link: &Link<'_>| ANSWERS.contains(&link.call.func_name.as_str());
        if !LINKS.contains(&last.call.func_name.as_str()) && before.iter().any(is_answered) {
            // A method of what the events come to, as in `averageGap().getHours()`.
            return None;
        }
        let last = *last;
        Some(match last.call.func_name.as_str() {
            "first" | "last" => self.fault(
                last.id,
                format!(
                    "an event is no value: name one of its fields, as in `{}().time`",
                    last.call.func_name
                ),
            ),
            _ => self.ended(&links, last),
        })
    }

    /// `events(…).last().FIELD`, if that is what this is.
    pub(super) fn event_pick(
        &mut self,
        id: u64,
        operand: &'a IdedExpr,
        field: &str,
    ) -> Option<Typed> {
        let Expr::Call(call) = &operand.expr else {
            return None;
        };
        let pick: fn(EventField) -> Operation = match call.func_name.as_str() {
            "first" => Operation::First,
            "last" => Operation::Last,
            _ => return None,
        };
        let links = self.known_chain(operand.id, call)?;
        let last = *links.last()?;
        self.no_arguments(last);
        let Some(question) = self.question(&links[..links.len() - 1]) else {
            return Some(NOTHING);
        };
        let Some((field, kind)) = self.event_field(id, question.properties, field) else {
            return Some(NOTHING);
        };
        Some(self.answer(last, question, pick(field), kind))
    }

    fn known_chain(&self, id: u64, call: &'a CallExpr) -> Option<Vec<Link<'a>>> {
        chain(id, call).filter(|_| self.vocabulary.subject)
    }

    /// A chain with the call that says what its events come to.
    fn ended(&mut self, links: &[Link<'a>], last: Link<'a>) -> Typed {
        let name = last.call.func_name.as_str();
        if !ANSWERS.contains(&name) {
            // Whatever else is wrong with it is told as well.
            if LINKS.contains(&name) || name == "events" {
                if self.question(links).is_some() {
                    return self.fault(
                        last.id,
                        "what do the events come to? End with `count()`, `exists()`, `sum(…)` or the like",
                    );
                }
                return NOTHING;
            }
            let near = nearest(name, LINKS);
            return self.suggest(last.id, format!("`{name}` is unknown of events"), near);
        }
        let Some(question) = self.question(&links[..links.len() - 1]) else {
            return NOTHING;
        };
        let operation: fn(EventField) -> Operation = match name {
            "count" => return self.of_all(last, question, Operation::Count, Kind::Number),
            "exists" => return self.of_all(last, question, Operation::Exists, Kind::Bool),
            "averageGap" => {
                return self.of_all(last, question, Operation::AverageGap, Kind::Duration);
            }
            "sum" => Operation::Sum,
            "avg" => Operation::Average,
            "min" => Operation::Least,
            "max" => Operation::Greatest,
            "distinct" => Operation::Distinct,
            _ => Operation::MostFrequent,
        };
        self.of_field(last, question, operation)
    }

    /// A question that no field answers.
    fn of_all(
        &mut self,
        last: Link<'a>,
        question: Question<'a>,
        operation: Operation,
        kind: Kind,
    ) -> Typed {
        self.no_arguments(last);
        self.answer(last, question, operation, kind)
    }

    fn of_field(
        &mut self,
        last: Link<'a>,
        question: Question<'a>,
        operation: fn(EventField) -> Operation,
    ) -> Typed {
        let Some(field) = self.text_argument(last, "the name of a field") else {
            return NOTHING;
        };
        let Some((field, kind)) = self.event_field(last.id, question.properties, field) else {
            return NOTHING;
        };
        let name = field.name().to_owned();
        let operation = operation(field);
        let result = match operation {
            Operation::Distinct(_) => Kind::Number,
            // Of a list an element, of which nothing is declared.
            Operation::MostFrequent(EventField::ItemIds) => Kind::Text,
            Operation::MostFrequent(_) if kind == Kind::List => Kind::Any,
            Operation::MostFrequent(_) => kind,
            _ if matches!(kind, Kind::Any | Kind::Number) => Kind::Number,
            _ => {
                let message = format!("`{name}` is {}, and no number", kind.name());
                return self.fault(last.id, message);
            }
        };
        self.answer(last, question, operation, result)
    }

    fn answer(
        &mut self,
        last: Link<'a>,
        question: Question<'a>,
        operation: Operation,
        kind: Kind,
    ) -> Typed {
        if question.steps.len() > 1 && operation != Operation::Exists {
            return self.fault(last.id, "of a sequence only `exists()` can be asked");
        }
        let aggregate = Aggregate {
            steps: question.steps,
            window: question.window,
            sequence_ms: question.sequence_ms,
            operation,
        };
        (Node::Aggregate(Arc::new(aggregate)), kind)
    }

    fn question(&mut self, links: &[Link<'a>]) -> Option<Question<'a>> {
        let before = self.faults.len();
        let (first, rest) = links.split_first()?;
        let (event_type, properties) = self.event_type(*first)?;
        let step = |event_type: &str| Step {
            event_type: event_type.into(),
            filter: None,
        };
        let mut question = Question {
            steps: vec![step(event_type)],
            properties,
            window: Window::Always,
            sequence_ms: None,
        };
        for link in rest {
            match link.call.func_name.as_str() {
                "where" => self.filter(*link, &mut question),
                "within" if question.steps.len() > 1 => {
                    question.sequence_ms = self.window_ms(*link);
                }
                "within" => {
                    let window = self.window_ms(*link).map(|ms| Window::Rolling { ms });
                    self.set_window(*link, &mut question, window);
                }
                "withinDays" => {
                    let window = self.calendar_window(*link);
                    self.set_window(*link, &mut question, window);
                }
                "then" if question.steps.len() >= Aggregate::STEPS_MAX => {
                    let message = format!("a sequence has at most {} events", Aggregate::STEPS_MAX);
                    self.fault(link.id, message);
                }
                "then" => {
                    if let Some((event_type, properties)) = self.event_type(*link) {
                        question.steps.push(step(event_type));
                        question.properties = properties;
                    }
                }
                name => {
                    let near = nearest(name, LINKS);
                    self.suggest(link.id, format!("`{name}` is unknown of events"), near);
                }
            }
        }
        (self.faults.len() == before).then_some(question)
    }

    fn set_window(&mut self, link: Link<'a>, question: &mut Question<'a>, window: Option<Window>) {
        if question.window != Window::Always {
            self.fault(link.id, "the events have a window already");
        }
        if let Some(window) = window {
            question.window = window;
        }
    }

    /// The argument of `events` or `then`.
    fn event_type(&mut self, link: Link<'a>) -> Option<(&'a str, Option<&'a EventProperties>)> {
        let event_type = self.text_argument(link, "the type of an event")?;
        let vocabulary = self.vocabulary;
        let Some(declared) = &vocabulary.events else {
            return Some((event_type, None));
        };
        match declared.get(event_type) {
            Some(properties) => Some((event_type, properties.as_ref())),
            None => {
                let near = nearest(event_type, declared.keys().map(String::as_str));
                let id = link.call.args.first().map_or(link.id, |a| a.id);
                self.suggest(id, format!("unknown event type `{event_type}`"), near);
                None
            }
        }
    }

    /// `.where(e, …)`. The test sees its own event and no variable around the chain, so
    /// that the question means the same wherever it is asked.
    fn filter(&mut self, link: Link<'a>, question: &mut Question<'a>) {
        let [variable, test] = link.call.args.as_slice() else {
            self.fault(
                link.id,
                "`where` takes a variable and a test, as in `where(e, e.revenue > 50.0)`",
            );
            return;
        };
        let Expr::Ident(name) = &variable.expr else {
            self.fault(variable.id, "the name of a variable is expected here");
            return;
        };
        let around = std::mem::take(&mut self.variables);
        self.variables.push(Variable {
            name,
            stands_for: StandsFor::Event(question.properties),
        });
        let test = self.condition(test);
        self.variables = around;
        let (mut asks_again, mut reads_item) = (false, false);
        test.walk(&mut |node| {
            asks_again |= matches!(node, Node::Aggregate(_));
            reads_item |= matches!(node, Node::Load(Load::Item(_) | Load::Characteristic(_)));
        });
        if asks_again {
            self.fault(link.id, "`where` looks at its own event, not at others");
        }
        if reads_item {
            self.fault(
                link.id,
                "`where` looks at an event of the person, not at an item",
            );
        }
        let Some(step) = question.steps.last_mut() else {
            return;
        };
        // One chain of tests, however many `where` it was written with.
        let mut tests = Vec::new();
        for test in step.filter.take().into_iter().chain([test]) {
            match test {
                Node::And(inner) => tests.extend(inner),
                test => tests.push(test),
            }
        }
        step.filter = match tests.len() {
            1 => tests.pop(),
            _ => Some(Node::And(tests)),
        };
    }

    fn window_ms(&mut self, link: Link<'a>) -> Option<i64> {
        let text = self.text_argument(link, "a duration such as `30d`")?;
        match parse_duration(text) {
            Some(ms) if ms > 0 => Some(ms),
            _ => {
                self.fault(link.id, "a duration is written as in `30d` or `1h30m`");
                None
            }
        }
    }

    fn calendar_window(&mut self, link: Link<'a>) -> Option<Window> {
        let (days, zone) = match link.call.args.as_slice() {
            [days] => (days, None),
            [days, zone] => (days, Some(zone)),
            _ => {
                self.fault(
                    link.id,
                    "`withinDays` takes a number of days and a time zone",
                );
                return None;
            }
        };
        let days = match &days.expr {
            Expr::Literal(LiteralValue::Int(n)) if (1..=DAYS_MAX).contains(n.inner()) => *n.inner(),
            _ => {
                let message = format!("a number of days from 1 to {DAYS_MAX} is expected here");
                self.fault(days.id, message);
                return None;
            }
        };
        let name = match zone.map(|zone| (&zone.expr, zone.id)) {
            None => "UTC",
            Some((Expr::Literal(LiteralValue::String(name)), _)) => name.inner(),
            Some((_, id)) => {
                self.fault(id, "the name of a time zone must be written out");
                return None;
            }
        };
        let Some(zone) = Zone::parse(name) else {
            self.fault(link.id, format!("there is no time zone `{name}`"));
            return None;
        };
        let days = u32::try_from(days).ok()?;
        Some(Window::CalendarDays { days, zone })
    }

    /// `e.FIELD` of a `where`.
    pub(super) fn event_member(
        &mut self,
        id: u64,
        level: usize,
        properties: Option<&'a EventProperties>,
        field: &str,
    ) -> Typed {
        let (Some((field, kind)), Ok(level)) =
            (self.event_field(id, properties, field), u8::try_from(level))
        else {
            return NOTHING;
        };
        (Node::Load(Load::Event(level, field)), kind)
    }

    fn event_field(
        &mut self,
        id: u64,
        properties: Option<&'a EventProperties>,
        name: &str,
    ) -> Option<(EventField, Kind)> {
        let field = EventField::parse(name);
        let kind = match &field {
            EventField::Time => Kind::Time,
            EventField::Type | EventField::Channel => Kind::Text,
            EventField::ItemIds => Kind::List,
            EventField::Revenue => Kind::Number,
            EventField::Property(_) => match properties {
                None => Kind::Any,
                Some(declared) => match declared.get(name) {
                    Some(declared) => declared.kind,
                    None => {
                        let known = declared.keys().map(String::as_str);
                        let near = nearest(name, known.chain(EventField::BUILT_IN));
                        let message = format!("these events have no property `{name}`");
                        self.suggest(id, message, near);
                        return None;
                    }
                },
            },
        };
        Some((field, kind))
    }

    fn text_argument(&mut self, link: Link<'a>, what: &str) -> Option<&'a str> {
        if let [argument] = link.call.args.as_slice()
            && let Expr::Literal(LiteralValue::String(text)) = &argument.expr
            && !text.inner().is_empty()
        {
            return Some(text.inner());
        }
        let message = format!("`{}` takes {what}, written out", link.call.func_name);
        self.fault(link.id, message);
        None
    }

    fn no_arguments(&mut self, link: Link<'a>) {
        if !link.call.args.is_empty() {
            self.fault(
                link.id,
                format!("`{}` takes no argument here", link.call.func_name),
            );
        }
    }
}
