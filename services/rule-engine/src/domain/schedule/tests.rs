//! Schedules against clocks that change.

use jiff::{civil::Weekday, tz::TimeZone};
use proptest::prelude::*;

use super::*;

fn ms(moment: &str) -> i64 {
    moment.parse::<Timestamp>().unwrap().as_millisecond()
}

fn window(days: Days, start: (i8, i8), end: (i8, i8)) -> Window {
    Window {
        days,
        start: civil::time(start.0, start.1, 0, 0),
        end: civil::time(end.0, end.1, 0, 0),
    }
}

fn weekly(zone: &str, windows: Vec<Window>) -> Schedule {
    let zone = TimeZone::get(zone).unwrap();
    Schedule::new(None, None, zone, windows)
}

/// When the windows open and close between two moments, to the minute, one moment at a
/// time as a decision asks.
fn changes(schedule: &Schedule, from: &str, until: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut was_open = schedule.holds_at(ms(from) - 1);
    for at in (ms(from)..ms(until)).step_by(60_000) {
        let is_open = schedule.holds_at(at);
        if is_open != was_open {
            let moment = Timestamp::from_millisecond(at).unwrap();
            found.push(format!("{}{moment}", if is_open { "+" } else { "-" }));
        }
        was_open = is_open;
    }
    found
}

#[test]
fn a_span_of_time_includes_its_start_and_not_its_end() {
    let schedule = Schedule::new(Some(1_000), Some(2_000), TimeZone::UTC, vec![]);
    let asked = [999, 1_000, 1_999, 2_000];
    assert_eq!(
        asked.map(|at| schedule.holds_at(at)),
        [false, true, true, false]
    );
    assert!(!schedule.is_over(1_999) && schedule.is_over(2_000));
    assert!(Schedule::default().holds_at(i64::MAX - 1));
}

#[test]
fn windows_follow_the_clock_through_its_changes() {
    let check = |zone, start, end, from: &str, until: &str, expected: &[&str]| {
        let schedule = weekly(zone, vec![window(Days::ALL, start, end)]);
        assert_eq!(changes(&schedule, from, until), expected, "{zone} {from}");
    };
    // Berlin skips 02:00 to 03:00 on 29 March 2026, and has it twice on 25 October.
    let spring = ("2026-03-28T12:00Z", "2026-03-29T12:00Z");
    let autumn = ("2026-10-24T12:00Z", "2026-10-25T12:00Z");
    let berlin = "Europe/Berlin";
    // Begins in the gap: at its end. Ends in the gap: at its end too.
    check(
        berlin,
        (2, 30),
        (4, 0),
        spring.0,
        spring.1,
        &["+2026-03-29T01:00:00Z", "-2026-03-29T02:00:00Z"],
    );
    check(
        berlin,
        (1, 0),
        (2, 30),
        spring.0,
        spring.1,
        &["+2026-03-29T00:00:00Z", "-2026-03-29T01:00:00Z"],
    );
    // Within the gap: not at all that day.
    check(berlin, (2, 10), (2, 50), spring.0, spring.1, &[]);
    // Around the time that comes twice: the first of the two counts.
    check(
        berlin,
        (2, 30),
        (4, 0),
        autumn.0,
        autumn.1,
        &["+2026-10-25T00:30:00Z", "-2026-10-25T03:00:00Z"],
    );
    check(
        berlin,
        (1, 0),
        (2, 30),
        autumn.0,
        autumn.1,
        &["+2026-10-24T23:00:00Z", "-2026-10-25T00:30:00Z"],
    );
    // Half an hour, on Lord Howe Island.
    check(
        "Australia/Lord_Howe",
        (2, 15),
        (3, 0),
        "2026-10-03T12:00Z",
        "2026-10-04T12:00Z",
        &["+2026-10-03T15:30:00Z", "-2026-10-03T16:00:00Z"],
    );
    // Samoa had no 30 December 2011.
    check(
        "Pacific/Apia",
        (9, 0),
        (17, 0),
        "2011-12-29T00:00Z",
        "2012-01-01T00:00Z",
        &[
            "-2011-12-29T03:00:00Z",
            "+2011-12-29T19:00:00Z",
            "-2011-12-30T03:00:00Z",
            "+2011-12-30T19:00:00Z",
            "-2011-12-31T03:00:00Z",
            "+2011-12-31T19:00:00Z",
        ],
    );
}

#[test]
fn a_window_may_reach_into_the_next_day_and_belongs_to_the_day_it_begins_on() {
    let friday = Days::of([Weekday::Friday]);
    let schedule = weekly("UTC", vec![window(friday, (22, 0), (2, 0))]);
    let found = changes(&schedule, "2026-11-18T00:00Z", "2026-11-25T00:00Z");
    assert_eq!(found, ["+2026-11-20T22:00:00Z", "-2026-11-21T02:00:00Z"]);
    // Equal times are a whole day; midnight is the end of the day.
    let schedule = weekly(
        "UTC",
        vec![
            window(friday, (6, 0), (6, 0)),
            window(friday, (0, 0), (0, 0)),
        ],
    );
    let found = changes(&schedule, "2026-11-18T00:00Z", "2026-11-25T00:00Z");
    assert_eq!(found, ["+2026-11-20T00:00:00Z", "-2026-11-21T06:00:00Z"]);
}

