//! Random sources that mostly compile, and random people to judge them for.

use std::ops::ControlFlow;

use attune_api::profile::v1::RecentEvent;
use attune_expr::{ContextField, EventRef, ItemField, Scope, Value, recent_events};
use proptest::prelude::*;
use prost_types::value::Kind as Proto;

fn pick(of: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    prop::sample::select(of).prop_map(str::to_owned)
}

/// What needs nothing else.
fn leaf() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        pick(&[
            "1",
            "0",
            "-7",
            "2.5",
            "-0.0",
            "1e300",
            "3u",
            "9223372036854775807"
        ]),
        pick(&["'a'", "\"b\\n\"", "''", "'2026-01-01'", "b'\\x00\\xff'"]),
        pick(&["true", "false", "null", "now", "score"]),
        pick(&[
            "profile.a",
            "profile.b",
            "profile['odd name']",
            "profile.list",
            "profile.map"
        ]),
        pick(&[
            "item.price",
            "item.title",
            "item.c",
            "context.locale",
            "context.time"
        ]),
        pick(&[
            "segments",
            "duration('1h')",
            "timestamp('2026-03-01T00:00:00Z')"
        ]),
        pick(&[
            "semver('1.2')",
            "int",
            "consent('x')",
            "subscribed('y')",
            "bucket('s') < 5000"
        ]),
        pick(&[
            "events('view').count()",
            "events('view').within('1h').sum('revenue')",
            "events('view').where(e, e.revenue > 5.0).last().category",
            "events('view').then('buy').within('90s').exists()",
            "events('buy').withinDays(3, 'Europe/Berlin').exists()",
            "events('view').within('2h').mostFrequent('revenue')",
            "events('buy').distinct('item_ids')",
            "events('view').averageGap()",
        ]),
    ]
}

pub fn expression() -> impl Strategy<Value = String> {
    leaf().prop_recursive(5, 40, 4, |inner| {
        let infix = pick(&[
            " + ", " - ", " * ", " / ", " % ", " == ", " != ", " < ", " <= ", " > ", " >= ",
            " && ", " || ", " in ",
        ]);
        let method = pick(&[
            ".size()", ".trim()", ".upperAscii()", ".split(',')", ".getHours()", ".k", "[0]",
            "['k']", ".matches('^a')", ".join('-')", ".indexOf('a')",
        ]);
        let global = pick(&[
            "string", "int", "double", "uint", "bool", "bytes", "type", "dyn", "size", "timestamp",
            "math.abs", "math.ceil", "semver", "-", "!", "!!", "-(-1) + ",
        ]);
        let quantifier = pick(&["exists", "all", "exists_one", "map", "filter"]);
        prop_oneof![
            4 => (inner.clone(), infix, inner.clone()).prop_map(|(a, op, b)| format!("({a}{op}{b})")),
            2 => (inner.clone(), infix_loose(), inner.clone()).prop_map(|(a, op, b)| format!("{a}{op}{b}")),
            1 => (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            1 => (inner.clone(), method).prop_map(|(a, method)| format!("({a}){method}")),
            1 => (global, inner.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            1 => (inner.clone(), quantifier, inner.clone())
                .prop_map(|(a, q, b)| format!("[{a}, {b}].{q}(v, dyn(v) == {b})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{'k': {a}, 'l': {b}}}")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a}, {b}]")),
            1 => (inner.clone(), inner).prop_map(|(a, b)| format!("math.greatest({a}, {b})")),
        ]
    })
}

/// An expression of each kind, so that larger ones can be put together soundly.
#[derive(Debug, Clone)]
struct Parts {
    number: String,
    text: String,
    truth: String,
    list: String,
}

/// Sources that make sense, all but a few that are too large.
pub fn sound_expression() -> impl Strategy<Value = String> {
    let number = pick(&[
        "1",
        "-2.5",
        "profile.a",
        "item.price",
        "score",
        "events('buy').count()",
    ]);
    let text = pick(&[
        "'a'",
        "''",
        "profile.b",
        "item.title",
        "events('view').last().category",
    ]);
    let truth = pick(&[
        "true",
        "profile.vip",
        "consent('x')",
        "'vip' in segments",
        "has(item.c)",
    ]);
    let list = pick(&[
        "[]",
        "[1, 'a']",
        "segments",
        "profile.list",
        "item.categories",
    ]);
    let leaf = (number, text, truth, list).prop_map(|(number, text, truth, list)| Parts {
        number,
        text,
        truth,
        list,
    });
    let parts = leaf.prop_recursive(3, 12, 2, |inner| {
        (inner.clone(), inner, any::<[u8; 4]>()).prop_map(|(a, b, choice)| combine(&a, &b, choice))
    });
    (parts, 0..4_u8).prop_map(|(parts, kind)| match kind {
        0 => parts.number,
        1 => parts.text,
        2 => parts.truth,
        _ => parts.list,
    })
}

fn combine(a: &Parts, b: &Parts, [n, t, h, l]: [u8; 4]) -> Parts {
    let (an, at, ah, al) = (&a.number, &a.text, &a.truth, &a.list);
    let (bn, bt, bh, bl) = (&b.number, &b.text, &b.truth, &b.list);
    Parts {
        number: match n % 8 {
            0 => format!("({an} + {bn})"),
            1 => format!("({an} - {bn})"),
            2 => format!("{an} * ({bn})"),
            3 => format!("({an} / {bn})"),
            4 => format!("({ah} ? {an} : {bn})"),
            5 => format!("size({al})"),
            6 => format!("math.least({an}, {bn})"),
            _ => format!("({at}).indexOf({bt})"),
        },
        text: match t % 5 {
            0 => format!("({at} + {bt})"),
            1 => format!("({at}).upperAscii()"),
            2 => format!("string({an})"),
            3 => format!("({ah} ? {at} : {bt})"),
            _ => format!("({al}).map(v, string({bn})).join('-')"),
        },
        truth: match h % 10 {
            0 => format!("({an} < {bn})"),
            1 => format!("({at} != {bt})"),
            2 => format!("({ah} && {bh})"),
            3 => format!("{ah} || {bh}"),
            4 => format!("!({ah})"),
            5 => format!("({an} in {bl})"),
            6 => format!("({al}).exists(v, v == {bt})"),
            7 => format!("({at}).startsWith({bt})"),
            8 => format!("atLeast(1, {ah}, {bh})"),
            _ => format!("({al} == {bl})"),
        },
        list: match l % 4 {
            0 => format!("[{an}, {bt}]"),
            1 => format!("({al} + {bl})"),
            2 => format!("({al}).filter(v, {bh})"),
            _ => format!("({al}).map(v, v != {bt}, {bn})"),
        },
    }
}

fn infix_loose() -> impl Strategy<Value = String> {
    pick(&[" + ", " - ", " * ", " / ", " && ", " || ", " == "])
}

/// Anybody.
#[derive(Debug, Clone)]
pub struct Someone {
    values: Vec<prost_types::Value>,
    list: Vec<prost_types::Value>,
    segments: Vec<String>,
    events: Vec<RecentEvent>,
    now_ms: i64,
}

impl Someone {
    #[allow(dead_code)]
    pub fn with_list(length: u32) -> Self {
        let number = |n: u32| prost_types::Value {
            kind: Some(Proto::NumberValue(n.into())),
        };
        Self {
            values: vec![prost_types::Value {
                kind: Some(Proto::StringValue("a".repeat(5000))),
            }],
            list: (0..length).map(number).collect(),
            segments: Vec::new(),
            events: Vec::new(),
            now_ms: 0,
        }
    }

    fn value(&self, name: &str) -> Value<'_> {
        let place = usize::from(name.bytes().next().unwrap_or(0));
        let value = self.values.get(place % self.values.len().max(1));
        value.map_or(Value::Missing, Value::from)
    }
}

