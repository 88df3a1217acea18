//! The CEL specification's own cases, all of them, and what becomes of each: passed,
//! failed or left out, and then why. Prints a table with `--nocapture`; fails when a
//! case does, when fewer pass than did, or when one is left out without need.
//!
//! A case that expects an error passes where the source is refused or the result is
//! missing, which is how this language says "no value".

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "conformance/cases.rs"]
mod cases;
#[path = "conformance/left_out.rs"]
mod left_out;

use std::collections::BTreeMap;

use attune_expr::{Expression, Kind, Scope, Value, Vocabulary};
use cases::{Case, Expected, Held};

/// Gives a case's variables their values.
struct Bindings<'a>(&'a BTreeMap<String, Held>);

impl Scope for Bindings<'_> {
    fn variable(&self, name: &str) -> Value<'_> {
        self.0.get(name).map_or(Value::Missing, Held::value)
    }
}

/// Whether a case comes out as the specification says, or else how it does.
fn run(case: &Case) -> Result<(), String> {
    let variables = case.names.iter().map(|name| (name.clone(), Kind::Any));
    let vocabulary = Vocabulary::empty().with_variables(variables);
    let compiled = Expression::compile_value(&case.source, &vocabulary, Kind::Any);
    let expression = match (compiled, &case.expected) {
        (Ok(expression), _) => expression,
        (Err(_), Expected::Error) => return Ok(()),
        (Err(faults), _) => return Err(format!("refused: {}", faults[0])),
    };
    let scope = Bindings(&case.bindings);
    let value = expression.value(&scope);
    let is_as_expected = match &case.expected {
        Expected::Error => value.is_missing(),
        Expected::Value(expected) => expected.is(&value),
    };
    if is_as_expected {
        Ok(())
    } else {
        Err(format!("{value:?} instead of {:?}", case.expected))
    }
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    left_out: usize,
    reasons: BTreeMap<&'static str, usize>,
}

/// How many passed when last counted, by suite.
const PASSED: &[(&str, usize)] = &[
    ("basic", 41),
    ("comparisons", 334),
    ("conversions", 109),
    ("fields", 44),
    ("fp_math", 29),
    ("integer_math", 64),
    ("lists", 35),
    ("logic", 21),
    ("macros", 39),
    ("math_ext", 199),
    ("parse", 176),
    ("plumbing", 5),
    ("string", 51),
    ("string_ext", 108),
    ("timestamps", 73),
    ("type_deductions", 12),
];

#[test]
fn cel_is_what_its_specification_says() {
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let mut complaints = Vec::new();
    for case in cases::all() {
        let tally = tallies.entry(case.suite.clone()).or_default();
        let outcome = run(&case);
        match (left_out::reason(&case), outcome) {
            (Some(reason), outcome) => {
                tally.left_out += 1;
                *tally.reasons.entry(reason).or_default() += 1;
                // A refusal is what an error looks like, whatever it was refused for.
                if outcome.is_ok() && matches!(case.expected, Expected::Value(_)) {
                    complaints.push(format!("{} passes and is left out: {reason}", case.path()));
                }
            }
            (None, Ok(())) => tally.passed += 1,
            (None, Err(how)) => {
                tally.failed += 1;
                complaints.push(format!("{}: {}\n    {how}", case.path(), case.source));
            }
        }
    }
    print(&tallies);
    for (suite, passed) in PASSED {
        let now = tallies.get(*suite).map_or(0, |tally| tally.passed);
        if now < *passed {
            complaints.push(format!("{suite}: {now} pass, and {passed} did"));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

fn print(tallies: &BTreeMap<String, Tally>) {
    println!(
        "{:<16} {:>7} {:>7} {:>9}",
        "suite", "passed", "failed", "left out"
    );
    let mut all = Tally::default();
    for (suite, tally) in tallies {
        println!(
            "{suite:<16} {:>7} {:>7} {:>9}",
            tally.passed, tally.failed, tally.left_out
        );
        for (reason, count) in &tally.reasons {
            println!("{:<16} {count:>25}  {reason}", "");
            *all.reasons.entry(reason).or_default() += count;
        }
        all.passed += tally.passed;
        all.failed += tally.failed;
        all.left_out += tally.left_out;
    }
    println!(
        "{:<16} {:>7} {:>7} {:>9}",
        "all", all.passed, all.failed, all.left_out
    );
}
