//! When a rule is in force: a span of time and, within it, parts of the week on the
//! clock of a time zone. Asking costs nanoseconds, because the span around the last
//! moment that was asked for, in which the answer does not change, is remembered.
//!
//! Where clocks change, a window begins and ends at the first moment at which the clock
//! shows the time, or, if that time is skipped, at the first moment after the gap.
//! Windows that meet on the clock thus meet on every day: none overlap, none leave a
//! hole. A window that lies in a gap does not occur that day.

mod known;
mod occurrences;
#[cfg(test)]
mod tests;

use jiff::{Timestamp, civil, tz::TimeZone};

use known::{Known, Span};
pub use occurrences::Occurrence;

pub const DAY_MS: i64 = 86_400_000;
/// How far ahead occurrences are looked for: every change of clocks that comes again
/// lies within.
const HORIZON_MS: i64 = 53 * 7 * DAY_MS;

/// A compiled schedule. The default is always in force.
#[derive(Debug)]
pub struct Schedule {
    start_ms: i64,
    end_ms: i64,
    zone: TimeZone,
    windows: Box<[Window]>,
    known: Known,
}

/// A part of the week that comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Days on which it begins.
    pub days: Days,
    pub start: civil::Time,
    /// Midnight is the end of the day. At or before `start` it is on the next day.
    pub end: civil::Time,
}

/// A set of days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days(u8);

impl Days {
    pub const ALL: Self = Self(0x7f);

    pub fn of(days: impl IntoIterator<Item = civil::Weekday>) -> Self {
        Self(days.into_iter().fold(0, |set, day| set | Self::bit(day)))
    }

    fn contains(self, day: civil::Weekday) -> bool {
        self.0 & Self::bit(day) != 0
    }

    fn bit(day: civil::Weekday) -> u8 {
        1 << day.to_monday_zero_offset()
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::new(None, None, TimeZone::UTC, Vec::new())
    }
}

impl Clone for Schedule {
    fn clone(&self) -> Self {
        Self {
            zone: self.zone.clone(),
            windows: self.windows.clone(),
            known: Known::default(),
            ..*self
        }
    }
}

impl Schedule {
    /// In force from `start_ms` until before `end_ms`, in one of the windows if there
    /// are any.
    pub fn new(
        start_ms: Option<i64>,
        end_ms: Option<i64>,
        zone: TimeZone,
        windows: Vec<Window>,
    ) -> Self {
        Self {
            start_ms: start_ms.unwrap_or(i64::MIN),
            end_ms: end_ms.unwrap_or(i64::MAX),
            zone,
            windows: windows.into(),
            known: Known::default(),
        }
    }

    /// Whether it is in force at this moment.
    pub fn holds_at(&self, now_ms: i64) -> bool {
        if now_ms < self.start_ms || now_ms >= self.end_ms {
            return false;
        }
        if self.windows.is_empty() {
            return true;
        }
        if let Some(is_open) = self.known.at(now_ms) {
            return is_open;
        }
        let span = self.span_around(now_ms);
        self.known.remember(&span);
        span.is_open
    }

    /// No moment from `now_ms` on is within it.
    pub fn is_over(&self, now_ms: i64) -> bool {
        self.end_ms <= now_ms
    }

    /// Whether it is ever in force from `now_ms` on: false also where it ends before
    /// one of its windows begins.
    pub fn occurs_after(&self, now_ms: i64) -> bool {
        self.ahead(now_ms).next().is_some()
    }

    /// Whether both are in force at some moment within a year from `now_ms`, or from
    /// the later start.
    pub fn overlaps(&self, other: &Self, now_ms: i64) -> bool {
        let from_ms = now_ms.max(self.start_ms).max(other.start_ms);
        if self.windows.is_empty() && other.windows.is_empty() {
            return from_ms < self.end_ms.min(other.end_ms);
        }
        let (mut ours, mut theirs) = (self.ahead(from_ms), other.ahead(from_ms));
        let (mut one, mut two) = (ours.next(), theirs.next());
        while let (Some(a), Some(b)) = (one, two) {
            if a.start_ms.max(b.start_ms) < a.end_ms.min(b.end_ms) {
                return true;
            }
            if a.end_ms <= b.end_ms {
                one = ours.next();
            } else {
                two = theirs.next();
            }
        }
        false
    }

    /// The period of so many days that a moment lies in, on the schedule's clock: the
    /// first begins on the day the schedule starts, or on 1 January 1970.
    pub fn period_of(&self, days: u16, now_ms: i64) -> Occurrence {
        let first = match self.start_ms {
            i64::MIN => civil::date(1970, 1, 1),
            start_ms => self.clock(start_ms).date(),
        };
        let today = self.clock(now_ms).date();
        let passed = i64::from(first.until(today).map_or(0, |span| span.get_days()));
        let days = i64::from(days.max(1));
        let begin = |number: i64| {
            let date = first.checked_add(jiff::Span::new().days(number * days));
            date.map_or(i64::MAX, |date| self.moment(date.at(0, 0, 0, 0)))
        };
        let number = passed.div_euclid(days);
        Occurrence {
            start_ms: begin(number),
            end_ms: begin(number + 1),
        }
    }

    /// What the clock shows.
    fn clock(&self, ms: i64) -> civil::DateTime {
        let range = Timestamp::MIN.as_millisecond()..=Timestamp::MAX.as_millisecond();
        let ms = ms.clamp(*range.start() + DAY_MS, *range.end() - DAY_MS);
        let moment = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
        self.zone.to_datetime(moment)
    }
}
