//! Literals and names, so that reading them gives the same again.

use std::fmt::Write;

use crate::{
    node::Literal,
    value::{format_time, whole_units},
};

const UNITS: [(&str, i64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// CEL's reserved words; no field is written like one.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Whether a name can be written after a dot.
pub fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !RESERVED.contains(&name)
}

pub(super) fn is_signed(literal: &Literal) -> bool {
    match literal {
        Literal::Int(n) => *n < 0,
        Literal::Number(n) => n.is_sign_negative(),
        _ => false,
    }
}

pub(super) fn write(out: &mut String, literal: &Literal) {
    // Writing to a string cannot fail.
    let _ = match literal {
        Literal::Null => write!(out, "null"),
        Literal::Bool(b) => write!(out, "{b}"),
        Literal::Int(n) => write!(out, "{n}"),
        Literal::Uint(n) => write!(out, "{n}u"),
        // Debug keeps the point or the exponent that makes it a double.
        Literal::Number(n) => write!(out, "{n:?}"),
        Literal::Text(text) => {
            quote(out, text);
            Ok(())
        }
        Literal::Bytes(bytes) => {
            quote_bytes(out, bytes);
            Ok(())
        }
        Literal::Time(ms) => {
            let time = format_time(*ms).unwrap_or_default();
            write!(out, "timestamp(\"{time}\")")
        }
        Literal::Duration(ms) => write!(out, "duration(\"{}\")", whole_units(*ms, &UNITS)),
        Literal::Version(version) => write!(out, "semver(\"{version}\")"),
        Literal::Type(name) => write!(out, "{name}"),
    };
}

pub(super) fn quote(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        let _ = match character {
            '"' => write!(out, "\\\""),
            '\\' => write!(out, "\\\\"),
            '\n' => write!(out, "\\n"),
            '\r' => write!(out, "\\r"),
            '\t' => write!(out, "\\t"),
            c if c.is_control() => write!(out, "\\u{:04x}", c as u32),
            c => write!(out, "{c}"),
        };
    }
    out.push('"');
}

fn quote_bytes(out: &mut String, bytes: &[u8]) {
    out.push_str("b\"");
    for byte in bytes {
        let _ = match byte {
            b'"' | b'\\' => write!(out, "\\{}", char::from(*byte)),
            b' '..=b'~' => write!(out, "{}", char::from(*byte)),
            other => write!(out, "\\x{other:02x}"),
        };
    }
    out.push('"');
}
