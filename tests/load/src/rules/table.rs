//! The tables of `bench rules`, as people read them. Measures nothing.

use crate::{home, shop};

use super::{
    decide::Deciding,
    peers::Peers,
    reading::{Latency, Reading},
};

/// Matching one number of rules: microseconds of one full evaluation of one subject.
#[derive(Debug)]
pub struct Row {
    pub rules: usize,
    /// How many of them hold for one person, on average.
    pub held: f64,
    pub index_us: f64,
    /// What the index takes in memory.
    pub index_bytes: usize,
    pub floor_us: f64,
    /// By name; only those that were asked.
    pub peers: Vec<(&'static str, f64)>,
}

impl Row {
    pub fn peer_us(&self, name: &str) -> Option<f64> {
        let named = self.peers.iter().find(|(peer, _)| *peer == name);
        named.map(|(_, us)| *us)
    }
}

pub fn matching(title: &str, rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    println!("\n{title}: µs per full evaluation of one subject");
    print!(
        "{:>9} {:>8} {:>7} {:>10} {:>10}",
        "rules", "hold", "B/rule", "index", "floor"
    );
    let shown: Vec<_> = Peers::names()
        .filter(|name| rows.iter().any(|row| row.peer_us(name).is_some()))
        .collect();
    shown.iter().for_each(|name| print!(" {name:>17}"));
    println!();
    for row in rows {
        let (rules, held) = (row.rules, row.held);
        let (index, floor) = (figure(row.index_us), figure(row.floor_us));
        let bytes = row.index_bytes / rules;
        print!("{rules:>9} {held:>8.1} {bytes:>7} {index:>10} {floor:>10}");
        for name in &shown {
            let us = row.peer_us(name).map_or_else(|| "–".into(), figure);
            print!(" {us:>17}");
        }
        println!();
    }
}

pub fn reading(rows: &[Reading]) {
    println!("\nOne evaluation while others write: µs");
    println!(
        "{:>9} {:>10} {:>10} {:>14} {:>14} {:>12}",
        "rules", "p50", "p99", "p50, updated", "p99, updated", "updates/s"
    );
    for row in rows {
        let [quiet, updated] = [row.quiet, row.updated]
            .map(|Latency { p50_us, p99_us }| (figure(p50_us), figure(p99_us)));
        println!(
            "{:>9} {:>10} {:>10} {:>14} {:>14} {:>12.0}",
            row.rules, quiet.0, quiet.1, updated.0, updated.1, row.updates_per_second
        );
    }
}

pub fn deciding(decided: &Deciding) {
    println!(
        "\nDecide in process, {} items, {} rules, three placements of 10: \
         {:.0} decisions/s per core, p50 {} µs, p99 {} µs",
        with_commas(shop::ITEMS as u64),
        with_commas(home::MANY_RULES as u64),
        decided.per_second,
        figure(decided.p50_us),
        figure(decided.p99_us)
    );
    println!("{:>12} {:>10} {:>7}", "stage", "mean µs", "share");
    let total: f64 = decided.stages.iter().map(|(_, us)| us).sum();
    for (stage, us) in &decided.stages {
        let stage = format!("{stage:?}").to_lowercase();
        println!(
            "{stage:>12} {:>10} {:>6.0}%",
            figure(*us),
            100.0 * us / total
        );
    }
}

/// Three digits where there are any, with commas.
pub fn figure(value: f64) -> String {
    match value.abs() {
        v if v < 10.0 => format!("{value:.2}"),
        v if v < 100.0 => format!("{value:.1}"),
        _ => with_commas(value.round() as u64),
    }
}

fn with_commas(value: u64) -> String {
    let digits = value.to_string();
    let mut written = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            written.push(',');
        }
        written.push(digit);
    }
    written
}
