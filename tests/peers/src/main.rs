//! One of the engines on one workload: `peers ENGINE WORKLOAD SECONDS`. First shows
//! that it finds the rules that it should for as many people as there is time for, then
//! measures, and prints `{"us": …}`, the microseconds of one full evaluation. Each
//! engine is used the way its own documentation says is the fastest.

mod a_tree;
mod cel;
mod workload;
mod zen;

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use workload::{Person, Workload};

/// An engine that holds all the rules.
trait Engine {
    /// What it takes to be asked about a person. Made before anything is timed, where
    /// the engine's own benchmarks do so too.
    type Subject;

    fn subject(&self, person: &Person) -> Result<Self::Subject>;

    /// The numbers of the rules that hold, in any order.
    fn matching(&self, subject: &Self::Subject) -> Result<Vec<u32>>;
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [engine, path, seconds] = arguments.as_slice() else {
        bail!("usage: peers a-tree|cel|zen-engine WORKLOAD SECONDS");
    };
    let workload = Workload::read(path)?;
    let time = Duration::from_secs_f64(seconds.parse().context("SECONDS is not a number")?);
    let us = match engine.as_str() {
        "a-tree" => measure(
            &a_tree::ATree::new(&workload.rules)?,
            &workload.people,
            time,
        ),
        "cel" => measure(&cel::Cel::new(&workload.rules)?, &workload.people, time),
        "zen-engine" => measure(&zen::Zen::new(&workload.rules)?, &workload.people, time),
        _ => bail!("{engine} is not among the engines"),
    }
    .with_context(|| format!("{engine} on {} rules", workload.rules.len()))?;
    println!("{}", serde_json::json!({ "us": us }));
    Ok(())
}

/// A slow engine is asked about this many people all the same.
const PEOPLE_MIN: usize = 3;

fn measure<E: Engine>(engine: &E, people: &[Person], time: Duration) -> Result<f64> {
    let subjects = people
        .iter()
        .map(|person| engine.subject(person))
        .collect::<Result<Vec<_>>>()?;
    let begin = Instant::now();
    for (number, (person, subject)) in people.iter().zip(&subjects).enumerate() {
        if number >= PEOPLE_MIN && begin.elapsed() > time {
            break;
        }
        let mut found = engine.matching(subject)?;
        found.sort_unstable();
        ensure!(
            found == person.matching,
            "person {number} satisfies {:?}, but it found {found:?}",
            person.matching
        );
    }
    let begin = Instant::now();
    let mut evaluations = 0;
    for subject in subjects.iter().cycle() {
        if evaluations >= PEOPLE_MIN && begin.elapsed() > time {
            break;
        }
        black_box(engine.matching(black_box(subject))?);
        evaluations += 1;
    }
    Ok(begin.elapsed().as_secs_f64() * 1e6 / evaluations as f64)
}
