//! When time alone changes what an expression comes to: never before it says so, and
//! where it can be told at all, it is told.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::ops::ControlFlow;

use attune_api::{json, profile::v1::RecentEvent};
use attune_expr::{
    Change, ContextField, EventRef, Expression, Kind, Scope, Value, Vocabulary, parse_time,
    recent_events,
};
use proptest::prelude::*;
use serde_json::json;

const DAY_MS: i64 = 86_400_000;

#[derive(Debug, Clone)]
struct Person {
    now_ms: i64,
    zone: &'static str,
    since: String,
    birthday: String,
    amount: f64,
    /// The newest first.
    events: Vec<RecentEvent>,
}

impl Person {
    fn at(&self, now_ms: i64) -> Self {
        Self {
            now_ms,
            ..self.clone()
        }
    }
}

impl Scope for Person {
    fn now_ms(&self) -> i64 {
        self.now_ms
    }

    fn context(&self, field: ContextField) -> Value<'_> {
        match field {
            ContextField::TimeZone => Value::text_or_missing(self.zone),
            ContextField::Time => Value::Time(self.now_ms),
            _ => Value::Missing,
        }
    }

    fn profile(&self, trait_id: &str) -> Value<'_> {
        match trait_id {
            "since" => Value::text_or_missing(&self.since),
            "birthday" => Value::text_or_missing(&self.birthday),
            "amount" => Value::Number(self.amount),
            _ => Value::Missing,
        }
    }

    fn events<'s>(
        &'s self,
        event_type: Option<&str>,
        since_ms: Option<i64>,
        visit: &mut dyn FnMut(EventRef<'s>) -> ControlFlow<()>,
    ) {
        recent_events(&self.events, event_type, since_ms, visit);
    }
}

fn at(time: &str) -> i64 {
    parse_time(time).unwrap()
}

fn event(kind: &str, time_ms: i64, revenue: f64, category: &str) -> RecentEvent {
    RecentEvent {
        r#type: kind.into(),
        time_ms,
        revenue,
        item_ids: vec![format!("{category}-1")],
        properties: json::to_struct(json!({"category": category})),
        ..RecentEvent::default()
    }
}

fn compile(source: &str) -> Expression {
    Expression::compile_value(source, &Vocabulary::subject(), Kind::Any)
        .unwrap_or_else(|faults| panic!("{source}: {faults:?}"))
}

fn somebody() -> Person {
    let now_ms = at("2026-03-30T10:00:00Z");
    let ago = |hours: i64| now_ms - hours * 3_600_000;
    Person {
        now_ms,
        zone: "Europe/Berlin",
        since: "2026-01-10".into(),
        birthday: "1990-04-10".into(),
        amount: 3.0,
        events: vec![
            event("buy", ago(-2), 10.0, "tents"),
            event("buy", ago(24), 20.0, "stoves"),
            event("view", ago(30), 0.0, "stoves"),
            event("buy", ago(48), 30.0, "tents"),
            event("buy", ago(72), -5.0, "tents"),
        ],
    }
}

