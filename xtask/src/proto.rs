//! Holds the protos to their lint rules and to the committed baseline that they
//! must stay compatible with.

use std::process::Command;

use anyhow::Result;

use crate::{
    shell::{command, root, run},
    tools,
};

fn buf(arguments: &[&str]) -> Result<Command> {
    let mut buf = command(tools::buf()?);
    buf.current_dir(root().join("proto")).args(arguments);
    Ok(buf)
}

/// Lint, format and breaking changes.
pub fn check() -> Result<()> {
    run(&mut buf(&["lint"])?)?;
    run(&mut buf(&["format", "--diff", "--exit-code"])?)?;
    run(&mut buf(&["breaking", "--against", "baseline.binpb"])?)
}

/// Makes today's protos the baseline; done at a release, never to silence a check.
pub fn accept() -> Result<()> {
    run(&mut buf(&[
        "build",
        "--exclude-source-info",
        "--output",
        "baseline.binpb",
    ])?)
}
