//! Input files, row by row, in bounded memory: CSV and NDJSON, plain or compressed, and
//! Parquet. A broken row is a row that says so; only a file that cannot be read at all
//! is an error.

mod csv;
mod ndjson;
mod parquet;

use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context;
use flate2::read::MultiGzDecoder;

use super::{row::Row, template::Columns};

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Csv,
    Ndjson,
    Parquet,
}

/// A row, or what stands where one should be.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    Row(Row),
    Broken { line: u64, raw: String, why: String },
}

impl Reading {
    pub fn line(&self) -> u64 {
        match self {
            Self::Row(row) => row.line,
            Self::Broken { line, .. } => *line,
        }
    }
}

/// Rows in the order of the file. Ends at an error.
pub type Rows = Box<dyn Iterator<Item = anyhow::Result<Reading>> + Send>;

/// How far a file was read, in bytes of the file as it lies on the disk.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }
}

/// By the file's name: `.csv`, `.tsv`, `.ndjson`, `.jsonl`, `.parquet`, the text ones
/// also with `.gz`.
pub fn format_of(path: &Path) -> anyhow::Result<Format> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit('.').next() {
        Some("csv" | "tsv") => Ok(Format::Csv),
        Some("ndjson" | "jsonl") => Ok(Format::Ndjson),
        Some("parquet") => Ok(Format::Parquet),
        _ => anyhow::bail!(
            "{} is neither .csv, .ndjson nor .parquet; say which with --format",
            path.display()
        ),
    }
}

/// Opens a file. Fails if a column that the mapping reads is not in it, where the
/// format has a list of its columns.
pub fn open(
    path: &Path,
    format: Format,
    columns: &Columns,
    delimiter: u8,
    progress: &Progress,
) -> anyhow::Result<Rows> {
    let names: Arc<[String]> = columns.names().into();
    let file = File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
    match format {
        Format::Parquet => parquet::rows(file, names, progress.clone()),
        Format::Csv => csv::rows(text(file, progress)?, names, delimiter),
        Format::Ndjson => Ok(ndjson::rows(text(file, progress)?, names)),
    }
}

type Text = Box<dyn Read + Send>;

/// Unpacked where the first bytes say gzip, whatever the name says.
fn text(file: File, progress: &Progress) -> anyhow::Result<Text> {
    let mut file = BufReader::with_capacity(
        1 << 17,
        Counted {
            file,
            bytes: 0,
            progress: progress.clone(),
        },
    );
    let start = std::io::BufRead::fill_buf(&mut file)?;
    if start.starts_with(&[0x1f, 0x8b]) {
        Ok(Box::new(MultiGzDecoder::new(file)))
    } else {
        Ok(Box::new(file))
    }
}

struct Counted {
    file: File,
    bytes: u64,
    progress: Progress,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.bytes += read as u64;
        self.progress.set(self.bytes);
        Ok(read)
    }
}

/// The columns that are missing among those that there are.
fn missing(names: &[String], there: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    let missing: Vec<_> = names.iter().filter(|n| !there(n)).collect();
    anyhow::ensure!(
        missing.is_empty(),
        "the mapping reads columns that the file does not have: {}",
        missing
            .iter()
            .map(|n| n.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::row::Cell;
    use std::io::Write;

    fn rows(name: &str, bytes: &[u8], names: &[&str]) -> anyhow::Result<Vec<Reading>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(name);
        std::fs::write(&path, bytes)?;
        let mut columns = Columns::default();
        for name in names {
            columns.index(name);
        }
        let progress = Progress::default();
        let rows = open(&path, format_of(&path)?, &columns, b',', &progress)?;
        let rows = rows.collect();
        assert_eq!(progress.bytes(), bytes.len() as u64);
        rows
    }

    fn shown(rows: Vec<Reading>) -> Vec<String> {
        rows.into_iter()
            .map(|read| match read {
                Reading::Row(row) => {
                    let cells = row.cells.iter().map(|cell| match cell {
                        Cell::Empty => "-".to_owned(),
                        Cell::Text(text) => text.clone(),
                        Cell::Json(json) => format!("json {json}"),
                        Cell::Broken(why) => format!("broken: {why}"),
                    });
                    format!("{}: {}", row.line, cells.collect::<Vec<_>>().join(" | "))
                }
                Reading::Broken { line, why, .. } => format!("{line} broken: {why}"),
            })
            .collect()
    }

    #[test]
    fn csv_is_read_with_its_broken_rows() {
        let text = b"\xef\xbb\xbfb,a,c\n1,\"two\nlines\",3\n4,5\n6,\xff\xfe,7\n8,\"\",9\n";
        let got = shown(rows("x.csv", text, &["a", "c"]).unwrap());
        let expected = [
            "2: two\nlines | 3",
            "4 broken: has 2 columns, not 3",
            "5: broken: is not valid UTF-8 | 7",
            "6:  | 9",
        ];
        assert_eq!(got, expected);
    }

    #[test]
    fn compressed_csv_is_read_by_its_content() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"a\n1\n2\n").unwrap();
        let packed = packed.finish().unwrap();
        for name in ["x.csv.gz", "x.csv"] {
            assert_eq!(
                shown(rows(name, &packed, &["a"]).unwrap()),
                ["2: 1", "3: 2"]
            );
        }
    }

    #[test]
    fn ndjson_is_read_with_its_broken_rows() {
        let text = b"{\"a\": {\"b\": 1.5}, \"c\": [1]}\n{\"a\": \n\n[1]\n{\"c\": \"x\"}\n\xff\n{\"c\":null}";
        let got = shown(rows("x.ndjson", text, &["a.b", "c"]).unwrap());
        assert_eq!(got[0], "1: json 1.5 | json [1]");
        assert!(got[1].starts_with("2 broken: is no JSON"), "{}", got[1]);
        assert_eq!(got[2], "4 broken: is not a JSON object");
        assert_eq!(got[3], "5: - | json \"x\"");
        assert_eq!(got[4], "6 broken: is not valid UTF-8");
        assert_eq!(got[5], "7: - | -");
    }

    #[test]
    fn a_missing_column_is_an_error_of_the_file() {
        let error = rows("x.csv", b"a,b\n1,2\n", &["a", "z", "y"]).unwrap_err();
        assert!(error.to_string().ends_with("z, y"));
        assert!(rows("x.csv", b"", &["a"]).is_err());
        assert!(format_of(Path::new("x.xlsx")).is_err());
    }
}