#[test]
fn changes_are_told_where_they_come() {
    let person = somebody();
    let now_ms = person.now_ms;
    let after = |ms: i64| Change::At(now_ms + ms);
    let hours = |h: i64| h * 3_600_000;
    let week_ms = 7 * DAY_MS;
    for (source, expected) in [
        ("events('buy').count() >= 3", Change::Never),
        // The third newest leaves, whatever older ones do.
        (
            "events('buy').within('7d').count() >= 3",
            after(week_ms - hours(48) + 1),
        ),
        (
            "events('buy').within('7d').count() < 2",
            after(week_ms - hours(24) + 1),
        ),
        ("events('buy').within('7d').count() > 4", Change::Never),
        (
            "events('buy').within('7d').count() == 4",
            after(week_ms - hours(72) + 1),
        ),
        (
            "3 <= events('buy').within('7d').count()",
            after(week_ms - hours(48) + 1),
        ),
        (
            "events('buy').within('7d').exists()",
            after(week_ms + hours(2) + 1),
        ),
        (
            "!events('buy').within('7d').exists()",
            after(week_ms + hours(2) + 1),
        ),
        // A refund leaves first, and the sum rises.
        (
            "events('buy').within('7d').sum('revenue') < 60.0",
            after(week_ms - hours(72) + 1),
        ),
        (
            "events('buy').within('7d').sum('revenue') > 20.0",
            after(week_ms - hours(24) + 1),
        ),
        (
            "events('buy').within('7d').last().category == 'tents'",
            after(week_ms + hours(2) + 1),
        ),
        (
            "events('view').then('buy').within('48h').exists()",
            Change::Never,
        ),
        (
            "events('view').within('2d').then('buy').exists()",
            after(hours(18) + 1),
        ),
        (
            "now - events('buy').last().time > duration('1h')",
            after(hours(3) + 1),
        ),
        ("events('buy').last().time < now", after(hours(2) + 1)),
        (
            "profile.since > now - duration('80d')",
            after(at("2026-03-31") - now_ms),
        ),
        (
            "profile.since < now - duration('80d')",
            after(at("2026-03-31") - now_ms + 1),
        ),
        (
            "timestamp(profile.since) + duration('100d') > now",
            after(at("2026-04-20") - now_ms),
        ),
        ("profile.since > now", Change::Never),
        ("profile.nothing > now", Change::Never),
        (
            "anniversary(profile.birthday, '7d')",
            after(at("2026-04-02T22:00:00Z") - now_ms),
        ),
        (
            "anniversary(profile.birthday, '30d')",
            after(at("2026-04-10T22:00:00Z") - now_ms),
        ),
        ("now.getHours('Europe/Berlin') >= 9", after(hours(1))),
        ("now.getDayOfWeek('Europe/Berlin') == 1", after(hours(12))),
        ("now.getMonth() == 2", after(hours(38))),
        ("now.getFullYear() == 2026", Change::At(at("2027-01-01"))),
        (
            "(now - timestamp('2026-03-30T05:30:00Z')).getHours() < 6",
            after(hours(1) / 2),
        ),
        ("bucket('x') < 5000", Change::Never),
        // Whichever decides.
        (
            "events('buy').exists() || now.getHours() > 3",
            Change::Never,
        ),
        (
            "events('none').exists() && now.getHours() > 3",
            Change::Never,
        ),
        (
            "now > timestamp('2026-03-31') || now > timestamp('2026-04-02')",
            after(hours(14) + 1),
        ),
        (
            "now < timestamp('2026-03-31') || now < timestamp('2026-04-02')",
            after(hours(62)),
        ),
        (
            "now > timestamp('2026-03-31') && now > timestamp('2026-04-02')",
            after(hours(62) + 1),
        ),
        (
            "atLeast(2, now < timestamp('2026-03-31'), now < timestamp('2026-04-02'), true)",
            after(hours(62)),
        ),
        (
            "events('none').exists() ? now.getHours() > 3 : true",
            Change::Never,
        ),
        (
            "[profile.since, '2026-03-31'].exists(d, d > now - duration('80d'))",
            after(hours(14) + 80 * DAY_MS),
        ),
        (
            "events('buy').where(e, e.time > now - duration('25h')).count()",
            after(hours(1)),
        ),
        (
            "events('buy').last().time + events('buy').averageGap()",
            Change::Never,
        ),
        (
            "events('buy').within('7d').mostFrequent('category')",
            after(week_ms + hours(2) + 1),
        ),
        (
            "events('buy').within('7d').distinct('category') > 1",
            after(week_ms - hours(24) + 1),
        ),
        // Three centuries apart is no duration; later they are less.
        (
            "has(profile.since) && now - timestamp('0001-01-01') > duration('1h')",
            Change::Never,
        ),
    ] {
        let expression = compile(source);
        assert!(expression.untold().is_none(), "{source}");
        assert_eq!(expression.changes_at(&person), expected, "{source}");
    }
}

/// Each source with the place of what cannot be told.
#[test]
fn what_cannot_be_told_is_told_of_with_its_place() {
    for (source, column) in [
        ("string(now) == 'x'", 1),
        ("profile.amount > 1.0 && now.getMinutes() > 3", 29),
        ("int(now) > 5", 1),
        ("now in [timestamp('2026-01-01')]", 5),
        ("events('buy').where(e, int(now) > 5).exists()", 24),
        ("now - events('buy').last().time", 5),
        ("anniversary(now, '7d')", 1),
        ("[1].exists(x, [now].exists(y, y == now))", 15),
        ("(true ? now : now).getSeconds() > 3", 20),
    ] {
        let expression = compile(source);
        let fault = expression.untold().unwrap_or_else(|| panic!("{source}"));
        assert_eq!(fault.position.column, column, "{source}");
        assert_eq!(
            expression.changes_at(&somebody()),
            Change::Unknown,
            "{source}"
        );
    }
}

fn pick(of: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    prop::sample::select(of).prop_map(str::to_owned)
}

fn windowed() -> impl Strategy<Value = String> + Clone {
    let filter = pick(&[
        "",
        "",
        ".where(e, e.revenue > 5.0)",
        ".where(e, e.time > now - duration('30h'))",
        ".where(e, e.category == 'tents' && now.getHours() < 12)",
    ]);
    let window = pick(&[
        "",
        ".within('20h')",
        ".within('3d')",
        ".withinDays(2, 'Europe/Berlin')",
        ".withinDays(1)",
    ]);
    (pick(&["'buy'", "'view'"]), filter, window)
        .prop_map(|(kind, filter, window)| format!("events({kind}){filter}{window}"))
}

