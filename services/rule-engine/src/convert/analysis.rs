//! What may be asked of past decisions, and how counts are told as reports.

use attune_api::{
    rules::v1::{Estimate, GetReportRequest, ListDecisionsRequest, Report, ReportRow},
    time,
};
use attune_errors::Violations;

use crate::{
    convert::check,
    domain::report::{self, DAY_MS, Interval, Measures},
    store::reports::{Dimension, Narrowing},
};

const PROFILE_ID_CHARS_MAX: usize = 256;
const CHANNEL_CHARS_MAX: usize = 64;
const DAYS_DEFAULT: i64 = 30;
const ROWS_DEFAULT: i64 = 100;
const ROWS_MAX: i32 = 1000;

/// Notes everything wrong with what narrows a list.
pub fn check_list(found: &mut Violations, request: &ListDecisionsRequest) {
    if request.profile_id.chars().count() > PROFILE_ID_CHARS_MAX {
        let rule = format!("must be at most {PROFILE_ID_CHARS_MAX} characters");
        found.push("profile_id", rule);
    }
    if !request.placement.is_empty() {
        check::id(found, "placement", &request.placement);
    }
}

/// A report that can be made.
#[derive(Debug)]
pub struct ReportAsk {
    pub dimension: Dimension,
    pub narrowing: Narrowing,
    pub row_max: i64,
}

pub fn report_ask(
    request: &GetReportRequest,
    workspace: &str,
    now_ms: i64,
) -> Result<ReportAsk, Violations> {
    let mut found = Violations::new();
    let mut known = Dimension::ALL.iter();
    let dimension = known.find(|(name, _)| *name == request.dimension);
    if dimension.is_none() {
        let rule = "must be placement, strategy, rule, channel, item or day";
        found.push("dimension", rule);
    }
    let ms = |time: &Option<prost_types::Timestamp>| time.as_ref().map(time::to_ms);
    let end_ms = ms(&request.end_time).unwrap_or(now_ms);
    let start_ms = ms(&request.start_time).unwrap_or(end_ms - DAYS_DEFAULT * DAY_MS);
    if start_ms >= end_ms {
        found.push("end_time", "must be after start_time");
    }
    for (field, id) in [
        ("placement", &request.placement),
        ("strategy", &request.strategy),
    ] {
        if !id.is_empty() {
            check::id(&mut found, field, id);
        }
    }
    if request.channel.chars().count() > CHANNEL_CHARS_MAX {
        let rule = format!("must be at most {CHANNEL_CHARS_MAX} characters");
        found.push("channel", rule);
    }
    let row_max = match request.row_max {
        0 => ROWS_DEFAULT,
        max => max.into(),
    };
    if !(0..=ROWS_MAX).contains(&request.row_max) {
        let rule = format!("must be 1 to {ROWS_MAX}; 0 means {ROWS_DEFAULT}");
        found.push("row_max", rule);
    }
    let narrowing = Narrowing {
        workspace: workspace.to_owned(),
        first_day: start_ms.div_euclid(DAY_MS),
        // The day in which the end lies is in, unless it ends where that begins.
        end_day: end_ms.saturating_add(DAY_MS - 1).div_euclid(DAY_MS),
        placement: request.placement.clone(),
        strategy: request.strategy.clone(),
        channel: request.channel.clone(),
    };
    match (found.into_result(), dimension) {
        (Ok(()), Some((_, dimension))) => Ok(ReportAsk {
            dimension: *dimension,
            narrowing,
            row_max,
        }),
        (Err(found), _) => Err(found),
        // An unknown dimension is a violation, so that this is never reached.
        (Ok(()), None) => Err(Violations::of("dimension", "must be known")),
    }
}

pub fn report(dimension: Dimension, rows: Vec<(String, Measures)>, total: &Measures) -> Report {
    let rows = rows.into_iter().map(|(key, measures)| {
        let key = match dimension {
            Dimension::Day => day_name(&key),
            _ => key,
        };
        row(key, &measures)
    });
    Report {
        rows: rows.collect(),
        total: Some(row(String::new(), total)),
    }
}

/// `20779` as `2026-11-22`.
fn day_name(day: &str) -> String {
    let day: i64 = day.parse().unwrap_or_default();
    let midnight = jiff::Timestamp::from_millisecond(day.saturating_mul(DAY_MS));
    let midnight = midnight.unwrap_or_default();
    midnight.strftime("%Y-%m-%d").to_string()
}

fn row(key: String, measures: &Measures) -> ReportRow {
    let m = measures;
    ReportRow {
        key,
        decision_count: m.decisions,
        exposure_count: m.exposures,
        click_count: m.clicks,
        dismiss_count: m.dismissals,
        conversion_count: m.conversions,
        revenue: m.revenue,
        click_through: estimate(report::share(m.clicks, m.exposures)),
        conversion: estimate(report::share(m.conversions, m.exposures)),
        revenue_per_exposure: estimate(report::mean(m.revenue, m.revenue_squares, m.exposures)),
    }
}

fn estimate(interval: Interval) -> Option<Estimate> {
    Some(Estimate {
        value: interval.value,
        low: interval.low,
        high: interval.high,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 20_000 * DAY_MS + 5_000;

    #[test]
    fn a_report_is_of_whole_days() {
        let check = |start_ms: Option<i64>, end_ms: Option<i64>, days: (i64, i64)| {
            let request = GetReportRequest {
                dimension: "day".into(),
                start_time: start_ms.map(time::from_ms),
                end_time: end_ms.map(time::from_ms),
                ..GetReportRequest::default()
            };
            let narrowing = report_ask(&request, "w", NOW_MS).unwrap().narrowing;
            assert_eq!((narrowing.first_day, narrowing.end_day), days);
        };
        check(None, None, (19_970, 20_001));
        check(Some(3 * DAY_MS), Some(5 * DAY_MS), (3, 5));
        check(Some(3 * DAY_MS + 1), Some(5 * DAY_MS + 1), (3, 6));
    }

    #[test]
    fn every_fault_of_a_report_is_told() {
        let request = GetReportRequest {
            dimension: "mood".into(),
            start_time: Some(time::from_ms(2)),
            end_time: Some(time::from_ms(1)),
            placement: "Home".into(),
            strategy: "a b".into(),
            channel: "c".repeat(65),
            row_max: 1001,
        };
        let found = report_ask(&request, "w", NOW_MS).unwrap_err();
        let fields: Vec<_> = found.iter().map(|v| v.field.clone()).collect();
        let expected = [
            "dimension",
            "end_time",
            "placement",
            "strategy",
            "channel",
            "row_max",
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn days_have_names() {
        assert_eq!(day_name("20779"), "2026-11-22");
        assert_eq!(day_name("0"), "1970-01-01");
    }
}
