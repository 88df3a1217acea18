//! What expressions ask of a person's history: which events, in which window, and what
//! they come to. A question is known by its structure, so that whoever maintains
//! answers can find them again. Holds no events and never reads a clock.

use std::{cmp::Ordering, fmt};

use attune_api::profile::v1::RecentEvent;
use prost_types::Struct;

use crate::{
    eval,
    functions::Zone,
    node::{Load, Node},
    print,
    scope::Scope,
    value::Value,
};

/// One event, as a scope shows it.
#[derive(Debug, Clone, Copy)]
pub struct EventRef<'a> {
    pub event_type: &'a str,
    /// Milliseconds since the Unix epoch.
    pub time_ms: i64,
    pub item_ids: &'a [String],
    /// 0 where the event says nothing of money.
    pub revenue: f64,
    pub channel: &'a str,
    pub properties: Option<&'a Struct>,
}

impl<'a> From<&'a RecentEvent> for EventRef<'a> {
    fn from(event: &'a RecentEvent) -> Self {
        Self {
            event_type: &event.r#type,
            time_ms: event.time_ms,
            item_ids: &event.item_ids,
            revenue: event.revenue,
            channel: &event.channel,
            properties: event.properties.as_ref(),
        }
    }
}

impl<'a> EventRef<'a> {
    /// What the event says of a field.
    pub fn field(&self, field: &EventField) -> Value<'a> {
        match field {
            EventField::Time => Value::Time(self.time_ms),
            EventField::Type => Value::text(self.event_type),
            EventField::ItemIds => Value::Texts(self.item_ids),
            EventField::Revenue => Value::Number(self.revenue),
            EventField::Channel => Value::text_or_missing(self.channel),
            EventField::Property(name) => self
                .properties
                .and_then(|properties| properties.fields.get(&**name))
                .map_or(Value::Missing, Value::from),
        }
    }
}

/// A field of an event, as `e.NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EventField {
    Time,
    Type,
    ItemIds,
    Revenue,
    Channel,
    /// Any other name: what was sent with the event.
    Property(Box<str>),
}

impl EventField {
    /// The names that are taken, and hence no properties.
    pub(crate) const BUILT_IN: [&'static str; 5] =
        ["time", "type", "item_ids", "revenue", "channel"];

    pub(crate) fn parse(name: &str) -> Self {
        match name {
            "time" => Self::Time,
            "type" => Self::Type,
            "item_ids" => Self::ItemIds,
            "revenue" => Self::Revenue,
            "channel" => Self::Channel,
            other => Self::Property(other.into()),
        }
    }

    /// As it is written.
    pub fn name(&self) -> &str {
        match self {
            Self::Time => "time",
            Self::Type => "type",
            Self::ItemIds => "item_ids",
            Self::Revenue => "revenue",
            Self::Channel => "channel",
            Self::Property(name) => name,
        }
    }
}

/// How far back events count.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Window {
    /// As far as the scope's history reaches.
    Always,
    /// Up to this many milliseconds ago.
    Rolling { ms: i64 },
    /// So many calendar days, of which today is the last.
    CalendarDays { days: u32, zone: Zone },
}

impl Window {
    /// The time from which events count, inclusive; None for all.
    pub fn since_ms(&self, now_ms: i64) -> Option<i64> {
        match self {
            Self::Always => None,
            Self::Rolling { ms } => Some(now_ms.saturating_sub(*ms)),
            Self::CalendarDays { days, zone } => {
                // Out of the calendar's range nothing counts.
                let back = 1 - i64::from(*days);
                Some(zone.day_start_ms(now_ms, back).unwrap_or(i64::MAX))
            }
        }
    }

    /// From when on an event of this time no longer counts; None for never.
    pub fn leaves_ms(&self, time_ms: i64) -> Option<i64> {
        match self {
            Self::Always => None,
            Self::Rolling { ms } => Some(time_ms.saturating_add(*ms).saturating_add(1)),
            Self::CalendarDays { days, zone } => zone.day_start_ms(time_ms, i64::from(*days)),
        }
    }
}

/// What the events of a history come to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Number of events; an integer.
    Count,
    Exists,
    /// Of a field's numbers; 0 where there are none.
    Sum(EventField),
    /// Missing where there are none, as are the next two.
    Average(EventField),
    Least(EventField),
    Greatest(EventField),
    /// A field of the oldest event.
    First(EventField),
    /// A field of the newest event.
    Last(EventField),
    /// The value of a field that most events have, of a list each element; of as many
    /// the one that was there last. Missing where there is none.
    MostFrequent(EventField),
    /// How many values a field has, of a list the elements; an integer.
    Distinct(EventField),
    /// The mean time from one event to the next; missing for fewer than two.
    AverageGap,
}

