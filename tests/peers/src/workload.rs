//! The rules, the people and who satisfies what, as the benchmark wrote them for every
//! engine alike. Knows no engine.

use std::fs;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
pub struct Workload {
    pub rules: Vec<Rule>,
    pub people: Vec<Person>,
}

/// Bounds are inclusive.
#[derive(Debug, Deserialize)]
pub struct Rule {
    pub countries: Vec<String>,
    pub age_min: i64,
    pub age_max: i64,
    pub tier_min: i64,
    pub days_max: i64,
    pub interest: String,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Person {
    pub country: String,
    pub age: i64,
    pub tier: i64,
    pub days_since_purchase: i64,
    pub interests: Vec<String>,
    /// The rules that hold, by their places in the list; ascending.
    #[serde(skip_serializing)]
    pub matching: Vec<u32>,
}

impl Workload {
    pub fn read(path: &str) -> Result<Self> {
        let text = fs::read(path).with_context(|| format!("cannot read {path}"))?;
        serde_json::from_slice(&text).with_context(|| format!("{path} is no workload"))
    }
}

impl Rule {
    /// The countries, quoted and with commas between.
    pub fn quoted_countries(&self) -> String {
        let quoted: Vec<String> = self.countries.iter().map(|c| format!("\"{c}\"")).collect();
        quoted.join(", ")
    }
}
