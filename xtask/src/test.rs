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
    step("tests", || {
        run(cargo(&["test", "--workspace", "--no-fail-fast"]).env("ATTUNE_TEST_POSTGRES_URL", &url))
    })
}
