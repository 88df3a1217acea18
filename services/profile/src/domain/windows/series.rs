//! One column: the times of the events of a source, oldest first, and what is kept of
//! each. Appends in constant time but for what a late event moves aside, finds where a
//! window begins by bisection, and answers from there on.

use attune_expr::{Aggregate, Change, EventRef, Operation, Value, Window};

use super::{Column, ColumnKind, numbers::Numbers, since_ms, values::Values};

/// Events that leave a window one after the other, looked at ahead at most, until an
/// answer passes what it is compared with. What lies further is looked at again then.
const AHEAD_MAX: usize = 1_000;

/// As above, where each answer takes a walk over the values.
const AHEAD_BY_VALUES_MAX: usize = 8;

/// Windows of calendar days are not all of the same length.
const SLACK_MS: i64 = 2 * 86_400_000;

#[derive(Debug, Clone)]
pub(super) struct Series {
    column: Column,
    /// From this time on all events are here.
    since_ms: i64,
    /// How far back from the newest event they are worth keeping; None for always.
    reach_ms: Option<i64>,
    times: Vec<i64>,
    kept: Kept,
}

#[derive(Debug, Clone)]
enum Kept {
    Times,
    Numbers(Numbers),
    Values(Values),
    Members(Values),
}

impl Series {
    pub fn new(column: Column, since_ms: i64, now_ms: i64) -> Self {
        let kept = match column.kind {
            ColumnKind::Times => Kept::Times,
            ColumnKind::Numbers => Kept::Numbers(Numbers::default()),
            ColumnKind::Values => Kept::Values(Values::default()),
            ColumnKind::Members => Kept::Members(Values::default()),
        };
        Self {
            column,
            since_ms,
            reach_ms: (since_ms > i64::MIN)
                .then(|| now_ms.saturating_sub(since_ms).saturating_add(SLACK_MS)),
            times: Vec::new(),
            kept,
        }
    }

    pub fn column(&self) -> &Column {
        &self.column
    }

    pub fn since_ms(&self) -> i64 {
        self.since_ms
    }

    pub fn size(&self) -> usize {
        let kept = match &self.kept {
            Kept::Times => 0,
            Kept::Numbers(numbers) => numbers.size(),
            Kept::Values(values) | Kept::Members(values) => values.size(),
        };
        size_of::<Self>() + self.times.capacity() * size_of::<i64>() + kept
    }

    /// Takes in an event if it is of the source, after those of the same time.
    pub fn add(&mut self, event: EventRef<'_>, now_ms: i64) {
        let source = &self.column.source;
        if event.event_type != source.event_type()
            || event.time_ms < self.since_ms
            || !source.accepts(event)
        {
            return;
        }
        let at = match self.times.last() {
            Some(last) if *last > event.time_ms => {
                self.times.partition_point(|time| *time <= event.time_ms)
            }
            _ => self.times.len(),
        };
        let value = source.field().map_or(Value::Missing, |f| event.field(f));
        match &mut self.kept {
            Kept::Times => self.times.insert(at, event.time_ms),
            Kept::Numbers(numbers) => {
                self.times.insert(at, event.time_ms);
                numbers.insert(at, value.as_number().filter(|n| n.is_finite()));
            }
            Kept::Values(values) => {
                self.times.insert(at, event.time_ms);
                values.insert(at, &value);
            }
            Kept::Members(values) => {
                let added = values.insert_members(at, &value);
                let times = std::iter::repeat_n(event.time_ms, added);
                self.times.splice(at..at, times);
            }
        }
        self.forget_old(now_ms);
    }

    /// Where the window of a question begins.
    pub fn first_since(&self, aggregate: &Aggregate, now_ms: i64) -> usize {
        let since_ms = since_ms(aggregate, now_ms);
        self.times.partition_point(|time| *time < since_ms)
    }

    /// What the events from one on come to.
    pub fn answer(&self, operation: &Operation, first: usize) -> Value<'_> {
        let times = &self.times[first..];
        match (&self.kept, operation) {
            (Kept::Numbers(numbers), _) => numbers.answer(operation, first),
            (Kept::Values(values), Operation::First(_)) if !times.is_empty() => values.get(first),
            (Kept::Values(values), Operation::Last(_)) if !times.is_empty() => {
                values.get(self.times.len() - 1)
            }
            (Kept::Members(values), Operation::MostFrequent(_)) => values.most_frequent(first),
            (Kept::Members(values), Operation::Distinct(_)) => values.distinct(first),
            (_, Operation::Count) => Value::Int(int(times.len())),
            (_, Operation::Exists) => Value::Bool(!times.is_empty()),
            (_, Operation::AverageGap) => average_gap(times),
            (_, Operation::First(_)) => times.first().map_or(Value::Missing, |t| Value::Time(*t)),
            (_, Operation::Last(_)) => times.last().map_or(Value::Missing, |t| Value::Time(*t)),
            _ => Value::Missing,
        }
    }

    /// Events leave the oldest first: those of one time together.
    pub fn until(
        &self,
        aggregate: &Aggregate,
        now_ms: i64,
        test: &dyn Fn(&Value<'_>) -> bool,
    ) -> Change {
        if *aggregate.window() == Window::Always {
            return Change::Never;
        }
        let leaves = |time_ms: i64| {
            let left_ms = aggregate.window().leaves_ms(time_ms);
            left_ms.map_or(Change::Never, Change::At)
        };
        let operation = aggregate.operation();
        let first = self.first_since(aggregate, now_ms);
        let passes = test(&self.answer(operation, first));
        let Some(newest_ms) = self.times[first..].last().copied() else {
            return Change::Never;
        };
        if matches!(operation, Operation::Exists | Operation::Last(_)) {
            let stays = test(&self.answer(operation, self.times.len())) == passes;
            return if stays {
                Change::Never
            } else {
                leaves(newest_ms)
            };
        }
        let ahead_max = match &self.kept {
            Kept::Members(_) => AHEAD_BY_VALUES_MAX,
            Kept::Numbers(numbers) if numbers.takes_a_walk() => AHEAD_BY_VALUES_MAX,
            _ => AHEAD_MAX,
        };
        let mut left = first;
        for _ in 0..ahead_max {
            let time_ms = self.times[left];
            left += self.times[left..].partition_point(|time| *time == time_ms);
            if test(&self.answer(operation, left)) != passes {
                return leaves(time_ms);
            }
            if left == self.times.len() {
                return Change::Never;
            }
        }
        leaves(self.times[left])
    }

    /// Lets go of what is out of reach, once it is half of what is here. An event of the
    /// future, which some may be told of a year ahead, moves no window yet.
    fn forget_old(&mut self, now_ms: i64) {
        let (Some(reach_ms), Some(newest_ms)) = (self.reach_ms, self.times.last()) else {
            return;
        };
        let since_ms = newest_ms.min(&now_ms).saturating_sub(reach_ms);
        if since_ms <= self.since_ms || self.times[self.times.len() / 2] >= since_ms {
            return;
        }
        let old = self.times.partition_point(|time| *time < since_ms);
        self.times.drain(..old);
        match &mut self.kept {
            Kept::Times => {}
            Kept::Numbers(numbers) => numbers.forget(old),
            Kept::Values(values) | Kept::Members(values) => values.forget(old),
        }
        self.since_ms = since_ms;
    }
}

fn average_gap(times: &[i64]) -> Value<'static> {
    match times {
        [oldest, .., newest] => Value::Duration((newest - oldest) / (int(times.len()) - 1)),
        _ => Value::Missing,
    }
}

pub(super) fn int(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
