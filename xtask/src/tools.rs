//! Installs what tests and lints need and Cargo does not carry: a Python
//! environment, npm packages and other rule engines, from their registries, into folders
//! that git ignores. Does nothing where the same versions are installed already.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::shell::{cargo, command, root, run, target};

/// The clients of `tests/foreign` and the mail server they test against.
pub fn foreign() -> Result<()> {
    let folder = root().join("tests/foreign");
    let requirements = folder.join("requirements.txt");
    once(&requirements, &folder.join(".venv/installed.txt"), || {
        let venv = folder.join(".venv");
        run(command("python3").args(["-m", "venv"]).arg(&venv))
            .context("Python's venv module is needed (on Debian: python3-venv)")?;
        run(command(venv.join("bin/pip"))
            .args(["install", "--quiet", "--requirement"])
            .arg(&requirements))
    })?;
    npm(&folder)
}

/// buf, for the protos.
pub fn buf() -> Result<PathBuf> {
    let folder = root().join("xtask/tools");
    npm(&folder)?;
    Ok(folder.join("node_modules/.bin/buf"))
}

/// The rule engines that ours is measured beside: those in Rust, built, and the one of
/// Node. Returns the folder they are in, all under Cargo's target directory.
pub fn peers() -> Result<PathBuf> {
    let (source, built) = (root().join("tests/peers"), target().join("peers"));
    let node = built.join("npm");
    fs::create_dir_all(&node)?;
    for file in ["package.json", "json-rules-engine.mjs"] {
        fs::copy(source.join(file), node.join(file))
            .with_context(|| format!("cannot copy {file} to {}", node.display()))?;
    }
    npm(&node)?;
    run(
        cargo(&["build", "--release", "--locked", "--manifest-path"])
            .arg(source.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&built),
    )?;
    Ok(built)
}

fn npm(folder: &Path) -> Result<()> {
    // Versions in package.json are exact. A lock file would name packages for every
    // platform, and `npm ci` refuses where a registry's mirror lacks one of them.
    let wanted = folder.join("package.json");
    once(&wanted, &folder.join("node_modules/installed.json"), || {
        run(command("npm").current_dir(folder).args([
            "install",
            "--no-package-lock",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ]))
        .context("Node and npm are needed")
    })
}

/// Runs `install` unless `stamp` holds what `list` holds.
fn once(list: &Path, stamp: &Path, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let wanted = fs::read(list).with_context(|| format!("cannot read {}", list.display()))?;
    if fs::read(stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    install()?;
    fs::write(stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
}