fn condition() -> impl Strategy<Value = String> {
    let compared = pick(&["<", "<=", ">", ">=", "==", "!="]);
    let number = (
        windowed(),
        pick(&[
            "count()",
            "sum('revenue')",
            "avg('revenue')",
            "min('revenue')",
            "max('revenue')",
            "distinct('category')",
            "first().revenue",
        ]),
    )
        .prop_map(|(events, operation)| format!("{events}.{operation}"));
    let time = prop_oneof![
        Just("now".to_owned()),
        Just("context.time".to_owned()),
        Just("timestamp(profile.since)".to_owned()),
        Just("(now + (now - timestamp('2026-03-30')))".to_owned()),
        windowed().prop_map(|e| format!("{e}.last().time")),
        windowed().prop_map(|e| format!("({e}.last().time + {e}.averageGap())")),
        pick(&["20h", "-90m", "3d"]).prop_map(|d| format!("(now - duration('{d}'))")),
    ];
    let duration = prop_oneof![
        pick(&["1h", "50h", "-3h"]).prop_map(|d| format!("duration('{d}')")),
        time.clone().prop_map(|t| format!("(now - {t})")),
        time.clone()
            .prop_map(|t| format!("-({t} - timestamp('2026-04-01'))")),
        windowed().prop_map(|e| format!("{e}.averageGap()")),
    ];
    let leaf = prop_oneof![
        windowed().prop_map(|e| format!("{e}.exists()")),
        windowed().prop_map(|e| format!("{e}.mostFrequent('category') == 'tents'")),
        windowed().prop_map(|e| format!("{e}.then('buy').within('30h').exists()")),
        (
            number.clone(),
            compared.clone(),
            pick(&["0", "1", "2.0", "25.0", "profile.amount"])
        )
            .prop_map(|(n, c, to)| format!("{n} {c} {to}")),
        (number.clone(), compared.clone(), number).prop_map(|(a, c, b)| format!("{a} {c} {b}")),
        (time.clone(), compared.clone(), time.clone()).prop_map(|(a, c, b)| format!("{a} {c} {b}")),
        (compared.clone(), time.clone()).prop_map(|(c, t)| format!("profile.since {c} {t}")),
        (duration.clone(), compared.clone(), duration.clone())
            .prop_map(|(a, c, b)| format!("{a} {c} {b}")),
        pick(&["0h", "36h", "9d", "-2d", "400d"])
            .prop_map(|ahead| format!("anniversary(profile.birthday, '{ahead}')")),
        (
            time.clone(),
            pick(&[
                "getHours",
                "getDate",
                "getMonth",
                "getDayOfWeek",
                "getFullYear"
            ]),
            pick(&["", "'Europe/Berlin'", "'+05:30'", "'America/Sao_Paulo'"])
        )
            .prop_map(|(t, part, zone)| format!("{t}.{part}({zone}) % 2 == 0")),
        duration.prop_map(|d| format!("{d}.getHours() % 2 == 0")),
        (compared, time).prop_map(|(c, t)| {
            format!("[profile.since, '2026-03-29T12:00:00Z'].exists(d, d {c} {t})")
        }),
    ];
    leaf.prop_recursive(3, 10, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("atLeast(2, {a}, {b}, {c})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("[1, 2].all(i, i == 1 ? {a} : {b})")),
        ]
    })
}

prop_compose! {
    fn person()(
        now_ms in (at("2026-03-27")..at("2026-04-02")),
        zone in prop::sample::select(&["", "Europe/Berlin", "+05:30"][..]),
        since in prop::sample::select(&["2026-03-28", "2026-03-30T04:00:00Z", "2026-04-03", ""][..]),
        birthday in prop::sample::select(&["1990-03-29", "2000-02-29", "1980-04-01", "x"][..]),
        amount in 0_u8..4,
        events in prop::collection::vec(
            (any::<bool>(), 0_i64..100, -3_i8..30, any::<bool>()), 0..12),
    ) -> Person {
        let mut events: Vec<_> = events
            .into_iter()
            .map(|(is_buy, ago_hours, revenue, is_tent)| event(
                if is_buy { "buy" } else { "view" },
                now_ms - (ago_hours - 8) * 3_600_000,
                revenue.into(),
                if is_tent { "tents" } else { "stoves" },
            ))
            .collect();
        events.sort_by_key(|event| std::cmp::Reverse(event.time_ms));
        Person {
            now_ms,
            zone,
            since: since.into(),
            birthday: birthday.into(),
            amount: amount.into(),
            events,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn nothing_changes_before_it_is_told(
        source in condition(),
        person in person(),
        moments in prop::collection::vec(0.0_f64..1.0, 12),
    ) {
        let Ok(expression) = Expression::compile(&source, &Vocabulary::subject()) else {
            // Too deep, or of kinds that do not go together.
            return Ok(());
        };
        prop_assert!(expression.untold().is_none(), "{source}");
        let until_ms = match expression.changes_at(&person) {
            Change::Never => person.now_ms + 40 * DAY_MS,
            Change::At(ms) => ms,
            Change::Unknown => panic!("{source}"),
        };
        prop_assert!(until_ms > person.now_ms, "{source}");
        let is = expression.matches(&person);
        let length_ms = until_ms - 1 - person.now_ms;
        let moments = moments.into_iter().map(|share| (share * length_ms as f64) as i64);
        let hours = (1..=length_ms / 3_600_000).map(|hour| hour * 3_600_000).take(200);
        for after_ms in moments.chain(hours).chain([length_ms]) {
            let later = person.at(person.now_ms + after_ms);
            prop_assert_eq!(
                expression.matches(&later), is,
                "{} changed {} ms too early", source, until_ms - later.now_ms
            );
        }
    }
}