impl Operation {
    /// The field whose values it needs; the time of an event is always at hand.
    pub fn field(&self) -> Option<&EventField> {
        match self {
            Self::Count | Self::Exists | Self::AverageGap => None,
            Self::First(EventField::Time) | Self::Last(EventField::Time) => None,
            Self::Sum(field)
            | Self::Average(field)
            | Self::Least(field)
            | Self::Greatest(field)
            | Self::First(field)
            | Self::Last(field)
            | Self::MostFrequent(field)
            | Self::Distinct(field) => Some(field),
        }
    }
}

/// Events of one type, those that pass a filter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Step {
    pub event_type: Box<str>,
    /// Sees the event as the variable of level 0, and no variable of any macro around it.
    pub filter: Option<Node>,
}

/// A question about a history, such as `events("purchase").within("30d").count()`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Aggregate {
    /// One, or an ordered sequence of several, of which the operation is then `Exists`.
    pub(crate) steps: Vec<Step>,
    pub(crate) window: Window,
    /// From the first to the last event of a sequence, at most.
    pub(crate) sequence_ms: Option<i64>,
    pub(crate) operation: Operation,
}

/// When time alone can next change an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Only what is known of the person can.
    Never,
    /// Not before this time, in milliseconds.
    At(i64),
    /// It cannot be told.
    Unknown,
}

/// The sooner, the less; the first of all is what may be any time.
impl Ord for Change {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |change: &Self| match change {
            Self::Unknown => (0, 0),
            Self::At(ms) => (1, *ms),
            Self::Never => (2, 0),
        };
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Change {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What a question looks at whatever its window: the events of a type that pass a test
/// which knows nothing but the event, and one of their fields. Questions with the same
/// source can share what is kept of a history.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source {
    step: Step,
    field: Option<EventField>,
}

impl Source {
    pub fn event_type(&self) -> &str {
        &self.step.event_type
    }

    /// None where the times of the events are enough.
    pub fn field(&self) -> Option<&EventField> {
        self.field.as_ref()
    }

    pub fn accepts(&self, event: EventRef<'_>) -> bool {
        eval::accepts(&self.step, event, &Nobody)
    }

    /// Whether the question looks at this.
    pub fn serves(&self, aggregate: &Aggregate) -> bool {
        aggregate.operation.field() == self.field.as_ref()
            && matches!(aggregate.steps.as_slice(), [step] if *step == self.step)
    }
}

/// Whom nothing is known about.
struct Nobody;

impl Scope for Nobody {}

impl Aggregate {
    /// Events of one sequence, at most.
    pub(crate) const STEPS_MAX: usize = 5;

    /// The types of the events it looks at, in their order if it asks for one.
    pub fn event_types(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map(|step| &*step.event_type)
    }

    /// Whether it asks for events in a certain order.
    pub fn is_sequence(&self) -> bool {
        self.steps.len() > 1
    }

    pub fn has_filter(&self) -> bool {
        self.steps.iter().any(|step| step.filter.is_some())
    }

    pub fn window(&self) -> &Window {
        &self.window
    }

    pub fn operation(&self) -> &Operation {
        &self.operation
    }

    /// Whether an event counts, its time aside: it has the type of one of the steps and
    /// passes that one's filter.
    pub fn accepts(&self, event: EventRef<'_>, scope: &dyn Scope) -> bool {
        self.steps
            .iter()
            .any(|step| eval::accepts(step, event, scope))
    }

    /// Whether the answer rests on the events alone: no filter reads traits, context or
    /// the clock.
    pub fn is_self_contained(&self) -> bool {
        self.loads(|load| matches!(load, Load::Variable(_) | Load::Event(..)))
    }

    pub(crate) fn reads_time(&self) -> bool {
        !matches!(self.window, Window::Always) || self.filters_read_time()
    }

    /// Whether all names and functions in the filters are such.
    fn loads(&self, are_such: impl Fn(&Load) -> bool) -> bool {
        let mut all = true;
        self.each_filter(&mut |filter| {
            filter.walk(&mut |node| match node {
                Node::Load(load) => all &= are_such(load),
                Node::Call(function, _) => all &= !function.reads_subject(),
                Node::Aggregate(_) => all = false,
                _ => {}
            });
        });
        all
    }

    pub(crate) fn each_filter<'a>(&'a self, visit: &mut dyn FnMut(&'a Node)) {
        for step in &self.steps {
            if let Some(filter) = &step.filter {
                visit(filter);
            }
        }
    }

    /// When time alone can next change the answer over this scope.
    pub fn changes_at(&self, scope: &dyn Scope) -> Change {
        eval::answer_changes_at(self, scope)
    }

    /// What it looks at, if nothing but events of one type decides the answer.
    pub fn source(&self) -> Option<Source> {
        match self.steps.as_slice() {
            [step] if self.is_self_contained() => Some(Source {
                step: step.clone(),
                field: self.operation.field().cloned(),
            }),
            _ => None,
        }
    }

    pub(crate) fn filters_read_time(&self) -> bool {
        let mut filters = self.steps.iter().filter_map(|step| step.filter.as_ref());
        filters.any(Node::reads_time)
    }
}

/// As it is written, in the one way that equal questions share.
impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print::aggregate(self))
    }
}
