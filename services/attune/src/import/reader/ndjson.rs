//! Rows of NDJSON: one JSON object in each line. A column is a key; `a.b` is the key
//! `b` in the object `a`.

use std::{
    io::{BufRead, BufReader, Read as _},
    sync::Arc,
};

use serde_json::Value as Json;

use super::{Reading, Rows, Text};
use crate::import::row::{Cell, Row};

/// Longest line; a longer one is broken, so that a file without line breaks does not
/// end up in memory.
const LINE_BYTES_MAX: usize = 4 << 20;

pub fn rows(text: Text, names: Arc<[String]>) -> Rows {
    let mut reader = BufReader::with_capacity(1 << 17, text);
    let mut line = 0;
    Box::new(std::iter::from_fn(move || {
        loop {
            line += 1;
            match next_line(&mut reader) {
                Ok(None) => return None,
                Ok(Some(bytes)) if bytes.trim_ascii().is_empty() => {}
                Ok(Some(bytes)) => return Some(Ok(parse(line, &bytes, &names))),
                Err(error) => return Some(Err(error.into())),
            }
        }
    }))
}

fn next_line(reader: &mut impl BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let limit = LINE_BYTES_MAX as u64 + 1;
    let read = reader.by_ref().take(limit).read_until(b'\n', &mut bytes)?;
    if read > LINE_BYTES_MAX && bytes.last() != Some(&b'\n') {
        reader.skip_until(b'\n')?;
    }
    Ok((read > 0).then_some(bytes))
}

fn parse(line: u64, bytes: &[u8], names: &Arc<[String]>) -> Reading {
    let broken = |why: String| {
        let shown = &bytes[..bytes.len().min(10_000)];
        let raw = String::from_utf8_lossy(shown).trim_end().to_owned();
        Reading::Broken { line, raw, why }
    };
    if bytes.len() > LINE_BYTES_MAX {
        return broken(format!("is longer than {LINE_BYTES_MAX} bytes"));
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return broken("is not valid UTF-8".into());
    };
    let json: Json = match serde_json::from_str(text) {
        Ok(json) => json,
        Err(error) => return broken(format!("is no JSON: {error}")),
    };
    if !json.is_object() {
        return broken("is not a JSON object".into());
    }
    let cell = |name: &String| match find(&json, name) {
        None | Some(Json::Null) => Cell::Empty,
        Some(found) => Cell::Json(found.clone()),
    };
    Reading::Row(Row {
        line,
        cells: names.iter().map(cell).collect(),
        names: names.clone(),
        raw: text.trim_end().to_owned(),
    })
}

/// The key itself first, since a key may hold points.
fn find<'a>(json: &'a Json, name: &str) -> Option<&'a Json> {
    if let Some(found) = json.get(name) {
        return Some(found);
    }
    let (head, rest) = name.split_once('.')?;
    find(json.get(head)?, rest)
}
