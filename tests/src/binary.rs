//! Where the program under test is.

use std::path::{Path, PathBuf};

/// From `ATTUNE_BIN`, else beside the test executable, where `cargo build` puts it.
pub fn attune() -> PathBuf {
    if let Some(path) = std::env::var_os("ATTUNE_BIN") {
        return path.into();
    }
    let this = std::env::current_exe().expect("a running test has a path");
    // target/debug/deps/scenarios-…
    let beside = this.ancestors().nth(2).map(|dir| dir.join("attune"));
    let path = beside.expect("tests are built two folders deep");
    assert!(
        path.exists(),
        "{} is missing: run `cargo build -p attune` first, or set ATTUNE_BIN",
        path.display()
    );
    path
}

/// The repository's root.
pub fn repository() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("this crate is a folder of the repository")
}
