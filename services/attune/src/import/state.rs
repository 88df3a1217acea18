//! How far an import has come, so that an interrupted one goes on where it was. Written
//! after each acknowledged stretch; belongs to one file under one mapping, and to no
//! other. Safe to lose: what is sent twice changes nothing.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// What is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Of the file's bytes and the mapping's text.
    pub fingerprint: String,
    /// Rows of the file, from its beginning, that are dealt with.
    pub rows: u64,
    pub counts: Counts,
}

/// What became of the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub accepted: u64,
    /// Sent, and there already.
    pub unchanged: u64,
    pub skipped: u64,
    /// Of items that an earlier row described.
    pub repeated: u64,
    pub rejected: u64,
}

impl Counts {
    pub fn rows(&self) -> u64 {
        self.accepted + self.unchanged + self.skipped + self.repeated + self.rejected
    }

    pub fn add(&mut self, other: Counts) {
        self.accepted += other.accepted;
        self.unchanged += other.unchanged;
        self.skipped += other.skipped;
        self.repeated += other.repeated;
        self.rejected += other.rejected;
    }
}

/// The same for the same bytes under the same mapping, and for nothing else.
pub fn fingerprint(path: &Path, mapping: &str) -> anyhow::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(blake3::hash(mapping.as_bytes()).as_bytes());
    let mut file =
        File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
    let mut buffer = vec![0; 1 << 17];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().to_hex().to_string()),
            read => hasher.update(&buffer[..read]),
        };
    }
}

/// Where a state is kept.
#[derive(Debug, Clone)]
pub struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// Beside the input, unless told otherwise.
    pub fn of(input: &Path, chosen: Option<PathBuf>) -> Self {
        let beside = || {
            let mut name = input.as_os_str().to_owned();
            name.push(".attune-import.json");
            PathBuf::from(name)
        };
        Self {
            path: chosen.unwrap_or_else(beside),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where an interrupted import of the same file under the same mapping was; the
    /// beginning otherwise.
    pub fn load(&self, fingerprint: &str) -> State {
        let read = std::fs::read(&self.path).ok();
        read.and_then(|bytes| serde_json::from_slice::<State>(&bytes).ok())
            .filter(|state| state.fingerprint == fingerprint)
            .unwrap_or_else(|| State {
                fingerprint: fingerprint.to_owned(),
                ..State::default()
            })
    }

    /// Whole or not at all.
    pub fn save(&self, state: &State) -> anyhow::Result<()> {
        let mut beside = self.path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        std::fs::write(&beside, serde_json::to_vec(state)?)?;
        std::fs::rename(&beside, &self.path)?;
        Ok(())
    }

    /// After the last row there is nothing to go on with.
    pub fn remove(&self) {
        // It may never have been written.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_belongs_to_its_file_and_mapping() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("x.csv");
        std::fs::write(&input, "a\n1\n").unwrap();
        let one = fingerprint(&input, "m").unwrap();
        assert_eq!(one, fingerprint(&input, "m").unwrap());
        assert_ne!(one, fingerprint(&input, "n").unwrap());
        let file = StateFile::of(&input, None);
        assert_eq!(file.load(&one).rows, 0);
        let state = State {
            fingerprint: one.clone(),
            rows: 7,
            counts: Counts {
                accepted: 7,
                ..Counts::default()
            },
        };
        file.save(&state).unwrap();
        assert_eq!(file.load(&one), state);
        std::fs::write(&input, "a\n2\n").unwrap();
        let other = fingerprint(&input, "m").unwrap();
        assert_eq!(file.load(&other).rows, 0);
        std::fs::write(file.path(), "broken").unwrap();
        assert_eq!(file.load(&one).rows, 0);
        file.remove();
        assert!(!file.path().exists());
    }
}
