//! A stored schedule to its compiled form, and its times of day as they are written.

use attune_api::{
    rules::v1::{DayOfWeek, Schedule as Stored, ScheduleWindow},
    time,
};
use jiff::{
    civil::{Time, Weekday},
    tz::TimeZone,
};

use super::Uncompilable;
use crate::domain::schedule::{Days, Schedule, Window};

pub fn schedule(stored: &Stored) -> Result<Schedule, Uncompilable> {
    let zone = time_zone(&stored.time_zone).ok_or(Uncompilable)?;
    let windows = stored.windows.iter().map(window);
    Ok(Schedule::new(
        stored.start_time.as_ref().map(time::to_ms),
        stored.end_time.as_ref().map(time::to_ms),
        zone,
        windows.collect::<Result<_, _>>()?,
    ))
}

/// By IANA name; empty means UTC.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    match name {
        "" => Some(TimeZone::UTC),
        name => TimeZone::get(name).ok(),
    }
}

/// `HH:MM` on a 24-hour clock; empty means midnight.
pub fn time_of_day(text: &str) -> Option<Time> {
    if text.is_empty() {
        return Some(Time::midnight());
    }
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str| {
        let is_plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        is_plain.then(|| digits.parse::<i8>().ok()).flatten()
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

fn window(stored: &ScheduleWindow) -> Result<Window, Uncompilable> {
    let days = match stored.days.is_empty() {
        true => Days::ALL,
        false => Days::of(stored.days().filter_map(weekday)),
    };
    Ok(Window {
        days,
        start: time_of_day(&stored.start).ok_or(Uncompilable)?,
        end: time_of_day(&stored.end).ok_or(Uncompilable)?,
    })
}

fn weekday(day: DayOfWeek) -> Option<Weekday> {
    Some(match day {
        DayOfWeek::Unspecified => return None,
        DayOfWeek::Monday => Weekday::Monday,
        DayOfWeek::Tuesday => Weekday::Tuesday,
        DayOfWeek::Wednesday => Weekday::Wednesday,
        DayOfWeek::Thursday => Weekday::Thursday,
        DayOfWeek::Friday => Weekday::Friday,
        DayOfWeek::Saturday => Weekday::Saturday,
        DayOfWeek::Sunday => Weekday::Sunday,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_have_two_digits_each() {
        let shown = |text| time_of_day(text).map(|t| (t.hour(), t.minute()));
        assert_eq!(shown(""), Some((0, 0)));
        assert_eq!(shown("23:59"), Some((23, 59)));
        for bad in [
            "24:00", "7:30", "07:60", "+7:30", "07.30", "07:30:00", "noon",
        ] {
            assert_eq!(shown(bad), None, "{bad}");
        }
    }
}
