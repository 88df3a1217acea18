//! Columns say what looking at every event says: of any question, at any second, in
//! whatever order the events came.

use std::{ops::ControlFlow, sync::Arc};

use attune_api::{json, profile::v1::RecentEvent};
use attune_expr::{
    Aggregate, Change, EventRef, Expression, Kind, Scope, Value, Vocabulary, recent_events,
};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const HOUR_MS: i64 = 3_600_000;
const START_MS: i64 = 1_774_000_000_000;

/// All events, the newest first.
struct All<'a> {
    events: &'a [RecentEvent],
    now_ms: i64,
}

impl Scope for All<'_> {
    fn now_ms(&self) -> i64 {
        self.now_ms
    }

    fn events<'s>(
        &'s self,
        event_type: Option<&str>,
        since_ms: Option<i64>,
        visit: &mut dyn FnMut(EventRef<'s>) -> ControlFlow<()>,
    ) {
        recent_events(self.events, event_type, since_ms, visit);
    }
}

/// What columns have.
struct Kept<'a> {
    windows: &'a Windows,
    now_ms: i64,
}

impl Scope for Kept<'_> {
    fn now_ms(&self) -> i64 {
        self.now_ms
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Option<Value<'_>> {
        self.windows.answer(aggregate, self.now_ms)
    }

    fn aggregate_until(
        &self,
        aggregate: &Aggregate,
        test: &dyn Fn(&Value<'_>) -> bool,
    ) -> Option<Change> {
        self.windows.until(aggregate, self.now_ms, test)
    }
}

fn compile(source: &str) -> Expression {
    Expression::compile_value(source, &Vocabulary::subject(), Kind::Any).unwrap()
}

fn column(aggregate: &Aggregate) -> Column {
    Column {
        source: Arc::new(aggregate.source().unwrap()),
        kind: ColumnKind::of(aggregate.operation()),
    }
}

fn question() -> impl Strategy<Value = String> {
    let pick = |of: &'static [&'static str]| prop::sample::select(of);
    (
        pick(&["buy", "view"]),
        pick(&[
            "",
            "",
            ".where(e, e.revenue > 2.0)",
            ".where(e, e.category == 'a')",
        ]),
        pick(&[
            "",
            ".within('30h')",
            ".within('9d')",
            ".withinDays(3, 'Europe/Berlin')",
        ]),
        pick(&[
            "count()",
            "exists()",
            "averageGap()",
            "sum('revenue')",
            "avg('revenue')",
            "min('revenue')",
            "max('revenue')",
            "sum('amount')",
            "max('amount')",
            "first().time",
            "last().time",
            "first().category",
            "last().item_ids",
            "mostFrequent('category')",
            "mostFrequent('item_ids')",
            "mostFrequent('revenue')",
            "distinct('category')",
            "distinct('item_ids')",
        ]),
    )
        .prop_map(|(kind, filter, window, ask)| format!("events('{kind}'){filter}{window}.{ask}"))
}

prop_compose! {
    fn event()(
        kind in prop::sample::select(&["buy", "buy", "view", "other"][..]),
        hours in 0_i64..400,
        cents in prop_oneof![4 => -500_i64..100_000, 1 => Just(0)],
        amount in prop::option::of(prop_oneof![
            Just(0.5), Just(-3.25), Just(1e300), Just(-1e300), Just(1e-9), Just(7.0)]),
        category in prop::option::of(prop::sample::select(&["a", "b", "c"][..])),
        items in prop::collection::vec(prop::sample::select(&["i", "j", "k"][..]), 0..3),
    ) -> RecentEvent {
        RecentEvent {
            r#type: kind.into(),
            time_ms: START_MS + hours * HOUR_MS,
            revenue: cents as f64 / 100.0,
            item_ids: items.into_iter().map(str::to_owned).collect(),
            properties: json::to_struct(json!({"amount": amount, "category": category})),
            ..RecentEvent::default()
        }
    }
}

/// The newest first, of one time those that were written last.
fn newest_first(written: &[RecentEvent]) -> Vec<RecentEvent> {
    let mut events: Vec<_> = written.iter().rev().cloned().collect();
    events.sort_by_key(|event| std::cmp::Reverse(event.time_ms));
    events
}

