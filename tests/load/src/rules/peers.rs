//! Other rule engines on the same rules and people, each in a process of its own. They
//! are built outside the product's workspace (tests/peers) and are told what is expected
//! of them; one that finds anything else fails the run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::workload::{self, Person, Rule};

/// Engines with the largest number of rules that they are asked about.
const ENGINES: [(&str, usize); 4] = [
    ("cel", 100_000),
    ("zen-engine", 100_000),
    ("a-tree", 100_000),
    (NODE, 10_000),
];
const NODE: &str = "json-rules-engine";

pub struct Peers {
    folder: PathBuf,
}

#[derive(Serialize)]
struct Workload {
    rules: Vec<RuleTold>,
    people: Vec<PersonTold>,
}

#[derive(Serialize)]
struct RuleTold {
    countries: Vec<String>,
    age_min: u64,
    age_max: u64,
    tier_min: u64,
    days_max: u64,
    interest: String,
}

#[derive(Serialize)]
struct PersonTold {
    country: String,
    age: u64,
    tier: u64,
    days_since_purchase: u64,
    interests: Vec<String>,
    matching: Vec<u32>,
}

#[derive(Deserialize)]
struct Measured {
    us: f64,
}

impl Peers {
    pub fn names() -> impl Iterator<Item = &'static str> {
        ENGINES.into_iter().map(|(name, _)| name)
    }

    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Microseconds of one full evaluation, for those engines that are asked.
    pub fn measure(
        &self,
        rules: &[Rule],
        people: &[Person],
        expected: &[Vec<u32>],
        time: Duration,
    ) -> Result<Vec<(&'static str, f64)>> {
        let asked = ENGINES
            .into_iter()
            .filter(|(_, rules_max)| rules.len() <= *rules_max);
        let scratch = tempfile::tempdir()?;
        let path = scratch.path().join("workload.json");
        let workload = Workload {
            rules: rules.iter().map(rule_told).collect(),
            people: people.iter().zip(expected).map(person_told).collect(),
        };
        fs::write(&path, serde_json::to_vec(&workload)?)?;
        asked
            .map(|(engine, _)| Ok((engine, self.run(engine, &path, time)?)))
            .collect()
    }

    fn run(&self, engine: &'static str, workload: &Path, time: Duration) -> Result<f64> {
        let mut command = if engine == NODE {
            let mut node = Command::new("node");
            node.arg(self.folder.join("npm/json-rules-engine.mjs"));
            node
        } else {
            let mut peers = Command::new(self.folder.join("release/peers"));
            peers.arg(engine);
            peers
        };
        let output = command
            .arg(workload)
            .arg(time.as_secs_f64().to_string())
            .stderr(std::process::Stdio::inherit())
            .output()
            .with_context(|| format!("{engine} cannot be started"))?;
        ensure!(output.status.success(), "{engine} failed");
        let measured: Measured = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{engine} printed no figure"))?;
        Ok(measured.us)
    }
}

fn rule_told(rule: &Rule) -> RuleTold {
    RuleTold {
        countries: bits(rule.countries).map(workload::country).collect(),
        age_min: rule.age_min,
        age_max: rule.age_max,
        tier_min: rule.tier_min,
        days_max: rule.days_max,
        interest: workload::interest(rule.interest),
    }
}

fn person_told((person, matching): (&Person, &Vec<u32>)) -> PersonTold {
    PersonTold {
        country: workload::country(person.country),
        age: person.age,
        tier: person.tier,
        days_since_purchase: person.days,
        interests: person
            .interests
            .iter()
            .copied()
            .map(workload::interest)
            .collect(),
        matching: matching.clone(),
    }
}

/// The numbers in a set.
fn bits(set: u64) -> impl Iterator<Item = u64> {
    (0..u64::from(u64::BITS)).filter(move |bit| set & (1 << bit) != 0)
}
