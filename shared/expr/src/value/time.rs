//! Times and durations as texts, and their range. Both are kept in milliseconds, which
//! is what the rest of the system keeps; finer parts are cut off.

use std::fmt::Write;

use jiff::{
    SignedDuration,
    civil::{DateTime, datetime},
};

use super::Value;

const EPOCH: DateTime = datetime(1970, 1, 1, 0, 0, 0, 0);

/// The years 1 to 9999, as in `google.protobuf.Timestamp`.
pub(crate) const TIME_MS_RANGE: std::ops::RangeInclusive<i64> =
    -62_135_596_800_000..=253_402_300_799_999;

/// Some 10,000 years, as in `google.protobuf.Duration`.
pub(crate) const DURATION_MS_MAX: i64 = 315_576_000_000_000;

/// Milliseconds of `YYYY-MM-DD` (midnight UTC) or RFC 3339.
pub fn parse_time(text: &str) -> Option<i64> {
    let ms = if text.len() == 10 {
        let date: jiff::civil::Date = text.parse().ok()?;
        let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        midnight.timestamp().as_millisecond()
    } else {
        match text.parse::<jiff::Timestamp>() {
            Ok(time) => time.as_millisecond(),
            Err(_) => last_day(text)?,
        }
    };
    TIME_MS_RANGE.contains(&ms).then_some(ms)
}

/// The library's times end a day before those of CEL do, so that every zone has them.
fn last_day(text: &str) -> Option<i64> {
    let clock = text
        .strip_suffix('Z')
        .filter(|_| text.starts_with("9999-12-3"))?;
    let time: DateTime = clock.parse().ok()?;
    i64::try_from(time.duration_since(EPOCH).as_millis()).ok()
}

/// RFC 3339, in UTC.
pub fn format_time(ms: i64) -> Option<String> {
    if let Ok(time) = jiff::Timestamp::from_millisecond(ms) {
        return Some(time.to_string());
    }
    let time = EPOCH.checked_add(SignedDuration::from_millis(ms)).ok()?;
    Some(format!("{time}Z"))
}

/// A duration within its range.
pub(crate) fn duration(ms: i64) -> Value<'static> {
    if (-DURATION_MS_MAX..=DURATION_MS_MAX).contains(&ms) {
        Value::Duration(ms)
    } else {
        Value::Missing
    }
}

/// The milliseconds of a duration such as `30d`, `1h30m`, `1.5s`.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    if rest.is_empty() {
        return None;
    }
    let mut total_ms = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .filter(|end| *end > 0)?;
        let amount: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        total_ms += amount * unit_ms(&rest[..end])?;
        rest = &rest[end..];
    }
    // What a decimal fraction cannot say exactly must not cost a millisecond.
    let total_ms = (total_ms * 1e3).round() / 1e3;
    (total_ms <= DURATION_MS_MAX as f64).then_some((sign * total_ms) as i64)
}

fn unit_ms(unit: &str) -> Option<f64> {
    Some(match unit {
        "d" => 86_400_000.0,
        "h" => 3_600_000.0,
        "m" => 60_000.0,
        "s" => 1000.0,
        "ms" => 1.0,
        "us" | "µs" => 1e-3,
        "ns" => 1e-6,
        _ => return None,
    })
}

/// As CEL writes it: seconds, with a fraction where there is one.
pub(crate) fn format_duration(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let (seconds, rest) = (ms.unsigned_abs() / 1000, ms.unsigned_abs() % 1000);
    let mut text = format!("{sign}{seconds}");
    if rest > 0 {
        // Writing to a string cannot fail.
        let _ = write!(text, ".{rest:03}");
        text.truncate(text.trim_end_matches('0').len());
    }
    text.push('s');
    text
}

/// In the largest of some units that it is a whole number of.
pub(crate) fn whole_units(ms: i64, units: &[(&str, i64)]) -> String {
    let (unit, unit_ms) = units
        .iter()
        .find(|(_, unit_ms)| ms % unit_ms == 0)
        .unwrap_or(&("ms", 1));
    format!("{}{unit}", ms / unit_ms)
}
