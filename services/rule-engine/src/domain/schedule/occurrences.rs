//! When the windows of a schedule fall, as moments: the one place where the clock of a
//! time zone is read.

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, DateTime},
    tz::AmbiguousOffset,
};

use super::{DAY_MS, HORIZON_MS, Schedule, Span, Window};

/// From a moment until before another, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occurrence {
    pub start_ms: i64,
    pub end_ms: i64,
}

/// No window is longer than a day, and clocks change by less than another.
const BEFORE_MS: i64 = 3 * DAY_MS;
/// Every window comes again within a week.
const AFTER_MS: i64 = 9 * DAY_MS;

impl Schedule {
    /// The longest span around a moment, found cheaply, in which the windows' answer
    /// does not change.
    pub(super) fn span_around(&self, now_ms: i64) -> Span {
        let from_ms = now_ms.saturating_sub(BEFORE_MS);
        let until_ms = now_ms.saturating_add(AFTER_MS);
        let mut span = Span {
            // Not from the first of these days: a window may reach into it.
            start_ms: now_ms.saturating_sub(DAY_MS),
            end_ms: until_ms,
            is_open: false,
        };
        for window in self.between(from_ms, until_ms) {
            if window.start_ms > now_ms {
                span.end_ms = window.start_ms;
                break;
            }
            if now_ms < window.end_ms {
                span.start_ms = window.start_ms;
                span.end_ms = window.end_ms;
                span.is_open = true;
                break;
            }
            span.start_ms = span.start_ms.max(window.end_ms);
        }
        span
    }

    /// When it is in force from a moment on, for about a year: in order, and apart.
    pub(super) fn ahead(&self, now_ms: i64) -> impl Iterator<Item = Occurrence> {
        let start_ms = now_ms.max(self.start_ms);
        let end_ms = self.end_ms;
        let whole = (self.windows.is_empty() && start_ms < end_ms)
            .then_some(Occurrence { start_ms, end_ms });
        let until_ms = end_ms.min(start_ms.saturating_add(HORIZON_MS));
        let windows = match self.windows.is_empty() {
            true => Vec::new(),
            false => self.between(start_ms.saturating_sub(BEFORE_MS), until_ms),
        };
        let windows = windows.into_iter().map(move |window| Occurrence {
            start_ms: window.start_ms.max(start_ms),
            end_ms: window.end_ms.min(end_ms),
        });
        whole
            .into_iter()
            .chain(windows.filter(|window| window.start_ms < window.end_ms))
    }

    /// Windows that begin on the days from one moment to another, merged where they
    /// touch.
    fn between(&self, from_ms: i64, until_ms: i64) -> Vec<Occurrence> {
        let last = self.clock(until_ms).date();
        let mut date = self.clock(from_ms).date();
        let mut found = Vec::new();
        while date <= last {
            let windows = self.windows.iter();
            let begin_today = windows.filter(|window| window.days.contains(date.weekday()));
            found.extend(begin_today.map(|window| self.occurrence(window, date)));
            let Ok(tomorrow) = date.tomorrow() else { break };
            date = tomorrow;
        }
        found.retain(|window| window.start_ms < window.end_ms);
        found.sort_unstable();
        found.dedup_by(|next, held| {
            let touch = next.start_ms <= held.end_ms;
            if touch {
                held.end_ms = held.end_ms.max(next.end_ms);
            }
            touch
        });
        found
    }

    fn occurrence(&self, window: &Window, date: Date) -> Occurrence {
        let end_date = match window.end > window.start {
            true => date,
            false => date.checked_add(1.day()).unwrap_or(date),
        };
        Occurrence {
            start_ms: self.moment(date.to_datetime(window.start)),
            end_ms: self.moment(end_date.to_datetime(window.end)),
        }
    }

    /// The first moment at which the clock shows this; where it skips it, the first
    /// after the gap.
    pub(super) fn moment(&self, shown: DateTime) -> i64 {
        let at = |offset: jiff::tz::Offset| {
            let moment = offset.to_timestamp(shown);
            moment.unwrap_or(Timestamp::MAX)
        };
        let moment = match self.zone.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Unambiguous { offset } => at(offset),
            AmbiguousOffset::Fold { before, .. } => at(before),
            AmbiguousOffset::Gap { after, .. } => {
                // By the clock after the change, the time skipped lies before it.
                let mut changes = self.zone.following(at(after));
                changes.next().map_or(at(after), |c| c.timestamp())
            }
        };
        moment.as_millisecond()
    }
}
