//! What a schedule may hold.

use std::collections::HashSet;

use attune_api::{
    rules::v1::{DayOfWeek, Schedule, ScheduleWindow},
    time,
};
use attune_errors::Violations;

use crate::{
    convert::plan::{self, time_of_day, time_zone},
    domain::schedule,
};

const WINDOWS_MAX: usize = 20;
/// The years 1 to 9999, as `google.protobuf.Timestamp` has it.
const SECONDS_MIN: i64 = -62_135_596_800;
const SECONDS_MAX: i64 = 253_402_300_799;
const MINUTE_RULE: &str = "must be HH:MM, 00:00 to 23:59";

/// Compiles it; None where something is at fault.
pub fn schedule(found: &mut Violations, sent: &Schedule) -> Option<schedule::Schedule> {
    let before = found.len();
    span(found, sent);
    if time_zone(&sent.time_zone).is_none() {
        let rule = "must be a time zone by its IANA name, such as Europe/Berlin";
        found.push("time_zone", rule);
    }
    if sent.windows.len() > WINDOWS_MAX {
        found.push("windows", format!("must be at most {WINDOWS_MAX}"));
    } else {
        for (index, sent) in sent.windows.iter().enumerate() {
            found.within_item("windows", index, |found| window(found, sent));
        }
    }
    match found.len() == before {
        true => plan::schedule(sent).ok(),
        false => None,
    }
}

fn span(found: &mut Violations, sent: &Schedule) {
    let mut at = |field, sent: Option<&prost_types::Timestamp>| {
        let is_time = sent.is_none_or(|t| {
            (SECONDS_MIN..=SECONDS_MAX).contains(&t.seconds)
                && (0..1_000_000_000).contains(&t.nanos)
        });
        if !is_time {
            found.push(field, "must be a time in the years 1 to 9999");
        }
        sent.filter(|_| is_time).map(time::to_ms)
    };
    let start = at("start_time", sent.start_time.as_ref());
    let end = at("end_time", sent.end_time.as_ref());
    if let (Some(start), Some(end)) = (start, end)
        && start >= end
    {
        found.push("end_time", "must be after start_time");
    }
}

fn window(found: &mut Violations, sent: &ScheduleWindow) {
    let mut seen = HashSet::new();
    for (index, day) in sent.days.iter().enumerate() {
        let is_day = DayOfWeek::try_from(*day).is_ok_and(|day| day != DayOfWeek::Unspecified);
        if !is_day {
            found.push(format!("days[{index}]"), "must be MONDAY to SUNDAY");
        } else if !seen.insert(day) {
            found.push(format!("days[{index}]"), "must not be listed twice");
        }
    }
    for (field, text) in [("start", &sent.start), ("end", &sent.end)] {
        if time_of_day(text).is_none() {
            found.push(field, MINUTE_RULE);
        }
    }
}
