//! Rows of CSV. Reads bytes and not text, so that one bad character spoils one cell.

use std::{io::Read, sync::Arc};

use csv::{ByteRecord, ReaderBuilder};

use super::{Reading, Rows, Text, missing};
use crate::import::row::{Cell, Row};

pub fn rows(text: Text, names: Arc<[String]>, delimiter: u8) -> anyhow::Result<Rows> {
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .from_reader(text);
    let headers: Vec<String> = reader
        .byte_headers()?
        .iter()
        .map(|name| {
            String::from_utf8_lossy(name)
                .trim_start_matches('\u{feff}')
                .trim()
                .to_owned()
        })
        .collect();
    missing(&names, |name| headers.iter().any(|h| h == name))?;
    let places: Vec<_> = names
        .iter()
        .filter_map(|name| headers.iter().position(|h| h == name))
        .collect();
    let mut record = ByteRecord::new();
    Ok(Box::new(std::iter::from_fn(move || {
        read(&mut reader, &mut record, &places, &names, headers.len())
    })))
}

fn read<R: Read>(
    reader: &mut csv::Reader<R>,
    record: &mut ByteRecord,
    places: &[usize],
    names: &Arc<[String]>,
    width: usize,
) -> Option<anyhow::Result<Reading>> {
    match reader.read_byte_record(record) {
        Ok(false) => return None,
        Ok(true) => {}
        Err(error) => return Some(Err(error.into())),
    }
    let line = record.position().map_or(0, csv::Position::line);
    let raw = raw(record);
    if record.len() != width {
        let why = format!("has {} columns, not {width}", record.len());
        return Some(Ok(Reading::Broken { line, raw, why }));
    }
    let cell = |place: &usize| match std::str::from_utf8(&record[*place]) {
        Ok(text) => Cell::Text(text.to_owned()),
        Err(_) => Cell::Broken("is not valid UTF-8"),
    };
    Some(Ok(Reading::Row(Row {
        line,
        cells: places.iter().map(cell).collect(),
        names: names.clone(),
        raw,
    })))
}

/// The cells with commas between, whatever stood there.
fn raw(record: &ByteRecord) -> String {
    let mut out = String::with_capacity(record.as_slice().len() + record.len());
    for (index, cell) in record.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&String::from_utf8_lossy(cell));
    }
    out
}
