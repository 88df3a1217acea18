//! Functions of texts, as CEL's strings extension defines them. Places in a text count
//! characters. A result longer than `TEXT_BYTES_MAX` is missing, so that nothing an
//! expression does can grow without bound.

use std::{fmt::Write, ops::ControlFlow, sync::Arc};

use super::TextFunction as T;
use crate::value::Value;

/// The longest text that a function or `+` makes.
pub(crate) const TEXT_BYTES_MAX: usize = 64 << 10;

/// The longest list that `split` makes.
const PARTS_MAX: usize = 1000;

pub(super) fn contains(whole: &Value<'_>, part: &Value<'_>) -> Value<'static> {
    Value::Bool(match (whole, part) {
        (Value::Text(text), Value::Text(part)) => text.contains(part.as_ref()),
        (Value::Text(_), _) => false,
        (list, element) => list.contains(element),
    })
}

/// A test of two texts; it does not hold where either is missing.
pub(super) fn both(
    left: &Value<'_>,
    right: &Value<'_>,
    test: fn(&str, &str) -> bool,
) -> Value<'static> {
    Value::Bool(match (left.as_text(), right.as_text()) {
        (Some(left), Some(right)) => test(left, right),
        _ => false,
    })
}

/// `given` counts the arguments, the receiver included.
pub(super) fn compute<'a>(function: T, arguments: [Value<'a>; 4], given: usize) -> Value<'a> {
    let [first, second, third, fourth] = arguments;
    if function == T::Join {
        let separator = if given > 1 {
            second.as_text()
        } else {
            Some("")
        };
        return separator
            .and_then(|s| join(&first, s))
            .unwrap_or(Value::Missing);
    }
    let Value::Text(text) = &first else {
        return Value::Missing;
    };
    let second = (given > 1).then_some(&second);
    let third = (given > 2).then_some(&third);
    let fourth = (given > 3).then_some(&fourth);
    let result = match function {
        T::LowerAscii => Some(Value::owned_text(text.to_ascii_lowercase())),
        T::UpperAscii => Some(Value::owned_text(text.to_ascii_uppercase())),
        T::Trim => Some(Value::owned_text(text.trim())),
        T::Reverse => Some(Value::owned_text(text.chars().rev().collect::<String>())),
        T::Quote => quote(text),
        T::CharAt => char_at(text, second),
        T::IndexOf => index_of(text, second, third),
        T::LastIndexOf => last_index_of(text, second, third),
        T::Substring => substring(text, second, third),
        T::Replace => replace(text, second, third, fourth),
        T::Split => split(text, second, third),
        T::Join => None,
    };
    result.unwrap_or(Value::Missing)
}

fn replace(
    text: &str,
    from: Option<&Value<'_>>,
    to: Option<&Value<'_>>,
    limit: Option<&Value<'_>>,
) -> Option<Value<'static>> {
    let limit = match limit {
        Some(limit) if limit.as_number()? >= 0.0 => limit.as_number()? as usize,
        _ => usize::MAX,
    };
    replaced(text, from?.as_text()?, to?.as_text()?, limit).map(Value::owned_text)
}

/// None where the result would be too long; found out before it is made.
fn replaced(text: &str, from: &str, to: &str, limit: usize) -> Option<String> {
    let found = if from.is_empty() {
        text.chars().count() + 1
    } else {
        text.matches(from).count()
    };
    let grows = to.len().checked_mul(found.min(limit))?;
    (text.len() + grows <= TEXT_BYTES_MAX.max(text.len())).then(|| text.replacen(from, to, limit))
}

/// A place between 0 and `length`.
fn place(value: Option<&Value<'_>>, length: usize) -> Option<usize> {
    let place = value?.as_number()?;
    (place >= 0.0 && place <= length as f64 && place.fract() == 0.0).then_some(place as usize)
}

fn byte_of(text: &str, place: usize) -> usize {
    text.char_indices()
        .nth(place)
        .map_or(text.len(), |(byte, _)| byte)
}

fn char_at(text: &str, at: Option<&Value<'_>>) -> Option<Value<'static>> {
    let at = place(at, text.chars().count())?;
    let found: String = text.chars().skip(at).take(1).collect();
    Some(Value::owned_text(found))
}

fn index_of(
    text: &str,
    part: Option<&Value<'_>>,
    from: Option<&Value<'_>>,
) -> Option<Value<'static>> {
    let part = part?.as_text()?;
    let from = match from {
        Some(from) => place(Some(from), text.chars().count())?,
        None => 0,
    };
    let rest = &text[byte_of(text, from)..];
    let found = rest
        .find(part)
        .map(|byte| from + rest[..byte].chars().count());
    Some(as_place(found))
}

