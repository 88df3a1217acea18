//! People and expressions as they are drawn: names, texts and numbers that meet often,
//! and whatever their values may be. Asserts nothing.

use std::{collections::BTreeMap, ops::ControlFlow};

use attune_api::{json, profile::v1::RecentEvent};
use attune_expr::{
    ContextField, EventRef, Expression, Scope, Value, Vocabulary, parse_time, recent_events,
};
use proptest::prelude::*;
use serde_json::json;

/// A value as a scope may hold it.
#[derive(Debug, Clone)]
pub enum Held {
    Missing,
    Json(prost_types::Value),
    Int(i64),
    Time(i64),
    Duration(i64),
    Texts(Vec<String>),
}

impl Held {
    fn value(&self) -> Value<'_> {
        match self {
            Held::Missing => Value::Missing,
            Held::Json(value) => Value::from(value),
            Held::Int(n) => Value::Int(*n),
            Held::Time(ms) => Value::Time(*ms),
            Held::Duration(ms) => Value::Duration(*ms),
            Held::Texts(texts) => Value::Texts(texts),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Person {
    pub traits: BTreeMap<&'static str, Held>,
    pub segments: Vec<String>,
    pub channel: Option<&'static str>,
    pub time: Option<i64>,
    pub consent: bool,
    /// The newest first.
    pub events: Vec<RecentEvent>,
}

impl Scope for Person {
    fn profile(&self, trait_id: &str) -> Value<'_> {
        self.traits
            .get(trait_id)
            .map_or(Value::Missing, Held::value)
    }

    fn segments(&self) -> Value<'_> {
        Value::Texts(&self.segments)
    }

