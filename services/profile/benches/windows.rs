//! What it costs to keep a person's history ready for windowed questions, beside looking
//! at the events: adding an event, in its order and late, and asking, with 10, 1,000 and
//! 100,000 events. A number measures that many alone.

// A benchmark that cannot go on stops.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

#[path = "../src/domain/windows/mod.rs"]
mod windows;

use std::{
    hint::black_box,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use attune_api::{json, profile::v1::RecentEvent};
use attune_expr::{Aggregate, EventRef, Expression, Kind, Scope, Value, Vocabulary, recent_events};
use serde_json::json;
use windows::{Column, ColumnKind, Windows};

const SIZES: [usize; 3] = [10, 1_000, 100_000];
const MINUTE_MS: i64 = 60_000;
const START_MS: i64 = 1_774_000_000_000;
/// The median round counts.
const ROUNDS: usize = 7;
const ROUND_MIN: Duration = Duration::from_millis(20);

/// Whoever looks at the events themselves.
struct All<'a> {
    /// The newest first.
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

/// Whoever has columns.
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
}

fn purchase(minute: usize) -> RecentEvent {
    RecentEvent {
        r#type: "purchase".into(),
        time_ms: START_MS + minute as i64 * MINUTE_MS,
        revenue: (minute * 7919 % 10_000) as f64 / 100.0,
        item_ids: vec![format!("item-{}", minute % 97)],
        channel: "web".into(),
        properties: json::to_struct(json!({"category": format!("c{}", minute % 13)})),
    }
}

fn column(aggregate: &Aggregate) -> Column {
    Column {
        source: Arc::new(aggregate.source().unwrap()),
        kind: ColumnKind::of(aggregate.operation()),
    }
}

/// Nanoseconds of one call, the median of some rounds.
fn measure(mut call: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let (begun, mut calls) = (Instant::now(), 0_u32);
            while begun.elapsed() < ROUND_MIN {
                call();
                calls += 1;
            }
            begun.elapsed().as_nanos() as f64 / f64::from(calls)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn main() {
    let asked: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let sizes = if asked.is_empty() { &SIZES[..] } else { &asked };
    println!("nanoseconds, the median of {ROUNDS} rounds; half of the events are in the window");
    println!("  events  question        add    add late        ask   by events  bytes/event");
    for &size in sizes {
        let events: Vec<_> = (0..size).map(purchase).collect();
        for question in [
            "count()",
            "sum('revenue')",
            "max('revenue')",
            "last().category",
            "mostFrequent('category')",
        ] {
            report(size, &events, question);
        }
    }
}

fn report(size: usize, events: &[RecentEvent], question: &str) {
    let window_minutes = (size / 2).max(1);
    let source = format!("events('purchase').within('{window_minutes}m').{question}");
    let vocabulary = Vocabulary::subject();
    let expression = Expression::compile_value(&source, &vocabulary, Kind::Any).unwrap();
    let column = column(expression.aggregates()[0]);
    let now_ms = START_MS + size as i64 * MINUTE_MS;
    let mut windows = Windows::default();
    windows.put(
        column.clone(),
        i64::MIN,
        now_ms,
        events.iter().map(EventRef::from),
    );
    let bytes = windows.size() as f64 / size as f64;
    let kept = Kept {
        windows: &windows,
        now_ms,
    };
    let ask = measure(|| drop(black_box(expression.value(&kept))));
    let newest_first: Vec<_> = events.iter().rev().cloned().collect();
    let all = All {
        events: &newest_first,
        now_ms,
    };
    let by_events = measure(|| drop(black_box(expression.value(&all))));
    let add = added(&windows, now_ms, |n| purchase(size + n));
    // An hour late, or as early as there is anything.
    let add_late = added(&windows, now_ms, |_| purchase(size.saturating_sub(60)));
    println!(
        "{size:8}  {:<12} {add:7.0} {add_late:11.0} {ask:10.0} {by_events:11.0} {bytes:12.1}",
        question.split('(').next().unwrap_or(question)
    );
}

/// Nanoseconds to add one of a hundred events.
fn added(windows: &Windows, now_ms: i64, event: impl Fn(usize) -> RecentEvent) -> f64 {
    const ADDED: usize = 100;
    let events: Vec<_> = (0..ADDED).map(event).collect();
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let mut windows = windows.clone();
            // What a copy left without room to grow is not the event's to pay.
            windows.add(EventRef::from(&events[0]), now_ms);
            let begun = Instant::now();
            events
                .iter()
                .for_each(|event| windows.add(EventRef::from(event), now_ms));
            begun.elapsed().as_nanos() as f64 / ADDED as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}
