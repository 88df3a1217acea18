//! A person's history as columns that windowed questions are answered from exactly, at
//! any second: per source of questions the times of its events and, where a field is
//! asked for, its values. Every window ends with the newest event, so that what is in it
//! is the end of a column. Holds no event whole, and knows nothing of where they are kept.

mod numbers;
mod series;
mod values;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use attune_expr::{Aggregate, Change, EventRef, Operation, Source, Value};

use series::Series;

/// The columns of one person.
#[derive(Debug, Clone, Default)]
pub struct Windows(Vec<Series>);

/// What columns must hold for a question to be answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Column {
    pub source: Arc<Source>,
    pub kind: ColumnKind,
}

/// What is kept of each event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    Times,
    /// A number, if the field is one.
    Numbers,
    /// The field's value.
    Values,
    /// The field's value, of a list each element.
    Members,
}

impl ColumnKind {
    pub fn of(operation: &Operation) -> Self {
        match operation {
            Operation::Sum(_)
            | Operation::Average(_)
            | Operation::Least(_)
            | Operation::Greatest(_) => Self::Numbers,
            Operation::MostFrequent(_) | Operation::Distinct(_) => Self::Members,
            Operation::First(_) | Operation::Last(_) if operation.field().is_some() => Self::Values,
            Operation::First(_)
            | Operation::Last(_)
            | Operation::Count
            | Operation::Exists
            | Operation::AverageGap => Self::Times,
        }
    }
}

impl Windows {
    /// Whether a question can be answered as of `now_ms`, and later.
    pub fn cover(&self, aggregate: &Aggregate, now_ms: i64) -> bool {
        let since_ms = since_ms(aggregate, now_ms);
        self.of(aggregate)
            .is_some_and(|series| series.since_ms() <= since_ms)
    }

    /// Takes a column of events of its source since a time, which come in any order but
    /// those of one time as they were written; instead of the one there was. What is
    /// older than what was asked for at `now_ms` is let go as newer events come.
    pub fn put<'e>(
        &mut self,
        column: Column,
        since_ms: i64,
        now_ms: i64,
        events: impl IntoIterator<Item = EventRef<'e>>,
    ) {
        let mut series = Series::new(column, since_ms, now_ms);
        events
            .into_iter()
            .for_each(|event| series.add(event, now_ms));
        self.0.retain(|held| held.column() != series.column());
        self.0.push(series);
    }

    /// Takes over the columns of other windows of the same person, which are newer.
    pub fn absorb(&mut self, newer: Self) {
        for series in newer.0 {
            self.0.retain(|held| held.column() != series.column());
            self.0.push(series);
        }
    }

    /// Whether an event of this type makes a difference.
    pub fn read_type(&self, event_type: &str) -> bool {
        let mut sources = self.0.iter().map(|series| &series.column().source);
        sources.any(|source| source.event_type() == event_type)
    }

    /// Takes in, at `now_ms`, an event that was written after all that are here, whenever
    /// it happened.
    pub fn add(&mut self, event: EventRef<'_>, now_ms: i64) {
        let all = self.0.iter_mut();
        all.for_each(|series| series.add(event, now_ms));
    }

    /// The answer to a question that is covered.
    pub fn answer(&self, aggregate: &Aggregate, now_ms: i64) -> Option<Value<'_>> {
        let series = self.of(aggregate)?;
        Some(series.answer(aggregate.operation(), series.first_since(aggregate, now_ms)))
    }

    /// When time alone first makes a test say something else of that answer, or sooner.
    pub fn until(
        &self,
        aggregate: &Aggregate,
        now_ms: i64,
        test: &dyn Fn(&Value<'_>) -> bool,
    ) -> Option<Change> {
        Some(self.of(aggregate)?.until(aggregate, now_ms, test))
    }

    /// Bytes that they take.
    pub fn size(&self) -> usize {
        self.0.iter().map(Series::size).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of(&self, aggregate: &Aggregate) -> Option<&Series> {
        let kind = ColumnKind::of(aggregate.operation());
        self.0.iter().find(|series| {
            let column = series.column();
            column.kind == kind && column.source.serves(aggregate)
        })
    }
}

/// The time since which a question looks at events.
pub fn since_ms(aggregate: &Aggregate, now_ms: i64) -> i64 {
    aggregate.window().since_ms(now_ms).unwrap_or(i64::MIN)
}
