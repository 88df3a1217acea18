//! Builds release binaries and runs one of the benchmarks.

use anyhow::Result;

use crate::shell::{cargo, command, run, target};

/// `cargo xtask bench NAME …`: arguments after the name go to the benchmark.
pub fn bench(name: &str, arguments: &[String]) -> Result<()> {
    run(&mut cargo(&[
        "build",
        "--release",
        "--package",
        "attune",
        "--package",
        "attune-load",
    ]))?;
    run(command(target().join("release/attune-load"))
        .arg(name)
        .args(arguments))
}
