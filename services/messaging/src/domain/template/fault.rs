//! What is wrong with a template, where. Reads positions out of the parser's reports,
//! which are drawings made for a terminal.

use std::fmt;

/// One fault in a template's source. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFault {
    /// None where the fault is about the whole.
    pub position: Option<(usize, usize)>,
    pub message: String,
}

impl SourceFault {
    pub(super) fn whole(message: String) -> Self {
        Self {
            position: None,
            message,
        }
    }

    pub(super) fn at(source: &str, offset: usize, message: impl Into<String>) -> Self {
        Self {
            position: Some(line_and_column(source, offset)),
            message: message.into(),
        }
    }

    /// A report looks like `liquid:  --> 3:7`, the line with a mark under it, and
    /// `= expected Value`; other errors have a message and what it is about.
    pub(super) fn of(error: &liquid_core::Error, source: &str) -> Self {
        let report = error.to_string();
        let position = report.find("--> ").and_then(|at| {
            let (line, rest) = report[at + 4..].split_once(':')?;
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            Some((line.trim().parse().ok()?, rest[..digits].parse().ok()?))
        });
        if position.is_none()
            && let Some(filter) = context(&report, "requested filter")
        {
            let message = format!("unknown filter `{filter}`");
            return match filter_position(source, filter) {
                Some(offset) => Self::at(source, offset, message),
                None => Self::whole(message),
            };
        }
        let message = match context(&report, "requested") {
            Some(tag) => format!("unknown tag `{tag}`"),
            None => summary(error),
        };
        Self { position, message }
    }
}

impl fmt::Display for SourceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => {
                write!(f, "line {line}, column {column}: {}", self.message)
            }
            None => f.write_str(&self.message),
        }
    }
}

/// The sentence of a report, without the drawing and without the values it quotes:
/// those may be a person's.
pub(super) fn summary(error: &liquid_core::Error) -> String {
    let report = error.to_string();
    let sentence = report
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("= "))
        .or_else(|| {
            let first = report.lines().next()?;
            Some(first.strip_prefix("liquid:").unwrap_or(first))
        })
        .unwrap_or_default()
        .trim();
    match context(&report, "cause") {
        // The parser's furthest guess, which explains nothing.
        None if sentence == "expected Literal" => "this is not an expression".to_owned(),
        Some(cause) => format!("{sentence}: {cause}"),
        None => sentence.to_owned(),
    }
}

/// The value of a `key=value` line.
fn context<'a>(report: &'a str, key: &str) -> Option<&'a str> {
    report
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(key)?.strip_prefix('='))
}

/// Where `| name` stands. The parser does not say.
fn filter_position(source: &str, name: &str) -> Option<usize> {
    source.match_indices('|').find_map(|(bar, _)| {
        let rest = &source[bar + 1..];
        let trimmed = rest.trim_start();
        let after = trimmed.strip_prefix(name)?;
        let ends = !after.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '-');
        ends.then(|| bar + 1 + rest.len() - trimmed.len())
    })
}

fn line_and_column(source: &str, offset: usize) -> (usize, usize) {
    let before = &source[..offset];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}
