//! Builds release binaries and runs one of the benchmarks.

use anyhow::Result;

use crate::{
    postgres,
    shell::{cargo, command, run, target},
    tools,
};

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
    let mut bench = command(target().join("release/attune-load"));
    bench.arg(name);
    if name == "rules" && !arguments.iter().any(|argument| argument == NO_PEERS) {
        bench.arg("--peers").arg(tools::peers()?);
    }
    if name == "profile" {
        bench.arg("--postgres").arg(postgres::start()?);
    }
    run(bench.args(arguments.iter().filter(|argument| *argument != NO_PEERS)))
}

/// Leaves out the engines that `bench rules` compares with, whose first build takes half
/// an hour.
const NO_PEERS: &str = "--no-peers";
