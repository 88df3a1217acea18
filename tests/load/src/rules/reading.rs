//! Whether readers notice that others write: one evaluation at a time, alone, then while
//! a thousand rules a second are replaced, then alone again, to know what the machine
//! itself does to such figures.

use std::{
    hint::black_box,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use attune_api::profile::v1::Snapshot;
use attune_expr::{Expression, ExpressionSet, Matches};

use super::{
    matching::{Holding, PEOPLE, SEED, compile, index},
    workload::{self, Person},
};
use crate::drive::quantile;

/// How many rules take turns at being replaced.
const REPLACED: usize = 1_000;
const UPDATE_EVERY: Duration = Duration::from_millis(1);

#[derive(Debug, Clone, Copy)]
pub struct Latency {
    pub p50_us: f64,
    pub p99_us: f64,
}

#[derive(Debug)]
pub struct Reading {
    pub rules: usize,
    pub quiet: Latency,
    pub updated: Latency,
    /// As `quiet`, after the updates.
    pub quiet_again: Latency,
    pub updates_per_second: f64,
}

pub fn measure(sizes: &[usize], time: Duration) -> Result<Vec<Reading>> {
    sizes.iter().map(|size| measure_one(*size, time)).collect()
}

fn measure_one(size: usize, time: Duration) -> Result<Reading> {
    let rules = Holding::Share.rules(size);
    let set = index(&rules)?;
    // Each key gets another key's expression, so that an update changes something.
    let mut expressions = compile(&rules[..REPLACED])?;
    expressions.rotate_left(1);
    let people = workload::people(PEOPLE, SEED);
    let snapshots: Vec<Snapshot> = people.iter().map(Person::snapshot).collect();

    let quiet = read(&set, &snapshots, time);
    let is_over = AtomicBool::new(false);
    let (updated, updates_per_second) = thread::scope(|threads| {
        let writer = threads.spawn(|| update(&set, &expressions, &is_over));
        let updated = read(&set, &snapshots, time);
        is_over.store(true, Ordering::Relaxed);
        let rate = writer
            .join()
            .map_err(|_| anyhow!("the writing thread panicked"))?;
        anyhow::Ok((updated, rate))
    })?;
    Ok(Reading {
        rules: size,
        quiet,
        updated,
        quiet_again: read(&set, &snapshots, time),
        updates_per_second,
    })
}

/// Replaces one rule per millisecond, each published by itself, and returns how many it
/// was per second. What the scheduler made it miss is made up for.
fn update(set: &ExpressionSet<u32>, expressions: &[Expression], is_over: &AtomicBool) -> f64 {
    let (begin, mut updates) = (Instant::now(), 0);
    for (key, expression) in (0..).zip(expressions).cycle() {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        set.insert(key, expression);
        updates += 1;
        thread::sleep((UPDATE_EVERY * updates).saturating_sub(begin.elapsed()));
    }
    f64::from(updates) / begin.elapsed().as_secs_f64()
}

fn read(set: &ExpressionSet<u32>, snapshots: &[Snapshot], time: Duration) -> Latency {
    let (mut matches, mut latencies_us) = (Matches::default(), Vec::with_capacity(1 << 18));
    let begin = Instant::now();
    while begin.elapsed() < time || latencies_us.is_empty() {
        for snapshot in snapshots {
            let started = Instant::now();
            black_box(set.matching(&workload::scope(black_box(snapshot)), &mut matches));
            latencies_us.push(started.elapsed().as_secs_f64() * 1e6);
        }
    }
    latencies_us.sort_by(f64::total_cmp);
    Latency {
        p50_us: quantile(&latencies_us, 0.50),
        p99_us: quantile(&latencies_us, 0.99),
    }
}
