//! From source text to `cel`'s syntax tree, within bounds. The only place that calls
//! the parser; knows nothing of names or kinds.

use cel::{
    common::ast::SourceInfo,
    parser::{Expression, ParseError, Parser},
};

use crate::{
    SOURCE_BYTES_MAX,
    fault::{Fault, Position},
};

/// Brackets inside brackets, at most.
const NESTING_MAX: usize = 32;

/// The parser recurses once per operator and descends several frames for each
/// bracket. A stack of its own keeps the deepest accepted source away from the
/// caller's, which may be a runtime worker's 2 MiB.
const STACK_BYTES: usize = 64 << 20;

pub(crate) struct Parsed {
    pub expression: Expression,
    pub source: String,
    info: SourceInfo,
}

impl Parsed {
    pub fn position(&self, id: u64) -> Position {
        self.info
            .offset_for(id)
            .map_or(Position::START, |(start, _)| {
                Position::of(&self.source, start as usize)
            })
    }
}

pub(crate) fn parse(source: &str) -> Result<Parsed, Vec<Fault>> {
    check_bounds(source)?;
    let owned = source.to_owned();
    let parsed = std::thread::Builder::new()
        .name("expression-parser".into())
        .stack_size(STACK_BYTES)
        .spawn(move || Parser::new().parse_with_source_info(&owned))
        .map_err(|_| {
            vec![Fault::new(
                Position::START,
                "no thread is free to parse this",
            )]
        })?
        .join();
    match parsed {
        Ok(Ok((expression, info))) => Ok(Parsed {
            expression,
            source: source.to_owned(),
            info,
        }),
        Ok(Err(errors)) => Err(errors.errors.iter().map(fault).collect()),
        // The parser asserts here and there; the text is at fault all the same.
        Err(_) => Err(vec![Fault::new(
            Position::START,
            "this is not an expression",
        )]),
    }
}

fn check_bounds(source: &str) -> Result<(), Vec<Fault>> {
    if source.trim().is_empty() {
        return Err(vec![Fault::new(
            Position::START,
            "an expression is expected",
        )]);
    }
    if source.len() > SOURCE_BYTES_MAX {
        let message = format!(
            "the expression has {} bytes, and {SOURCE_BYTES_MAX} are allowed",
            source.len()
        );
        return Err(vec![Fault::new(Position::START, message)]);
    }
    let mut depth = 0_usize;
    for (index, character) in source.chars().enumerate() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_MAX {
            let message = format!("brackets are nested deeper than {NESTING_MAX}");
            return Err(vec![Fault::new(Position::of(source, index), message)]);
        }
    }
    Ok(())
}

fn fault(error: &ParseError) -> Fault {
    let clamp = |n: isize| u32::try_from(n.max(1)).unwrap_or(u32::MAX);
    let position = Position {
        line: clamp(error.pos.0),
        column: clamp(error.pos.1),
    };
    let message = error.msg.trim();
    let message = message
        .strip_prefix("Syntax error: ")
        .unwrap_or(message)
        .to_owned();
    Fault::new(position, message)
}
