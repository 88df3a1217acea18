//! `cargo xtask test`: everything that must hold before a change lands, in the
//! order in which it is cheapest to learn that it does not.

use anyhow::Result;

use crate::{
    postgres, proto,
    shell::{cargo, run, run_lines, step},
    tools,
};

/// Format, lints and protos.
pub fn lint() -> Result<()> {
    step("format", || run(&mut cargo(&["fmt", "--check"])))?;
    step("protos", proto::check)?;
    step("clippy", || {
        run(&mut cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ]))
    })
}

/// Lints, then unit, contract and end-to-end tests.
pub fn test() -> Result<()> {
    lint()?;
    step("clients and servers of other languages", tools::foreign)?;
    let mut url = String::new();
    step("PostgreSQL", || {
        url = postgres::start()?;
        Ok(())
    })?;
    // All targets, so that the end-to-end tests find the binary and nothing is
    // built twice with other features.
    step("build", || {
        run(&mut cargo(&["build", "--workspace", "--all-targets"]))
    })?;
    let mut count = Count::default();
    let tested = step("tests", || {
        let mut tests = cargo(&["test", "--workspace", "--no-fail-fast"]);
        // Without doc tests, of which there are none: their empty runs would come last.
        tests.args(["--lib", "--bins", "--tests"]);
        tests.env("ATTUNE_TEST_POSTGRES_URL", &url);
        run_lines(&mut tests, |line| count.add(line))
    });
    println!("\n{} passed, {} failed", count.passed, count.failed);
    tested
}

/// Tests over all test programs, from the line with which each of them closes.
#[derive(Default)]
struct Count {
    passed: u32,
    failed: u32,
}

impl Count {
    fn add(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test result: ") else {
            return;
        };
        for part in rest.split([';', '.']) {
            let mut words = part.split_whitespace();
            let number = words.next().and_then(|n| n.parse::<u32>().ok());
            match (number, words.next()) {
                (Some(number), Some("passed")) => self.passed += number,
                (Some(number), Some("failed")) => self.failed += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_summed_and_others_ignored() {
        let mut count = Count::default();
        for line in [
            "test result: ok. 29 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
            "test storage::a_test ... ok",
        ] {
            count.add(line);
        }
        assert_eq!((count.passed, count.failed), (30, 2));
    }
}