    fn context(&self, field: ContextField) -> Value<'_> {
        match field {
            ContextField::Channel => self.channel.map_or(Value::Missing, Value::text),
            ContextField::Time => self.time.map_or(Value::Missing, Value::Time),
            _ => Value::Missing,
        }
    }

    fn consent(&self, purpose: &str) -> bool {
        self.consent && purpose == "ads"
    }

    fn subject_key(&self) -> &str {
        "p"
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

/// That someone saw these, one after the other.
pub fn seen(categories: Vec<&str>) -> Vec<RecentEvent> {
    let seen = categories.into_iter().zip(1..);
    seen.map(|(category, ago)| RecentEvent {
        r#type: "view".to_owned(),
        time_ms: -ago,
        properties: json::to_struct(json!({"category": category})),
        ..RecentEvent::default()
    })
    .collect()
}

pub const TRAITS: [&str; 4] = ["a", "b", "c", "d"];
pub const TEXTS: [&str; 8] = [
    "x",
    "y",
    "xy",
    "",
    "2026-01-01",
    "2026-01-01T00:00:00Z",
    "ü",
    "zebra",
];
pub const NUMBERS: [&str; 9] = [
    "0",
    "1",
    "2",
    "-1",
    "2.5",
    "-0.0",
    "9007199254740993",
    "9007199254740992.0",
    "1e300",
];

pub fn held() -> impl Strategy<Value = Held> {
    let text = || prop::sample::select(&TEXTS[..]);
    let number = prop::sample::select(vec![
        0.0,
        -0.0,
        1.0,
        2.0,
        -1.0,
        2.5,
        f64::NAN,
        f64::INFINITY,
        1e300,
        9_007_199_254_740_992.0,
    ]);
    let int = prop::sample::select(vec![0, 1, 2, -1, 9_007_199_254_740_993, i64::MAX, i64::MIN]);
    let element = prop_oneof![
        text().prop_map(|t| json!(t)),
        (0..3).prop_map(|n| json!(n)),
        any::<bool>().prop_map(|b| json!(b)),
        Just(json!(null)),
    ];
    let list = prop::collection::vec(element, 0..4).prop_map(|list| json!(list));
    let map = prop::collection::btree_map(text(), 0..3, 0..3).prop_map(|map| json!(map));
    let to_json = |value| Held::Json(json::to_value(value));
    prop_oneof![
        3 => Just(Held::Missing),
        4 => text().prop_map(move |t| to_json(json!(t))),
        4 => number.prop_map(|n| Held::Json(prost_types::Value {
            kind: Some(prost_types::value::Kind::NumberValue(n)),
        })),
        2 => int.prop_map(Held::Int),
        2 => any::<bool>().prop_map(move |b| to_json(json!(b))),
        3 => list.prop_map(to_json),
        1 => map.prop_map(to_json),
        1 => prop::collection::vec(text(), 0..4)
            .prop_map(|t| Held::Texts(t.into_iter().map(str::to_owned).collect())),
        1 => times().prop_map(Held::Time),
        1 => prop::sample::select(vec![0, 3_600_000, -1]).prop_map(Held::Duration),
    ]
}

pub fn times() -> impl Strategy<Value = i64> {
    let day = parse_time("2026-01-01").unwrap();
    prop::sample::select(vec![day, day - 1, day + 1, 0])
}

pub fn person() -> impl Strategy<Value = Person> {
    (
        prop::collection::vec(held(), TRAITS.len()),
        prop::collection::vec(prop::sample::select(&["x", "y", "vip"][..]), 0..3),
        prop::option::of(prop::sample::select(&["web", "app", "x"][..])),
        prop::option::of(times()),
        any::<bool>(),
        prop::collection::vec(prop::sample::select(&TEXTS[..]), 0..4),
    )
        .prop_map(|(held, segments, channel, time, consent, saw)| Person {
            events: seen(saw),
            traits: TRAITS.into_iter().zip(held).collect(),
            segments: segments.into_iter().map(str::to_owned).collect(),
            channel,
            time,
            consent,
        })
}

/// One condition of every kind the index knows, and of some it does not.
pub fn condition() -> impl Strategy<Value = String> {
    let value = || {
        prop_oneof![
            4 => prop::sample::select(&TRAITS[..]).prop_map(|t| format!("profile.{t}")),
            1 => prop::sample::select(&["context.channel", "context.time"][..])
                .prop_map(str::to_owned),
            1 => prop::sample::select(&[
                "size(profile.a)", "(profile.a + 1)", "(profile.b - profile.c)", "-profile.a",
                "profile.a.x", "profile.b[0]", "bucket('s')", "profile.c.lowerAscii()",
                "(profile.a ? profile.b : profile.c)", "(context.time - profile.a)",
                "events('view').mostFrequent('category')", "events('view').distinct('category')",
                "events('view').averageGap()",
            ][..]).prop_map(str::to_owned),
        ]
    };
    let text = || prop::sample::select(&TEXTS[..]).prop_map(|t| format!("'{t}'"));
    let literal = || {
        prop_oneof![
            3 => prop::sample::select(&NUMBERS[..]).prop_map(str::to_owned),
            3 => text(),
            1 => prop::sample::select(&["true", "false"][..]).prop_map(str::to_owned),
            1 => Just("timestamp('2026-01-01')".to_owned()),
            1 => Just("duration('1h')".to_owned()),
        ]
    };
    let operator = || prop::sample::select(&["==", "!=", "<", "<=", ">", ">="][..]);
    let list = || prop::collection::vec(literal(), 0..4).prop_map(|l| l.join(", "));
    let test = prop_oneof![
        (operator(), literal()).prop_map(|(op, l)| format!("i {op} {l}")),
        (operator(), literal()).prop_map(|(op, l)| format!("{l} {op} i")),
        list().prop_map(|l| format!("i in [{l}]")),
        (literal(), literal()).prop_map(|(a, b)| format!("i == {a} || i == {b}")),
        text().prop_map(|t| format!("i.startsWith({t})")),
    ];
    prop_oneof![
        8 => (value(), operator(), literal()).prop_map(|(v, op, l)| format!("{v} {op} {l}")),
        2 => (literal(), operator(), value()).prop_map(|(l, op, v)| format!("{l} {op} {v}")),
        1 => (value(), operator(), value()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        1 => (literal(), operator(), literal()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        4 => (value(), list()).prop_map(|(v, l)| format!("{v} in [{l}]")),
        3 => (literal(), value()).prop_map(|(l, v)| format!("{l} in {v}")),
        1 => text().prop_map(|t| format!("{t} in segments")),
        1 => Just("segments.contains('x')".to_owned()),
        2 => (value(), literal()).prop_map(|(v, l)| format!("{v}.contains({l})")),
        2 => (value(), text()).prop_map(|(v, t)| format!("{v}.startsWith({t})")),
        2 => (value(), text()).prop_map(|(v, t)| format!("{v}.endsWith({t})")),
        1 => value().prop_map(|v| format!("{v}.matches('^x')")),
        2 => prop::sample::select(&TRAITS[..]).prop_map(|t| format!("has(profile.{t})")),
        3 => (value(), test.clone()).prop_map(|(v, t)| format!("{v}.exists(i, {t})")),
        1 => (value(), test).prop_map(|(v, t)| format!("{v}.all(i, {t})")),
        1 => prop::sample::select(&["consent('ads')", "consent('other')", "profile.d", "true",
            "false"][..]).prop_map(str::to_owned),
    ]
}

pub fn source() -> impl Strategy<Value = String> {
    condition().prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            4 => prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|parts| format!("({})", parts.join(" && "))),
            3 => prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|parts| format!("({})", parts.join(" || "))),
            2 => inner.clone().prop_map(|part| format!("!({part})")),
            1 => (inner.clone(), inner.clone(), inner)
                .prop_map(|(a, b, c)| format!("(({a}) ? ({b}) : ({c}))")),
        ]
    })
}

/// Those of the sources that pass the checks, for instance of kinds.
pub fn compiled(sources: &[String]) -> Vec<Expression> {
    let compile = |source: &String| Expression::compile(source, &Vocabulary::subject()).ok();
    sources.iter().filter_map(compile).collect()
}
