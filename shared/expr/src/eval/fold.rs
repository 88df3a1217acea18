//! What the events of a history come to, as they are shown the newest first. Its answer
//! may be asked for after each, since events leave a window the oldest first: what it
//! says after the newest ten is what time leaves when ten are left. Reads no clock.

use std::ops::ControlFlow;

use rustc_hash::FxHashMap;

use crate::{
    history::{EventField, EventRef, Operation},
    value::{Sum, Value, duration},
};

/// What the events seen so far come to.
pub(super) struct Folded<'a> {
    operation: &'a Operation,
    count: i64,
    numbers: u32,
    sum: Sum,
    extreme: Option<f64>,
    picked: Value<'a>,
    /// Of the newest and the oldest event.
    times_ms: (i64, i64),
    frequencies: Frequencies<'a>,
}

impl<'a> Folded<'a> {
    pub fn new(operation: &'a Operation) -> Self {
        Self {
            operation,
            count: 0,
            numbers: 0,
            sum: Sum::default(),
            extreme: None,
            picked: Value::Missing,
            times_ms: (0, 0),
            frequencies: Frequencies::default(),
        }
    }

    /// Adds an older event; breaks where none that is older still makes a difference.
    pub fn add(&mut self, event: EventRef<'a>) -> ControlFlow<()> {
        self.count += 1;
        if self.count == 1 {
            self.times_ms.0 = event.time_ms;
        }
        self.times_ms.1 = event.time_ms;
        match self.operation {
            Operation::Count | Operation::AverageGap => {}
            Operation::Exists => return ControlFlow::Break(()),
            Operation::Last(field) => {
                self.picked = event.field(field);
                return ControlFlow::Break(());
            }
            Operation::First(field) => self.picked = event.field(field),
            Operation::Sum(field) | Operation::Average(field) => {
                if let Some(number) = number(event, field) {
                    self.sum = self.sum.plus(number);
                    self.numbers += 1;
                }
            }
            Operation::Least(field) => self.choose(number(event, field), f64::min),
            Operation::Greatest(field) => self.choose(number(event, field), f64::max),
            Operation::MostFrequent(field) | Operation::Distinct(field) => {
                self.frequencies.add_all(&event.field(field));
            }
        }
        ControlFlow::Continue(())
    }

    fn choose(&mut self, number: Option<f64>, choose: fn(f64, f64) -> f64) {
        if let Some(number) = number {
            self.extreme = Some(self.extreme.map_or(number, |known| choose(known, number)));
        }
    }

    pub fn answer(&self) -> Value<'a> {
        match self.operation {
            Operation::Count => Value::Int(self.count),
            Operation::Exists => Value::Bool(self.count > 0),
            Operation::Sum(_) => Value::Number(self.sum.value()),
            Operation::Average(_) if self.numbers > 0 => {
                Value::Number(self.sum.value() / f64::from(self.numbers))
            }
            Operation::Average(_) => Value::Missing,
            Operation::Least(_) | Operation::Greatest(_) => {
                self.extreme.map_or(Value::Missing, Value::Number)
            }
            Operation::First(_) | Operation::Last(_) => self.picked.clone(),
            Operation::MostFrequent(_) => self.frequencies.most(),
            Operation::Distinct(_) => self.frequencies.distinct(),
            Operation::AverageGap => average_gap(self.times_ms.0, self.times_ms.1, self.count),
        }
    }
}

/// From the first to the last of so many events, on average.
fn average_gap(newest_ms: i64, oldest_ms: i64, count: i64) -> Value<'static> {
    if count < 2 {
        return Value::Missing;
    }
    duration(newest_ms.saturating_sub(oldest_ms) / (count - 1))
}

fn number(event: EventRef<'_>, field: &EventField) -> Option<f64> {
    event.field(field).as_number().filter(|n| n.is_finite())
}

/// How often each value was there.
#[derive(Default)]
struct Frequencies<'a> {
    /// How often, and how many values were seen before it for the first time, the newest
    /// first.
    seen: FxHashMap<Scalar<'a>, (u32, u32)>,
    /// The one that most have.
    most: Option<(Value<'a>, u32, u32)>,
}

/// A value by which events are counted.
#[derive(PartialEq, Eq, Hash)]
enum Scalar<'a> {
    Bool(bool),
    /// Bits of a number.
    Number(u64),
    Text(std::borrow::Cow<'a, str>),
    Time(i64),
}

impl<'a> Scalar<'a> {
    fn of(value: &Value<'a>) -> Option<Self> {
        Some(match value {
            Value::Bool(b) => Self::Bool(*b),
            Value::Text(text) => Self::Text(text.clone()),
            Value::Time(ms) => Self::Time(*ms),
            other => {
                let number = other.as_number().filter(|n| !n.is_nan())?;
                // The two zeros are one number.
                Self::Number((number + 0.0).to_bits())
            }
        })
    }
}

impl<'a> Frequencies<'a> {
    fn add_all(&mut self, value: &Value<'a>) {
        let is_list = value.len().is_some()
            && value.visit(|element| {
                self.add(&element);
                ControlFlow::Continue(())
            });
        if !is_list {
            self.add(value);
        }
    }

    fn add(&mut self, value: &Value<'a>) {
        let Some(scalar) = Scalar::of(value) else {
            return;
        };
        let rank = u32::try_from(self.seen.len()).unwrap_or(u32::MAX);
        let (count, rank) = self.seen.entry(scalar).or_insert((0, rank));
        *count += 1;
        let is_most = match &self.most {
            None => true,
            Some((_, most, first)) => *count > *most || (*count == *most && *rank < *first),
        };
        if is_most {
            self.most = Some((value.clone(), *count, *rank));
        }
    }

    fn most(&self) -> Value<'a> {
        match &self.most {
            Some((value, ..)) => value.clone(),
            None => Value::Missing,
        }
    }

    fn distinct(&self) -> Value<'a> {
        Value::Int(i64::try_from(self.seen.len()).unwrap_or(i64::MAX))
    }
}
