//! Times the index and the floor in turn on the same people, and the other engines
//! after them. Nothing is timed before all have found the same rules.

use std::{
    hint::black_box,
    num::NonZero,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, ensure};
use attune_api::profile::v1::Snapshot;
use attune_expr::{Expression, ExpressionSet, Matches, Vocabulary};

use super::{
    peers::Peers,
    table::Row,
    workload::{self, Person, PostingList, Rule},
};
use crate::drive::quantile;

/// Enough for a mean, few enough to go round often.
pub const PEOPLE: usize = 200;
pub const SEED: u64 = 0x00A7_7E5E;
const ROUNDS_MIN: usize = 3;

/// How many rules hold for the average person.
#[derive(Debug, Clone, Copy)]
pub enum Holding {
    /// About 0.5 % of them.
    Share,
    /// About fifty, however many there are.
    Fifty,
}

impl Holding {
    pub fn rules(self, count: usize) -> Vec<Rule> {
        match self {
            Self::Share => workload::rules(count, SEED),
            Self::Fifty => workload::rules_at_50(count, SEED),
        }
    }
}

pub fn series(
    holding: Holding,
    sizes: &[usize],
    time: Duration,
    peers: Option<&Peers>,
) -> Result<Vec<Row>> {
    let people = workload::people(PEOPLE, SEED);
    let mut rows = Vec::new();
    for &size in sizes {
        let rules = holding.rules(size);
        let mut row = measure(&rules, &people, time)?;
        if let Some(peers) = peers {
            let expected = expected(&rules, &people);
            row.peers = peers.measure(&rules, &people, &expected, time)?;
        }
        eprintln!(
            "{size} rules: {:.2} µs, floor {:.2} µs",
            row.index_us, row.floor_us
        );
        rows.push(row);
    }
    Ok(rows)
}

fn measure(rules: &[Rule], people: &[Person], time: Duration) -> Result<Row> {
    let index = index(rules)?;
    let floor = PostingList::new(rules);
    let snapshots: Vec<Snapshot> = people.iter().map(Person::snapshot).collect();
    let held = check(&index, &floor, rules, people, &snapshots)?;

    let (mut matches, mut found) = (Matches::default(), Vec::new());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let begin = Instant::now();
    // In turn, so that a slow minute of the machine slows both.
    while ours.len() < ROUNDS_MIN || begin.elapsed() < 2 * time {
        ours.push(round(&snapshots, |snapshot| {
            let scope = workload::scope(snapshot);
            index.matching(&scope, &mut matches).len()
        }));
        theirs.push(round(people, |person| {
            floor.matching(person, &mut found);
            found.len()
        }));
    }
    Ok(Row {
        rules: rules.len(),
        held: held as f64 / people.len() as f64,
        index_us: median(ours),
        index_bytes: index.snapshot().bytes(),
        floor_us: median(theirs),
        peers: Vec::new(),
    })
}

/// Microseconds per person.
fn round<T>(subjects: &[T], mut evaluate: impl FnMut(&T) -> usize) -> f64 {
    let begin = Instant::now();
    for subject in subjects {
        black_box(evaluate(black_box(subject)));
    }
    begin.elapsed().as_secs_f64() * 1e6 / subjects.len() as f64
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    quantile(&figures, 0.5)
}

/// The index, the floor and, person by person, the rules themselves agree. Returns
/// how many rules held in all.
fn check(
    index: &ExpressionSet<u32>,
    floor: &PostingList,
    rules: &[Rule],
    people: &[Person],
    snapshots: &[Snapshot],
) -> Result<usize> {
    let (mut matches, mut found, mut held) = (Matches::default(), Vec::new(), 0);
    for ((person, snapshot), expected) in people.iter().zip(snapshots).zip(expected(rules, people))
    {
        let scope = workload::scope(snapshot);
        found.extend_from_slice(index.matching(&scope, &mut matches));
        found.sort_unstable();
        ensure!(found == expected, "the index is wrong about {person:?}");
        floor.matching(person, &mut found);
        found.sort_unstable();
        ensure!(found == expected, "the floor is wrong about {person:?}");
        held += expected.len();
        found.clear();
    }
    Ok(held)
}

/// The rules that hold for each person, ascending.
fn expected(rules: &[Rule], people: &[Person]) -> Vec<Vec<u32>> {
    let of = |person: &Person| {
        let held = (0..).zip(rules).filter(|(_, rule)| rule.holds(person));
        held.map(|(number, _)| number).collect()
    };
    people.iter().map(of).collect()
}

pub fn index(rules: &[Rule]) -> Result<ExpressionSet<u32>> {
    Ok((0..).zip(compile(rules)?).collect())
}

/// On all cores: parsing is most of what a million rules take.
pub fn compile(rules: &[Rule]) -> Result<Vec<Expression>> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let vocabulary = Vocabulary::subject();
    let compile = |part: &[Rule]| -> Result<Vec<Expression>> {
        part.iter()
            .map(|rule| {
                Expression::compile(&rule.expression(), &vocabulary)
                    .map_err(|faults| anyhow!("{faults:?}"))
            })
            .collect()
    };
    thread::scope(|scope| {
        let parts: Vec<_> = rules
            .chunks(rules.len().div_ceil(cores).max(1))
            .map(|part| scope.spawn(|| compile(part)))
            .collect();
        let mut all = Vec::with_capacity(rules.len());
        for part in parts {
            let part = part
                .join()
                .map_err(|_| anyhow!("a compiling thread panicked"))?;
            all.extend(part?);
        }
        Ok(all)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_rules_hold_as_each_series_promises() {
        for (holding, size, promised) in [
            (Holding::Share, 1_000, 5.0),
            (Holding::Share, 20_000, 100.0),
            (Holding::Fifty, 10_000, 50.0),
            (Holding::Fifty, 100_000, 50.0),
            (Holding::Fifty, 1_000_000, 50.0),
        ] {
            let people = workload::people(PEOPLE, SEED);
            let expected = expected(&holding.rules(size), &people);
            let held = expected.iter().flatten().count() as f64 / people.len() as f64;
            assert!(
                (0.75 * promised..1.25 * promised).contains(&held),
                "{holding:?} {size}: {held}"
            );
        }
    }

    #[test]
    fn the_index_and_the_floor_find_what_the_rules_say() {
        let rows = series(Holding::Share, &[100, 1_000], Duration::ZERO, None).unwrap();
        assert!(rows.iter().all(|row| row.held > 0.0), "{rows:?}");
    }
}
