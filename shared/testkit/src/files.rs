//! Looks for bytes in files, as somebody would who found the disk.

use std::{fs, io, path::Path};

/// Files below a folder that hold the bytes.
pub fn files_with(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_with(&path, bytes));
            continue;
        }
        match fs::read(&path) {
            Ok(held) if holds(&held, bytes) => found.push(path.display().to_string()),
            Ok(_) => {}
            // SQLite removes its files as it likes.
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound, "{path:?}"),
        }
    }
    found
}

fn holds(held: &[u8], bytes: &[u8]) -> bool {
    let Some(first) = bytes.first() else {
        return false;
    };
    let starts = (0..held.len()).filter(|at| held[*at] == *first);
    starts.into_iter().any(|at| held[at..].starts_with(bytes))
}