fn last_index_of(
    text: &str,
    part: Option<&Value<'_>>,
    from: Option<&Value<'_>>,
) -> Option<Value<'static>> {
    let part = part?.as_text()?;
    let length = text.chars().count();
    let from = match from {
        Some(from) => place(Some(from), length)?,
        None => length,
    };
    // Where a match that begins there would end; inside of a character none does.
    let end = (byte_of(text, from) + part.len()).min(text.len());
    let end = text.floor_char_boundary(end);
    let found = text[..end]
        .rfind(part)
        .map(|byte| text[..byte].chars().count());
    Some(as_place(found))
}

fn as_place(found: Option<usize>) -> Value<'static> {
    Value::Int(found.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1))
}

fn substring(
    text: &str,
    start: Option<&Value<'_>>,
    end: Option<&Value<'_>>,
) -> Option<Value<'static>> {
    let length = text.chars().count();
    let start = place(start, length)?;
    let end = match end {
        Some(end) => place(Some(end), length)?,
        None => length,
    };
    let part = text.get(byte_of(text, start)..byte_of(text, end))?;
    Some(Value::owned_text(part))
}

fn split(
    text: &str,
    separator: Option<&Value<'_>>,
    limit: Option<&Value<'_>>,
) -> Option<Value<'static>> {
    let separator = separator?.as_text()?;
    let limit = match limit {
        Some(limit) => limit.as_number()?,
        None => -1.0,
    };
    let limit = if limit < 0.0 {
        usize::MAX
    } else {
        limit as usize
    };
    let part = |part: &str| Value::owned_text(part);
    let parts: Vec<_> = if separator.is_empty() {
        characters(text, limit)
    } else {
        text.splitn(limit, separator)
            .take(PARTS_MAX + 1)
            .map(part)
            .collect()
    };
    (parts.len() <= PARTS_MAX).then(|| Value::List(parts.into()))
}

/// Each character by itself; the last part holds what is beyond the limit.
fn characters(text: &str, limit: usize) -> Vec<Value<'static>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if parts.len() + 1 >= limit || parts.len() > PARTS_MAX {
            break;
        }
        let (one, after) = rest.split_at(first.len_utf8());
        parts.push(Value::owned_text(one));
        rest = after;
    }
    if !rest.is_empty() && limit > 0 {
        parts.push(Value::owned_text(rest));
    }
    parts
}

fn join(list: &Value<'_>, separator: &str) -> Option<Value<'static>> {
    let mut joined = String::new();
    let mut is_first = true;
    let mut is_sound = true;
    let is_list = list.visit(|element| {
        if !is_first {
            joined.push_str(separator);
        }
        is_first = false;
        match element.as_text() {
            Some(text) if joined.len() + text.len() <= TEXT_BYTES_MAX => joined.push_str(text),
            _ => is_sound = false,
        }
        if is_sound {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    (is_list && is_sound && !matches!(list, Value::Map(_) | Value::Struct(_)))
        .then(|| Value::owned_text(joined))
}

/// The text as CEL would write it.
fn quote(text: &str) -> Option<Value<'static>> {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        let escaped = match character {
            '\u{7}' => 'a',
            '\u{8}' => 'b',
            '\u{c}' => 'f',
            '\n' => 'n',
            '\r' => 'r',
            '\t' => 't',
            '\u{b}' => 'v',
            '\\' | '"' => character,
            plain => {
                quoted.push(plain);
                continue;
            }
        };
        // Writing to a string cannot fail.
        let _ = write!(quoted, "\\{escaped}");
    }
    quoted.push('"');
    (quoted.len() <= TEXT_BYTES_MAX).then(|| Value::Text(quoted.into()))
}

/// Texts put together by `+`.
pub(crate) fn concat<'a>(left: &str, right: &str) -> Value<'a> {
    if left.len() + right.len() > TEXT_BYTES_MAX {
        return Value::Missing;
    }
    Value::owned_text([left, right].concat())
}

/// Lists put together by `+`.
pub(crate) fn append<'a>(left: &Value<'a>, right: &Value<'a>, longest: usize) -> Option<Value<'a>> {
    let (Some(a), Some(b)) = (left.len(), right.len()) else {
        return None;
    };
    if a + b > longest {
        return None;
    }
    let mut elements = Vec::with_capacity(a + b);
    for list in [left, right] {
        list.visit(|element| {
            elements.push(element);
            ControlFlow::Continue(())
        });
    }
    Some(Value::List(Arc::from(elements)))
}