fn same(a: &Value<'_>, b: &Value<'_>) -> bool {
    (a.is_missing() && b.is_missing()) || a.equals(b)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn columns_answer_as_all_events_do(
        sources in prop::collection::vec(question(), 1..5),
        before in prop::collection::vec(event(), 0..150),
        after in prop::collection::vec(event(), 0..12),
        moments in prop::collection::vec(0_i64..600 * 3600, 1..8),
        forgets in any::<bool>(),
    ) {
        let expressions: Vec<_> = sources.iter().map(|source| compile(source)).collect();
        let aggregates: Vec<_> = expressions.iter().flat_map(Expression::aggregates).collect();
        let mut moments: Vec<_> = moments.iter().map(|s| START_MS + s * 1000 + 1).collect();
        moments.sort_unstable();
        let mut windows = Windows::default();
        for aggregate in &aggregates {
            // Some columns begin where their window begins.
            let since_ms = match forgets {
                true => since_ms(aggregate, moments[0]),
                false => i64::MIN,
            };
            if !windows.cover(aggregate, moments[0]) {
                let events = before.iter().map(EventRef::from);
                windows.put(column(aggregate), since_ms, moments[0], events);
            }
        }
        for event in &after {
            windows.add(EventRef::from(event), moments[0]);
        }
        let written: Vec<_> = before.into_iter().chain(after).collect();
        let events = newest_first(&written);
        for now_ms in moments {
            for aggregate in &aggregates {
                // However far ahead events are dated.
                prop_assert!(windows.cover(aggregate, now_ms));
            }
            let kept = Kept { windows: &windows, now_ms };
            let all = All { events: &events, now_ms };
            for expression in &expressions {
                let (found, expected) = (expression.value(&kept), expression.value(&all));
                prop_assert!(
                    same(&found, &expected),
                    "{}: {found:?} for {expected:?}", expression.source()
                );
                let change = expression.changes_at(&kept);
                if let Change::At(ms) = change {
                    prop_assert!(ms > now_ms);
                    let later = All { events: &events, now_ms: ms - 1 };
                    prop_assert!(same(&expression.value(&later), &expected), "too early");
                }
            }
        }
    }
}

#[test]
fn a_column_goes_on_covering_its_window_as_events_are_added() {
    let expression = compile("events('buy').within('1d').count()");
    let aggregate = &expression.aggregates()[0];
    let mut windows = Windows::default();
    assert!(!windows.cover(aggregate, START_MS));
    windows.put(column(aggregate), i64::MIN, START_MS, []);
    for n in 1..=100 {
        let bought = RecentEvent {
            r#type: "buy".into(),
            time_ms: START_MS + n,
            ..RecentEvent::default()
        };
        windows.add(EventRef::from(&bought), START_MS + n);
        assert!(windows.cover(aggregate, START_MS + n));
    }
    let kept = Kept {
        windows: &windows,
        now_ms: START_MS + 100,
    };
    assert!(same(&expression.value(&kept), &Value::Int(100)));
}

#[test]
fn an_event_before_what_is_complete_makes_no_difference() {
    let expression = compile("events('buy').within('1d').count()");
    let aggregate = &expression.aggregates()[0];
    let mut windows = Windows::default();
    windows.put(column(aggregate), START_MS, START_MS, []);
    let bought = |time_ms| RecentEvent {
        r#type: "buy".into(),
        time_ms,
        ..RecentEvent::default()
    };
    for time_ms in [START_MS - 1, START_MS, START_MS + 5] {
        windows.add(EventRef::from(&bought(time_ms)), START_MS + 5);
    }
    let day_ms = 24 * HOUR_MS;
    assert!(!windows.cover(aggregate, START_MS + day_ms - 1));
    assert!(windows.cover(aggregate, START_MS + day_ms));
    let answer = windows.answer(aggregate, START_MS + day_ms);
    assert!(matches!(answer, Some(Value::Int(2))));
}

#[test]
fn a_threshold_is_waited_for_at_once() {
    let expression = compile("events('buy').within('30d').count() >= 3");
    let aggregate = &expression.aggregates()[0];
    let bought = |n: i64| RecentEvent {
        r#type: "buy".into(),
        time_ms: START_MS + n,
        ..RecentEvent::default()
    };
    let events: Vec<_> = (0..500).map(bought).collect();
    let mut windows = Windows::default();
    windows.put(
        column(aggregate),
        i64::MIN,
        START_MS,
        events.iter().map(EventRef::from),
    );
    let kept = Kept {
        windows: &windows,
        now_ms: START_MS + 1_000,
    };
    let third_newest_leaves = START_MS + 497 + 30 * 24 * HOUR_MS + 1;
    assert_eq!(
        expression.changes_at(&kept),
        Change::At(third_newest_leaves)
    );
}

#[test]
fn what_is_out_of_reach_is_let_go() {
    let expression = compile("events('buy').within('1d').sum('revenue')");
    let aggregate = &expression.aggregates()[0];
    let mut windows = Windows::default();
    windows.put(column(aggregate), START_MS - 24 * HOUR_MS, START_MS, []);
    let mut largest = 0;
    for hour in 0..10_000 {
        let now_ms = START_MS + hour * HOUR_MS;
        let bought = RecentEvent {
            r#type: "buy".into(),
            time_ms: now_ms,
            revenue: 1.0,
            ..RecentEvent::default()
        };
        windows.add(EventRef::from(&bought), now_ms);
        largest = largest.max(windows.size());
    }
    let answer = windows.answer(aggregate, START_MS + 9_999 * HOUR_MS);
    assert!(
        matches!(answer, Some(Value::Number(n)) if n == 25.0),
        "{answer:?}"
    );
    assert!(largest < 8_192, "{largest} bytes for a day and its slack");
}
