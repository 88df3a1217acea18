//! How long it takes to find the expressions that hold for one subject, beside a
//! posting list written for the one form that is measured; see `workload`. Then the
//! same while the set changes a thousand times a second. `--quick` stops at 10,000; a
//! number measures that many rules alone.

// A benchmark that cannot go on stops.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod workload;

use std::{
    hint::black_box,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use attune_api::profile::v1::Snapshot;
use attune_expr::{Edit, Expression, ExpressionSet, Matches, Vocabulary};
use workload::{Person, PostingList, Rule};

/// As the product's binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PEOPLE: usize = 1_000;
/// The median round counts.
const ROUNDS: usize = 7;
const ROUND_MIN: Duration = Duration::from_millis(100);

/// Its name, its rules, and how many interests they are about.
type Workload = (&'static str, fn(usize, u64) -> Vec<Rule>, fn(usize) -> u64);
const WORKLOADS: [Workload; 3] = [
    ("0.5 % hold", workload::rules, |_| workload::INTERESTS),
    ("50 hold", workload::rules_at_50, |_| workload::INTERESTS),
    (
        "50, by words",
        workload::rules_at_50_by_vocabulary,
        workload::vocabulary,
    ),
];

fn main() {
    let is_quick = std::env::args().any(|arg| arg == "--quick");
    let only: Option<usize> = std::env::args().find_map(|arg| arg.parse().ok());
    let counts = [100, 1_000, 10_000, 100_000, 1_000_000]
        .into_iter()
        .filter(|count| only.is_none_or(|only| only == *count))
        .filter(|count| !is_quick || *count <= 10_000);
    println!(
        "{:<12} {:>9} {:>8} {:>11} {:>11} {:>7} {:>8} {:>9} {:>9}",
        "workload",
        "rules",
        "match",
        "index µs",
        "floor µs",
        "ratio",
        "B/rule",
        "put µs",
        "remove µs"
    );
    for (name, make, vocabulary) in WORKLOADS {
        for count in counts.clone() {
            let people = workload::people_of(PEOPLE, vocabulary(count), 11);
            measure(name, &make(count, 2026), &people);
        }
    }
    while_changing(&workload::rules(10_000, 2026));
}

fn compile(rule: &Rule) -> Expression {
    Expression::compile(&rule.expression(), &Vocabulary::subject()).unwrap()
}

/// Expressions are let go as the set takes them in, so that a million fit anywhere.
fn set_of(rules: &[Rule]) -> ExpressionSet<u32> {
    let set = ExpressionSet::new();
    set.apply(
        (0..)
            .zip(rules)
            .map(|(key, rule)| Edit::Put(key, compile(rule))),
    );
    set
}

fn measure(name: &str, rules: &[Rule], people: &[Person]) {
    let set = set_of(rules);
    let floor = PostingList::new(rules);
    let snapshots: Vec<Snapshot> = people.iter().map(Person::snapshot).collect();
    let (mut matches, mut found) = (Matches::default(), Vec::new());

    let mut held = 0;
    for (person, snapshot) in people.iter().zip(&snapshots) {
        let mut keys = set
            .matching(&workload::scope(snapshot), &mut matches)
            .to_vec();
        floor.matching(person, &mut found);
        keys.sort_unstable();
        found.sort_unstable();
        assert_eq!(keys, found, "{person:?}");
        held += keys.len();
    }
    let index_us = median_us(|at| {
        set.matching(&workload::scope(&snapshots[at]), &mut matches)
            .len()
    });
    let floor_us = median_us(|at| {
        floor.matching(&people[at], &mut found);
        found.len()
    });
    let (put_us, remove_us) = changes(&set, rules);
    println!(
        "{name:<12} {:>9} {:>8.1} {index_us:>11.3} {floor_us:>11.3} {:>7.2} {:>8} {put_us:>9.1} {remove_us:>9.1}",
        rules.len(),
        held as f64 / people.len() as f64,
        index_us / floor_us,
        set.snapshot().bytes() / rules.len(),
    );
}

/// Microseconds per call, of the median round.
fn median_us(mut call: impl FnMut(usize) -> usize) -> f64 {
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let (mut calls, started) = (0, Instant::now());
        while started.elapsed() < ROUND_MIN {
            for at in 0..PEOPLE {
                black_box(call(black_box(at)));
            }
            calls += PEOPLE;
        }
        rounds.push(started.elapsed().as_secs_f64() * 1e6 / calls as f64);
    }
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

/// Microseconds to put one expression in and to take it out, published each time.
fn changes(set: &ExpressionSet<u32>, rules: &[Rule]) -> (f64, f64) {
    const CHANGES: usize = 500;
    let new: Vec<(u32, Expression)> = rules
        .iter()
        .cycle()
        .take(CHANGES)
        .zip(u32::MAX - CHANGES as u32..)
        .map(|(rule, key)| (key, compile(rule)))
        .collect();
    let each_us = |started: Instant| started.elapsed().as_secs_f64() * 1e6 / CHANGES as f64;
    let started = Instant::now();
    for (key, expression) in &new {
        set.insert(*key, expression);
    }
    let put_us = each_us(started);
    let started = Instant::now();
    for (key, _) in &new {
        set.remove(*key);
    }
    (put_us, each_us(started))
}

/// Latency of single reads, alone and during a thousand changes a second.
fn while_changing(rules: &[Rule]) {
    let set = set_of(rules);
    let snapshots: Vec<Snapshot> = workload::people(PEOPLE, 11)
        .iter()
        .map(Person::snapshot)
        .collect();
    let expressions: Vec<Expression> = rules.iter().take(1_000).map(compile).collect();
    tell("reads alone", reads(&set, &snapshots));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let writer = threads.spawn(|| {
            let (mut changes, started) = (0u64, Instant::now());
            while !is_over.load(Ordering::Relaxed) {
                let at = changes as usize % expressions.len();
                set.insert(at as u32, &expressions[at]);
                changes += 1;
                let due = Duration::from_millis(changes);
                std::thread::sleep(due.saturating_sub(started.elapsed()));
            }
            changes as f64 / started.elapsed().as_secs_f64()
        });
        tell("reads during changes", reads(&set, &snapshots));
        is_over.store(true, Ordering::Relaxed);
        println!("{:>6.0} changes/s", writer.join().unwrap());
    });
}

fn reads(set: &ExpressionSet<u32>, snapshots: &[Snapshot]) -> Vec<f64> {
    let mut matches = Matches::default();
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        for snapshot in snapshots {
            let started = Instant::now();
            black_box(set.matching(&workload::scope(snapshot), &mut matches));
            times.push(started.elapsed().as_secs_f64() * 1e6);
        }
    }
    times
}

fn tell(name: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "{name:<22} median {:>7.2} µs   p99 {:>7.2} µs   p99.9 {:>7.2} µs",
        at(0.5),
        at(0.99),
        at(0.999)
    );
}
