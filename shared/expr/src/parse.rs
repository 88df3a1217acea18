//! From source text to `cel`'s syntax tree, within bounds. The only place that calls
//! the parser; knows nothing of names or kinds.

use cel::{
    Env,
    common::ast::SourceInfo,
    parser::{Expression, ParseError},
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
    /// Where a node is. The parser places a member at its dot and a call at its
    /// bracket; the name is what a reader looks for.
    pub fn position(&self, id: u64) -> Position {
        let Some((start, _)) = self.info.offset_for(id) else {
            return Position::START;
        };
        let characters: Vec<char> = self.source.chars().collect();
        // The parser counts bytes.
        let before = self.source.get(..start as usize).unwrap_or_default();
        let mut index = before.chars().count();
        let blank = |c: &char| c.is_whitespace();
        let word = |c: &char| c.is_alphanumeric() || *c == '_';
        match characters.get(index) {
            Some('.') => {
                let rest = &characters[index + 1..];
                index += 1 + rest.iter().take_while(|c| blank(c)).count();
            }
            Some('(') => {
                let before = characters[..index].iter().rev();
                let gap = before.clone().take_while(|c| blank(c)).count();
                let name = before.skip(gap).take_while(|c| word(c)).count();
                if name > 0 {
                    index -= gap + name;
                }
            }
            _ => {}
        }
        Position::of(&self.source, index)
    }
}

pub(crate) fn parse(source: &str) -> Result<Parsed, Vec<Fault>> {
    check_bounds(source)?;
    let owned = source.to_owned();
    let parsed = std::thread::Builder::new()
        .name("expression-parser".into())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            // Without macros: they stay the calls they are written as, which is how the
            // checker wants to see them.
            let parser = Env::default().with_optional_support(false).parser();
            parser
                .enable_ident_escape_syntax(true)
                .parse_with_source_info(&owned)
        })
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
    Fault::new(position, plain(error.msg.trim()))
}

/// The parser generator's way of putting it, in a reader's words.
fn plain(message: &str) -> String {
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    if let Some(text) = message.strip_prefix("token recognition error at: ") {
        return format!("{text} is not understood here; is a text left open?");
    }
    let Some((found, expected)) = message.split_once(" expecting ") else {
        return message.to_owned();
    };
    let found = found
        .trim_start_matches("mismatched input ")
        .trim_start_matches("extraneous input ");
    let found = match found {
        "'<EOF>'" => "the end",
        other => other,
    };
    // Wherever an identifier may stand, so may every other beginning of a value.
    let expected = match expected {
        "<EOF>" => "an operator or the end",
        set if set.contains("IDENTIFIER") => "a value",
        other => other,
    };
    format!("{expected} is expected here, not {found}")
}
