//! Clock and calendar: parts of times in a zone, days, anniversaries. Knows the zones
//! of the IANA database and fixed offsets; never asks what time it is.

use std::hash::{Hash, Hasher};

use jiff::{
    Span, Timestamp, ToSpan, Zoned,
    civil::Date,
    tz::{Offset, TimeZone},
};

use super::ClockPart as P;
use crate::value::{Value, parse_time};

/// A time zone, known by its name: an IANA name such as `Europe/Berlin`, or an offset
/// such as `+02:00`.
#[derive(Debug, Clone)]
pub struct Zone {
    name: Box<str>,
    zone: TimeZone,
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Zone {
    pub fn parse(name: &str) -> Option<Self> {
        let zone = time_zone(name)?;
        Some(Self {
            name: name.into(),
            zone,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The beginning of the day that lies so many days after the one of a time.
    pub(crate) fn day_start_ms(&self, time_ms: i64, days: i64) -> Option<i64> {
        let span = Span::new().try_days(days).ok()?;
        let day = zoned(time_ms, &self.zone)?.date().checked_add(span).ok()?;
        let start = day.to_zoned(self.zone.clone()).ok()?;
        Some(start.timestamp().as_millisecond())
    }
}

/// `+11:00`, `-02:30` or `02:00`.
fn offset(name: &str) -> Option<TimeZone> {
    let (sign, rest) = match name.as_bytes().first()? {
        b'-' => (-1, &name[1..]),
        b'+' => (1, &name[1..]),
        _ => (1, name),
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    if !(0..=23).contains(&hours) || !(0..=59).contains(&minutes) {
        return None;
    }
    let offset = Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()?;
    Some(offset.to_time_zone())
}

fn zoned(time_ms: i64, zone: &TimeZone) -> Option<Zoned> {
    let time = Timestamp::from_millisecond(time_ms).ok()?;
    Some(time.to_zoned(zone.clone()))
}

/// A part of a time, in UTC unless a zone is given, or of a duration.
pub(super) fn part(part: P, of: &Value<'_>, zone: &Value<'_>, given: usize) -> Value<'static> {
    let found = match of {
        Value::Duration(ms) if given < 2 => part_of_duration(part, *ms),
        Value::Time(ms) => part_of_time(part, *ms, zone, given),
        Value::Text(text) => parse_time(text).and_then(|ms| part_of_time(part, ms, zone, given)),
        _ => None,
    };
    found.map_or(Value::Missing, Value::Int)
}

fn part_of_time(part: P, ms: i64, zone: &Value<'_>, given: usize) -> Option<i64> {
    let zone = match zone.as_text() {
        None if given < 2 => TimeZone::UTC,
        None => return None,
        Some(name) => time_zone(name)?,
    };
    let time = zoned(ms, &zone)?;
    Some(match part {
        P::FullYear => time.year().into(),
        P::Month => i64::from(time.month()) - 1,
        P::Date => time.day().into(),
        P::DayOfMonth => i64::from(time.day()) - 1,
        P::DayOfYear => i64::from(time.day_of_year()) - 1,
        P::DayOfWeek => time.weekday().to_sunday_zero_offset().into(),
        P::Hours => time.hour().into(),
        P::Minutes => time.minute().into(),
        P::Seconds => time.second().into(),
        P::Milliseconds => time.millisecond().into(),
    })
}

/// The whole duration in that unit, but for milliseconds: those beyond the seconds.
fn part_of_duration(part: P, ms: i64) -> Option<i64> {
    Some(match part {
        P::Hours => ms / 3_600_000,
        P::Minutes => ms / 60_000,
        P::Seconds => ms / 1000,
        P::Milliseconds => ms % 1000,
        _ => return None,
    })
}

/// A time during which a part of the clock or calendar stays what it is: from the start
/// to before the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartSpan {
    pub start_ms: i64,
    pub end_ms: i64,
}

impl PartSpan {
    /// Of one of the coarse parts, in UTC unless a zone is given. None where it is missing.
    pub fn of_time(part: P, ms: i64, zone: Option<&Value<'_>>) -> Option<Self> {
        let zone = match zone {
            None => TimeZone::UTC,
            Some(zone) => time_zone(zone.as_text()?)?,
        };
        let time = zoned(ms, &zone)?;
        let span = match part {
            P::FullYear => Self::of_days(&time, time.date().first_of_year(), 1.year())?,
            P::Month => Self::of_days(&time, time.date().first_of_month(), 1.month())?,
            P::Hours => {
                let offset_ms = i64::from(time.offset().seconds()) * 1000;
                let start_ms = (ms + offset_ms).div_euclid(HOUR_MS) * HOUR_MS - offset_ms;
                Self {
                    start_ms,
                    end_ms: start_ms + HOUR_MS,
                }
            }
            _ => Self::of_days(&time, time.date(), 1.day())?,
        };
        Some(span.within_offset(ms, &zone))
    }

    fn of_days(time: &Zoned, first: Date, length: Span) -> Option<Self> {
        let start = |date: Date| {
            let start = date.to_zoned(time.time_zone().clone()).ok()?;
            Some(start.timestamp().as_millisecond())
        };
        Some(Self {
            start_ms: start(first)?,
            end_ms: start(first.checked_add(length).ok()?)?,
        })
    }

    /// Clocks that are set may show the same hour, or day, again.
    fn within_offset(self, ms: i64, zone: &TimeZone) -> Self {
        let Ok(time) = Timestamp::from_millisecond(ms) else {
            return self;
        };
        let next = zone.following(time).next();
        // One before this millisecond's end, so that a change at its start counts.
        let after = Timestamp::from_millisecond(ms.saturating_add(1)).unwrap_or(time);
        let last = zone.preceding(after).next();
        let set_ms =
            |transition: jiff::tz::TimeZoneTransition<'_>| transition.timestamp().as_millisecond();
        Self {
            start_ms: last.map_or(self.start_ms, |t| self.start_ms.max(set_ms(t))),
            end_ms: next.map_or(self.end_ms, |t| self.end_ms.min(set_ms(t))),
        }
    }

    /// Whole hours of a duration, which are cut towards zero. None for other parts.
    pub fn of_duration(part: P, ms: i64) -> Option<Self> {
        if part != P::Hours {
            return None;
        }
        let hours = ms / HOUR_MS;
        let (first, last) = match hours {
            0 => (1 - HOUR_MS, HOUR_MS - 1),
            1.. => (hours * HOUR_MS, (hours + 1) * HOUR_MS - 1),
            _ => ((hours - 1) * HOUR_MS + 1, hours * HOUR_MS),
        };
        Some(Self {
            start_ms: first,
            end_ms: last + 1,
        })
    }
}

const HOUR_MS: i64 = 3_600_000;

fn time_zone(name: &str) -> Option<TimeZone> {
    offset(name).or_else(|| TimeZone::get(name).ok())
}

/// Whether the day and month of a date come round today or within `ahead_ms`, in a
/// zone. Who was born on 29 February has the 28th in common years.
pub(crate) fn anniversary_within(
    date: &Value<'_>,
    ahead_ms: i64,
    now_ms: i64,
    zone: Option<&str>,
) -> Option<bool> {
    let next = Anniversary::next(date, now_ms, zone)?;
    Some(next.is_within(ahead_ms, now_ms))
}

/// When [`anniversary_within`] can next say something else.
pub(crate) fn anniversary_changes_ms(
    date: &Value<'_>,
    ahead_ms: i64,
    now_ms: i64,
    zone: Option<&str>,
) -> Option<i64> {
    let next = Anniversary::next(date, now_ms, zone)?;
    Some(match next.is_within(ahead_ms, now_ms) {
        // The one after it may be far.
        true => next.ends_ms,
        false => next.begins_ms.min(next.begins_ms.saturating_sub(ahead_ms)),
    })
}

/// A day that comes round, today or later.
struct Anniversary {
    is_today: bool,
    begins_ms: i64,
    ends_ms: i64,
}

impl Anniversary {
    fn next(date: &Value<'_>, now_ms: i64, zone: Option<&str>) -> Option<Self> {
        let zone = match zone {
            Some(name) => time_zone(name)?,
            None => TimeZone::UTC,
        };
        let date = civil_date(date, &zone)?;
        let today = zoned(now_ms, &zone)?.date();
        let this_year = in_year(date, today.year())?;
        let next = if this_year >= today {
            this_year
        } else {
            in_year(date, today.year().checked_add(1)?)?
        };
        let starts_ms = |date: Date| {
            let start = date.to_zoned(zone.clone()).ok()?;
            Some(start.timestamp().as_millisecond())
        };
        Some(Self {
            is_today: next == today,
            begins_ms: starts_ms(next)?,
            ends_ms: starts_ms(next.tomorrow().ok()?)?,
        })
    }

    fn is_within(&self, ahead_ms: i64, now_ms: i64) -> bool {
        self.is_today || self.begins_ms <= now_ms.saturating_add(ahead_ms)
    }
}

/// A text of a date is that date in every zone.
fn civil_date(date: &Value<'_>, zone: &TimeZone) -> Option<Date> {
    match date {
        Value::Time(ms) => Some(zoned(*ms, zone)?.date()),
        Value::Text(text) if text.len() == 10 => text.parse().ok(),
        Value::Text(text) => Some(zoned(parse_time(text)?, zone)?.date()),
        _ => None,
    }
}

fn in_year(date: Date, year: i16) -> Option<Date> {
    let years = i32::from(year) - i32::from(date.year());
    // Calendar arithmetic keeps to the month: 29 February becomes the 28th.
    date.checked_add(years.years()).ok()
}
