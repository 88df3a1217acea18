//! One row of an input file, whatever its format: the columns that the mapping reads,
//! and the row as it stood there, for the file of rejects.

use std::{borrow::Cow, sync::Arc};

use serde_json::Value as Json;

/// A row, its cells in the order of the mapping's columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Line in the file, counted from 1; of Parquet, the row.
    pub line: u64,
    pub cells: Vec<Cell>,
    pub names: Arc<[String]>,
    /// As it stood in the file.
    pub raw: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Empty,
    Text(String),
    /// From formats that have types.
    Json(Json),
    /// Cannot be read; why.
    Broken(&'static str),
}

impl Row {
    /// A column as text, without white space around it; None if it is empty.
    pub fn text(&self, index: usize) -> Result<Option<Cow<'_, str>>, String> {
        let text: Cow<'_, str> = match self.cells.get(index) {
            None | Some(Cell::Empty | Cell::Json(Json::Null)) => return Ok(None),
            Some(Cell::Text(text)) => text.trim().into(),
            Some(Cell::Json(Json::String(text))) => text.trim().into(),
            Some(Cell::Json(json)) => json.to_string().into(),
            Some(Cell::Broken(why)) => return Err(format!("{}: {why}", self.name(index))),
        };
        Ok((!text.is_empty()).then_some(text))
    }

    /// A column as JSON, where the file has types; text otherwise.
    pub fn json(&self, index: usize) -> Result<Option<Json>, String> {
        match self.cells.get(index) {
            Some(Cell::Json(json)) if !json.is_null() && !json.is_string() => {
                Ok(Some(json.clone()))
            }
            _ => Ok(self
                .text(index)?
                .map(|text| Json::String(text.into_owned()))),
        }
    }

    pub fn name(&self, index: usize) -> &str {
        self.names.get(index).map_or("?", String::as_str)
    }

    #[cfg(test)]
    pub fn of_texts(names: &[String], values: &[(&str, &str)]) -> Self {
        let cell = |name: &String| {
            let value = values.iter().find(|(n, _)| n == name);
            value.map_or(Cell::Empty, |(_, v)| Cell::Text((*v).to_owned()))
        };
        Self {
            line: 7,
            cells: names.iter().map(cell).collect(),
            names: names.into(),
            raw: String::new(),
        }
    }
}
