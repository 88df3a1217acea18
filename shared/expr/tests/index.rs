//! The predicate index agrees with plain evaluation, whatever the expressions, the
//! subjects, the order of changes and the shape of the tree; readers see one state or
//! the next; and what is proved unsatisfiable is.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../benches/workload/mod.rs"]
mod workload;

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use attune_api::{json, profile::v1::RecentEvent};
use attune_expr::{
    ContextField, Edit, EventRef, Expression, ExpressionSet, Matches, Reads, Scope, Value,
    Vocabulary, parse_time, recent_events,
};
use proptest::prelude::*;
use serde_json::json;

/// A value as a scope may hold it.
#[derive(Debug, Clone)]
enum Held {
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
struct Person {
    traits: BTreeMap<&'static str, Held>,
    segments: Vec<String>,
    channel: Option<&'static str>,
    time: Option<i64>,
    consent: bool,
    /// The newest first.
    events: Vec<RecentEvent>,
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
fn seen(categories: Vec<&str>) -> Vec<RecentEvent> {
    let seen = categories.into_iter().zip(1..);
    seen.map(|(category, ago)| RecentEvent {
        r#type: "view".to_owned(),
        time_ms: -ago,
        properties: json::to_struct(json!({"category": category})),
        ..RecentEvent::default()
    })
    .collect()
}

const TRAITS: [&str; 4] = ["a", "b", "c", "d"];
const TEXTS: [&str; 8] = [
    "x",
    "y",
    "xy",
    "",
    "2026-01-01",
    "2026-01-01T00:00:00Z",
    "ü",
    "zebra",
];
const NUMBERS: [&str; 9] = [
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

fn held() -> impl Strategy<Value = Held> {
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

fn times() -> impl Strategy<Value = i64> {
    let day = parse_time("2026-01-01").unwrap();
    prop::sample::select(vec![day, day - 1, day + 1, 0])
}

fn person() -> impl Strategy<Value = Person> {
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
fn condition() -> impl Strategy<Value = String> {
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

fn source() -> impl Strategy<Value = String> {
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
fn compiled(sources: &[String]) -> Vec<Expression> {
    let compile = |source: &String| Expression::compile(source, &Vocabulary::subject()).ok();
    sources.iter().filter_map(compile).collect()
}

fn check_same(
    set: &ExpressionSet<u32>,
    expected: &BTreeMap<u32, Expression>,
    people: &[Person],
    matches: &mut Matches<u32>,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(set.len(), expected.len());
    for person in people {
        let mut found = set.matching(person, matches).to_vec();
        found.sort_unstable();
        let holding = expected.iter().filter(|(_, e)| e.matches(person));
        let holding: Vec<u32> = holding.map(|(key, _)| *key).collect();
        if found != holding {
            let wrong = expected
                .iter()
                .find(|(key, e)| found.contains(key) != e.matches(person));
            prop_assert_eq!(found, holding, "{:?} of {:?}", wrong, person);
        }
    }
    Ok(())
}

#[derive(Debug, Clone)]
enum Step {
    Put(u32, prop::sample::Index),
    Remove(u32),
    Batch(Vec<(u32, Option<prop::sample::Index>)>),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0u32..24;
    let put_or_not = prop::option::weighted(0.7, any::<prop::sample::Index>());
    prop_oneof![
        6 => (key.clone(), any::<prop::sample::Index>()).prop_map(|(k, e)| Step::Put(k, e)),
        2 => key.clone().prop_map(Step::Remove),
        1 => prop::collection::vec((key, put_or_not), 0..8).prop_map(Step::Batch),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn the_index_agrees_with_plain_evaluation(
        sources in prop::collection::vec(source(), 1..24),
        people in prop::collection::vec(person(), 1..6),
        steps in prop::collection::vec(step(), 1..40),
        entries_max in prop::sample::select(vec![2usize, 3, 4, 7, 64]),
    ) {
        let expressions = compiled(&sources);
        prop_assume!(!expressions.is_empty());
        let set = ExpressionSet::with_entries_max(entries_max);
        let (mut expected, mut matches) = (BTreeMap::new(), Matches::default());
        for step in steps {
            match step {
                Step::Put(key, which) => {
                    let expression = which.get(&expressions);
                    set.insert(key, expression);
                    expected.insert(key, expression.clone());
                }
                Step::Remove(key) => {
                    prop_assert_eq!(set.remove(key), expected.remove(&key).is_some());
                }
                Step::Batch(edits) => {
                    let edits = edits.into_iter().map(|(key, which)| match which {
                        Some(which) => Edit::Put(key, which.get(&expressions).clone()),
                        None => Edit::Remove(key),
                    });
                    let edits: Vec<_> = edits.collect();
                    for edit in &edits {
                        match edit {
                            Edit::Put(key, e) => expected.insert(*key, e.clone()),
                            Edit::Remove(key) => expected.remove(key),
                        };
                    }
                    set.apply(edits);
                }
            }
            check_same(&set, &expected, &people, &mut matches)?;
        }
    }

    #[test]
    fn what_is_proved_never_to_hold_does_not(
        sources in prop::collection::vec(source(), 2..8),
        people in prop::collection::vec(person(), 8),
    ) {
        let expressions = compiled(&sources);
        for a in &expressions {
            if a.never_holds() {
                prop_assert!(!people.iter().any(|person| a.matches(person)), "{:?}", a);
            }
            for b in &expressions {
                if a.excludes(b) {
                    let both = people.iter().find(|p| a.matches(*p) && b.matches(*p));
                    prop_assert!(both.is_none(), "{:?} {:?} {:?}", a, b, both);
                }
            }
        }
    }
}

/// Many rules of one form, put in at once, one by one, changed and taken out again.
#[test]
fn many_rules_match_whom_they_should_however_they_came_in() {
    // Some with few countries, some with many.
    let mut rules = workload::rules(700, 7);
    let narrow = workload::rules_at_50(1_000_000, 7);
    rules.extend(narrow.into_iter().step_by(1_250));
    let people = workload::people(40, 8);
    let compile = |rule: &workload::Rule| {
        Expression::compile(&rule.expression(), &Vocabulary::subject()).unwrap()
    };
    let expressions: Vec<(u32, Expression)> = (0..).zip(rules.iter().map(compile)).collect();
    for entries_max in [5, 17, 64] {
        let at_once = ExpressionSet::with_entries_max(entries_max);
        at_once.apply(expressions.iter().map(|(k, e)| Edit::Put(*k, e.clone())));
        let one_by_one = ExpressionSet::with_entries_max(entries_max);
        for (key, expression) in &expressions {
            one_by_one.insert(*key, expression);
        }
        check_people(&[&at_once, &one_by_one], &rules, &people, |_| true);
        for (key, _) in expressions.iter().filter(|(key, _)| key % 3 != 0) {
            assert!(at_once.remove(*key) && one_by_one.remove(*key));
        }
        check_people(&[&at_once, &one_by_one], &rules, &people, |k| k % 3 == 0);
        for (key, _) in &expressions {
            at_once.remove(*key);
        }
        assert!(at_once.is_empty());
        check_people(&[&at_once], &rules, &people, |_| false);
    }
}

fn check_people(
    sets: &[&ExpressionSet<u32>],
    rules: &[workload::Rule],
    people: &[workload::Person],
    is_in: impl Fn(u32) -> bool,
) {
    let mut matches = Matches::default();
    for person in people {
        let holding = (0..).zip(rules).filter(|(_, rule)| rule.holds(person));
        let expected: Vec<u32> = holding.map(|(k, _)| k).filter(|k| is_in(*k)).collect();
        let snapshot = person.snapshot();
        for set in sets {
            let mut found = set
                .matching(&workload::scope(&snapshot), &mut matches)
                .to_vec();
            found.sort_unstable();
            assert_eq!(found, expected, "{person:?}");
        }
    }
}

/// At version `v` the keys `v..v + 5` hold, among others that never do.
#[test]
fn readers_see_one_state_or_the_next() {
    const VERSIONS: u32 = 400;
    let compile = |source: &str| Expression::compile(source, &Vocabulary::subject()).unwrap();
    let set = ExpressionSet::with_entries_max(4);
    let noise = compile("profile.b == 'never' && profile.c > 3");
    let kinds = [
        "has(profile.a)",
        "profile.a == 1 || profile.a == 2",
        "profile.a < 9",
    ];
    let kinds = kinds.map(compile);
    let kind = |key: u32| &kinds[key as usize % kinds.len()];
    set.apply((0..5).map(|key| Edit::Put(key, kind(key).clone())));
    set.apply((10_000..10_200).map(|key| Edit::Put(key, noise.clone())));
    let person = Person {
        traits: [("a", Held::Int(1))].into(),
        segments: Vec::new(),
        channel: None,
        time: None,
        consent: false,
        events: Vec::new(),
    };
    let (version, is_over) = (AtomicU32::new(0), AtomicBool::new(false));
    std::thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| {
                let mut matches = Matches::default();
                while !is_over.load(Ordering::Acquire) {
                    let before = version.load(Ordering::Acquire);
                    let mut found = set.matching(&person, &mut matches).to_vec();
                    let after = version.load(Ordering::Acquire) + 1;
                    found.sort_unstable();
                    let first = found[0];
                    assert_eq!(found, (first..first + 5).collect::<Vec<_>>());
                    assert!(
                        (before..=after).contains(&first),
                        "{before} {first} {after}"
                    );
                }
            });
        }
        for v in 0..VERSIONS {
            set.apply([Edit::Remove(v), Edit::Put(v + 5, kind(v + 5).clone())]);
            version.store(v + 1, Ordering::Release);
        }
        is_over.store(true, Ordering::Release);
    });
}

/// A snapshot stays as it was.
#[test]
fn a_snapshot_does_not_change() {
    let compile = |source: &str| Expression::compile(source, &Vocabulary::subject()).unwrap();
    let set: ExpressionSet<u32> = [(1, compile("has(profile.a)"))].into_iter().collect();
    let snapshot = set.snapshot();
    set.insert(1, &compile("profile.a == 'other'"));
    set.insert(2, &compile("profile.a == 1"));
    let person = Person {
        traits: [("a", Held::Int(1))].into(),
        segments: Vec::new(),
        channel: None,
        time: None,
        consent: false,
        events: Vec::new(),
    };
    let mut matches = Matches::default();
    assert_eq!(snapshot.matching(&person, &mut matches), [1]);
    assert_eq!(set.matching(&person, &mut matches), [2]);
}

#[test]
fn contradictions_are_found() {
    let compile = |source: &str| Expression::compile(source, &Vocabulary::subject()).unwrap();
    let never = [
        "profile.age > 30 && profile.age < 20",
        "profile.age > 30 && profile.age == 30",
        "profile.tier == 'gold' && profile.tier == 'silver'",
        "profile.tier in ['gold', 'silver'] && !(profile.tier in ['gold', 'silver', 'bronze'])",
        "'x' in profile.likes && !('x' in profile.likes)",
        "!has(profile.age) && profile.age > 3",
        "has(profile.age) && !has(profile.age)",
        "profile.age == 3 && profile.age == 'three'",
        "'vip' in segments && !segments.contains('vip') && profile.age > 3",
        "consent('ads') && !consent('ads')",
        "(profile.a == 1 || profile.a == 2) && (profile.a == 3 || profile.a > 5) && profile.a < 4 && profile.a != 3",
        "profile.a == 1 ? false : false",
        "1 > 2",
        "profile.a in []",
    ];
    for source in never {
        assert!(compile(source).never_holds(), "{source}");
    }
    let possible = [
        "!(profile.age > 30) && !(profile.age <= 30)",
        "'x' in profile.likes && 'y' in profile.likes",
        "profile.age != 3",
        "profile.born == '2026-01-01' && profile.born < timestamp('2026-02-01')",
        "true",
    ];
    for source in possible {
        assert!(!compile(source).never_holds(), "{source}");
    }
    let excluding = [
        ("profile.age > 30", "profile.age <= 30", true),
        ("profile.age > 30", "!(profile.age > 30)", true),
        ("profile.age > 30", "profile.age > 40", false),
        ("profile.age > 30 || profile.vip", "profile.age < 20", false),
        ("context.channel == 'web'", "context.channel == 'app'", true),
    ];
    for (a, b, expected) in excluding {
        assert_eq!(compile(a).excludes(&compile(b)), expected, "{a} with {b}");
    }
}

#[test]
fn an_expression_tells_what_it_reads() {
    let source = "profile.age > 3 && 'vip' in segments && context.channel == 'web' && \
        consent('ads') && subscribed('news') && \
        events('purchase').where(e, e.revenue > profile.limit).within('30d').count() > 1";
    let expression = Expression::compile(source, &Vocabulary::subject()).unwrap();
    let expected = Reads {
        traits: ["age", "limit"].into(),
        event_types: ["purchase"].into(),
        segments: ["vip"].into(),
        consents: ["ads"].into(),
        groups: ["news"].into(),
        context: true,
        time: true,
        ..Reads::default()
    };
    assert_eq!(expression.reads(), expected);
    let any = "size(segments) > 1 && consent(profile.purpose)";
    let any = Expression::compile(any, &Vocabulary::subject()).unwrap();
    let expected = Reads {
        traits: ["purpose"].into(),
        any_segment: true,
        any_consent: true,
        ..Reads::default()
    };
    assert_eq!(any.reads(), expected);
}