impl Scope for Someone {
    fn profile(&self, trait_id: &str) -> Value<'_> {
        match trait_id {
            "list" => Value::Protos(&self.list),
            name => self.value(name),
        }
    }

    fn segments(&self) -> Value<'_> {
        Value::Texts(&self.segments)
    }

    fn context(&self, field: ContextField) -> Value<'_> {
        match field {
            ContextField::Time => Value::Time(self.now_ms),
            other => self.value(other.name()),
        }
    }

    fn item(&self, field: ItemField) -> Value<'_> {
        self.value(field.name())
    }

    fn characteristic(&self, name: &str) -> Value<'_> {
        self.value(name)
    }

    fn consent(&self, _: &str) -> bool {
        self.now_ms % 2 == 0
    }

    fn subject_key(&self) -> &str {
        "someone"
    }

    fn variable(&self, name: &str) -> Value<'_> {
        self.value(name)
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

fn proto() -> impl Strategy<Value = prost_types::Value> {
    let scalar = prop_oneof![
        Just(Proto::NullValue(0)),
        any::<bool>().prop_map(Proto::BoolValue),
        any::<f64>().prop_map(Proto::NumberValue),
        (-3_i8..3).prop_map(|n| Proto::NumberValue(n.into())),
        prop::sample::select(&["a", "b", "", "2026-01-01", "k"])
            .prop_map(|text| Proto::StringValue(text.to_owned())),
    ];
    let scalar = scalar.prop_map(|kind| prost_types::Value { kind: Some(kind) });
    scalar.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|values| prost_types::Value {
                kind: Some(Proto::ListValue(prost_types::ListValue { values })),
            }),
            inner.prop_map(|value| prost_types::Value {
                kind: Some(Proto::StructValue(prost_types::Struct {
                    fields: [("k".to_owned(), value)].into(),
                })),
            }),
        ]
    })
}

pub fn someone() -> impl Strategy<Value = Someone> {
    let event = (
        prop::sample::select(&["view", "buy"]),
        0_i64..10_000_000,
        -5_i8..20,
    );
    (
        prop::collection::vec(proto(), 1..6),
        prop::collection::vec(proto(), 0..4),
        prop::collection::vec(event, 0..8),
        any::<i32>(),
    )
        .prop_map(|(values, list, events, now)| {
            let now_ms = 1_700_000_000_000 + i64::from(now);
            let mut events: Vec<_> = events
                .into_iter()
                .map(|(kind, ago_ms, revenue)| RecentEvent {
                    r#type: kind.to_owned(),
                    time_ms: now_ms - ago_ms,
                    revenue: revenue.into(),
                    ..Default::default()
                })
                .collect();
            events.sort_by_key(|event| std::cmp::Reverse(event.time_ms));
            Someone {
                values,
                list,
                segments: vec!["vip".to_owned()],
                events,
                now_ms,
            }
        })
}
