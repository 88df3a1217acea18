//! Installs what tests and lints need and Cargo does not carry: a Python
//! environment and npm packages, from their registries, into folders that git
//! ignores. Does nothing where the same versions are installed already.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::shell::{command, root, run};

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
pub fn buf() -> Result<std::path::PathBuf> {
    let folder = root().join("xtask/tools");
    npm(&folder)?;
    Ok(folder.join("node_modules/.bin/buf"))
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
