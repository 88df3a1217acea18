//! What is wrong with a source text, and where. Knows nothing of how it was found.

use std::fmt;

/// A place in a source text; both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

impl Position {
    pub(crate) const START: Self = Self { line: 1, column: 1 };

    /// The place of a character by its index in `source`.
    pub(crate) fn of(source: &str, index: usize) -> Self {
        let mut position = Self::START;
        for character in source.chars().take(index) {
            if character == '\n' {
                position.line += 1;
                position.column = 1;
            } else {
                position.column += 1;
            }
        }
        position
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One thing that is wrong with a source text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub message: String,
    pub position: Position,
    /// The nearest known name, where a name is the trouble.
    pub suggestion: Option<String>,
}

impl Fault {
    pub(crate) fn new(position: Position, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            position,
            suggestion: None,
        }
    }

    pub(crate) fn suggesting(mut self, suggestion: Option<String>) -> Self {
        self.suggestion = suggestion;
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.position, self.message)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; did you mean `{suggestion}`?")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

/// The known name nearest to a misspelt one, if any is near enough to be meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| {
            let shorter = name.len().min(candidate.len());
            // A single letter is no misspelling of another.
            *distance <= 1.max(shorter / 3) && *distance < shorter
        })
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}
