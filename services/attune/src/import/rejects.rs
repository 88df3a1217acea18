//! The rows that could not be used, in a CSV file: line, reason, and the row as it stood
//! in the input. Made when the first one comes.

use std::{fs::OpenOptions, path::PathBuf};

use anyhow::Context;

/// A row that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    pub line: u64,
    pub reason: String,
    pub raw: String,
}

/// The file.
pub struct Rejects {
    path: PathBuf,
    resumed: bool,
    writer: Option<csv::Writer<std::fs::File>>,
}

impl Rejects {
    /// A resumed import adds to what it found before.
    pub fn new(path: PathBuf, resumed: bool) -> Self {
        Self {
            path,
            resumed,
            writer: None,
        }
    }

    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    pub fn write(&mut self, rejects: &[Reject]) -> anyhow::Result<()> {
        if rejects.is_empty() {
            return Ok(());
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self.writer.insert(open(&self.path, self.resumed)?),
        };
        for reject in rejects {
            let line = reject.line.to_string();
            writer.write_record([&line, &reject.reason, &reject.raw])?;
        }
        writer.flush()?;
        Ok(())
    }
}

fn open(path: &PathBuf, resumed: bool) -> anyhow::Result<csv::Writer<std::fs::File>> {
    let mut options = OpenOptions::new();
    options.create(true).write(true);
    let adding = resumed && path.exists();
    match adding {
        true => options.append(true),
        false => options.truncate(true),
    };
    let file = options
        .open(path)
        .with_context(|| format!("the rejects file {} cannot be written", path.display()))?;
    let mut writer = csv::Writer::from_writer(file);
    if !adding {
        writer.write_record(["line", "reason", "row"])?;
    }
    Ok(writer)
}