#[test]
fn it_is_known_whether_a_schedule_ever_occurs() {
    let weekend = || vec![window(Days::of([Weekday::Saturday]), (9, 0), (12, 0))];
    let check = |start: &str, end: &str, expected: bool| {
        let schedule = Schedule::new(Some(ms(start)), Some(ms(end)), TimeZone::UTC, weekend());
        assert_eq!(
            schedule.occurs_after(ms("2026-11-16T00:00Z")),
            expected,
            "{start} {end}"
        );
    };
    check("2026-11-16T00:00Z", "2026-11-21T09:00Z", false);
    check("2026-11-16T00:00Z", "2026-11-21T09:01Z", true);
    check("2026-11-21T12:00Z", "2026-11-28T09:00Z", false);
    check("2026-11-01T00:00Z", "2026-11-15T00:00Z", false);
    check("2026-11-21T11:00Z", "2026-11-22T00:00Z", true);
    // Only in the hour that is skipped, on the only day there is.
    let skipped = vec![window(Days::ALL, (2, 10), (2, 50))];
    let (start, end) = (ms("2026-03-28T23:00Z"), ms("2026-03-29T22:00Z"));
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let never = Schedule::new(Some(start), Some(end), berlin, skipped);
    assert!(!never.occurs_after(start));
}

#[test]
fn schedules_overlap_where_both_hold() {
    let now_ms = ms("2026-11-22T00:00Z");
    let check = |one: &Schedule, two: &Schedule, expected: bool| {
        assert_eq!(one.overlaps(two, now_ms), expected, "{one:?} {two:?}");
        assert_eq!(two.overlaps(one, now_ms), expected, "{two:?} {one:?}");
    };
    let span = |start, end| {
        Schedule::new(
            Some(now_ms + start),
            Some(now_ms + end),
            TimeZone::UTC,
            vec![],
        )
    };
    check(&span(0, 10), &span(10, 20), false);
    check(&span(0, 11), &span(10, 20), true);
    check(&span(-20, -1), &Schedule::default(), false);
    let daily = |zone, start, end| weekly(zone, vec![window(Days::ALL, start, end)]);
    let morning = daily("UTC", (6, 0), (12, 0));
    check(&morning, &daily("UTC", (12, 0), (18, 0)), false);
    check(&morning, &daily("UTC", (11, 59), (18, 0)), true);
    check(&morning, &Schedule::default(), true);
    // Noon in Berlin is before noon in UTC all year; one o'clock only in summer.
    check(&morning, &daily("Europe/Berlin", (12, 0), (12, 30)), true);
    check(&morning, &daily("Europe/Berlin", (13, 0), (13, 30)), true);
    check(&morning, &daily("Europe/Berlin", (14, 0), (14, 30)), false);
    let monday = weekly(
        "UTC",
        vec![window(Days::of([Weekday::Monday]), (0, 0), (0, 0))],
    );
    check(&monday, &span(0, DAY_MS), false);
    check(&monday, &span(0, DAY_MS + 1), true);
}

#[test]
fn periods_begin_on_the_clock_of_the_schedule() {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let start_ms = ms("2026-03-27T10:00Z");
    let schedule = Schedule::new(Some(start_ms), None, zone, vec![]);
    let period = schedule.period_of(2, ms("2026-03-30T12:00Z"));
    // The 29th to the 31st: an hour short.
    assert_eq!(period.start_ms, ms("2026-03-28T23:00Z"));
    assert_eq!(period.end_ms, ms("2026-03-30T22:00Z"));
    let daily = Schedule::default().period_of(1, 5);
    assert_eq!((daily.start_ms, daily.end_ms), (0, DAY_MS));
}

fn windows() -> impl Strategy<Value = Vec<Window>> {
    let window = (1..128_u8, 0..96_i16, 0..96_i16).prop_map(|(days, start, end)| {
        let time = |quarter: i16| ((quarter / 4) as i8, (quarter % 4 * 15) as i8);
        window(Days(days), time(start), time(end))
    });
    prop::collection::vec(window, 1..4)
}

proptest! {
    /// Read off the clock minute by minute, on days without a change of clocks.
    #[test]
    fn windows_are_what_the_clock_shows(windows in windows(), at in 0..40_000_i64, again in 0..40_000_i64) {
        let schedule = weekly("Asia/Kolkata", windows.clone());
        for minute in [at, again, at] {
            let now_ms = ms("2026-11-01T00:00Z") + minute * 60_000;
            let clock = schedule.clock(now_ms);
            let expected = windows.iter().any(|w| {
                let today = w.days.contains(clock.date().weekday());
                let yesterday = w.days.contains(clock.date().yesterday().unwrap().weekday());
                match w.end > w.start {
                    true => today && clock.time() >= w.start && clock.time() < w.end,
                    false => today && clock.time() >= w.start || yesterday && clock.time() < w.end,
                }
            });
            prop_assert_eq!(schedule.holds_at(now_ms), expected);
        }
    }

    /// What is remembered is what would be found anew.
    #[test]
    fn remembering_changes_no_answer(windows in windows(), asked in prop::collection::vec(0..600_000_i64, 1..40)) {
        for zone in ["Europe/Berlin", "America/New_York"] {
            let schedule = weekly(zone, windows.clone());
            for minute in &asked {
                let now_ms = ms("2026-01-01T00:00Z") + minute * 60_000 + 17;
                prop_assert_eq!(schedule.holds_at(now_ms), schedule.clone().holds_at(now_ms));
            }
        }
    }
}
