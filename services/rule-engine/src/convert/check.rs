//! Rules that many fields share. Each notes a violation at a path and goes on.

use attune_errors::Violations;
use attune_expr::{Expression, Kind, Vocabulary};

pub const ID_RULE: &str = "must be 1 to 64 of a-z, 0-9, `_` and `-`, beginning with a letter";
const NAME_CHARS_MAX: usize = 256;
const CHANNELS_MAX: usize = 50;
const ITEM_ID_RULE: &str = "must be 1 to 128 printable characters without `/` or white space";

pub fn is_id(id: &str) -> bool {
    id.len() <= 64
        && id.starts_with(|c: char| c.is_ascii_lowercase())
        && id
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

pub fn id(found: &mut Violations, field: &str, id: &str) {
    if !is_id(id) {
        found.push(field, ID_RULE);
    }
}

pub fn name(found: &mut Violations, field: &str, name: &str) {
    if name.chars().count() > NAME_CHARS_MAX {
        found.push(
            field,
            format!("must be at most {NAME_CHARS_MAX} characters"),
        );
    }
}

pub fn is_item_id(id: &str) -> bool {
    let chars = id.chars().count();
    (1..=128).contains(&chars)
        && !id
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || c == '/')
}

/// One item id, which need not exist yet.
pub fn item_id(found: &mut Violations, field: &str, id: &str) {
    if !is_item_id(id) {
        found.push(field, ITEM_ID_RULE);
    }
}

pub fn item_ids<'a>(
    found: &mut Violations,
    field: &str,
    ids: impl ExactSizeIterator<Item = &'a str>,
    max: usize,
) {
    if ids.len() > max {
        found.push(field, format!("must be at most {max} items"));
        return;
    }
    each_once(found, field, ids, |found, id| item_id(found, "", id));
}

pub fn channels(found: &mut Violations, field: &str, channels: &[String]) {
    if channels.len() > CHANNELS_MAX {
        found.push(field, format!("must be at most {CHANNELS_MAX} channels"));
        return;
    }
    let channels = channels.iter().map(String::as_str);
    each_once(found, field, channels, |found, channel| {
        if channel.is_empty() || channel.len() > 64 {
            found.push("", "must be 1 to 64 characters");
        }
    });
}

/// Checks each element and that none comes twice.
pub fn each_once<'a>(
    found: &mut Violations,
    field: &str,
    values: impl Iterator<Item = &'a str>,
    check: impl Fn(&mut Violations, &str),
) {
    let mut seen = std::collections::HashSet::new();
    for (index, value) in values.enumerate() {
        found.within_item(field, index, |found| {
            if seen.insert(value) {
                check(found, value);
            } else {
                found.push("", "must not be listed twice");
            }
        });
    }
}

/// Compiles an expression; empty is fine and compiles to nothing.
pub fn expression(
    found: &mut Violations,
    field: &str,
    source: &str,
    vocabulary: &Vocabulary,
) -> Option<Expression> {
    if source.is_empty() {
        return None;
    }
    value(found, field, source, vocabulary, Kind::Bool)
}

/// Compiles an expression that stands for a value of a kind.
pub fn value(
    found: &mut Violations,
    field: &str,
    source: &str,
    vocabulary: &Vocabulary,
    kind: Kind,
) -> Option<Expression> {
    for name in UNPROJECTED {
        if names(source, name) {
            found.push(
                field,
                format!("`{name}` is not known where items are judged"),
            );
        }
    }
    match Expression::compile_value(source, vocabulary, kind) {
        Ok(expression) => Some(expression),
        Err(faults) => {
            for fault in faults {
                found.push(field, fault.to_string());
            }
            None
        }
    }
}

/// Conditions that a request's filter may have.
const FILTER_CONDITIONS_MAX: usize = 64;
/// Values that a request's filter may write out, in lists and alone.
const FILTER_VALUES_MAX: usize = 256;

/// An expression over items that comes with a request: bounded more narrowly than one
/// that somebody saves, since each new one has to be made ready while a page waits.
pub fn request_filter(
    found: &mut Violations,
    field: &str,
    source: &str,
    vocabulary: &Vocabulary,
) -> Option<Expression> {
    let expression = expression(found, field, source, vocabulary)?;
    let size = expression.size();
    let before = found.len();
    if size.conditions > FILTER_CONDITIONS_MAX {
        let rule = format!("must have at most {FILTER_CONDITIONS_MAX} conditions");
        found.push(field, rule);
    }
    if size.values > FILTER_VALUES_MAX {
        let rule = format!("must name at most {FILTER_VALUES_MAX} values");
        found.push(field, rule);
    }
    (found.len() == before).then_some(expression)
}

/// What the projection does not hold, for it would outweigh the rest.
const UNPROJECTED: [&str; 3] = ["item.description", "item.url", "item.image_url"];

/// Whether a source text names a path, not merely one that begins like it.
fn names(source: &str, path: &str) -> bool {
    source.match_indices(path).any(|(at, _)| {
        let after = source[at + path.len()..].chars().next();
        let before = source[..at].chars().next_back();
        let continues = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !continues(after) && !continues(before)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain_and_begin_with_a_letter() {
        for good in ["a", "home_top-2", &"a".repeat(64)] {
            assert!(is_id(good), "{good}");
        }
        for bad in ["", "2a", "Home", "a b", "ä", &"a".repeat(65)] {
            assert!(!is_id(bad), "{bad}");
        }
    }

    #[test]
    fn fields_that_are_not_projected_are_refused_by_name() {
        let check = |source: &str, expected: usize| {
            let mut found = Violations::new();
            expression(&mut found, "where", source, &Vocabulary::item());
            assert_eq!(found.len(), expected, "{source}: {found}");
        };
        check("item.url == \"x\"", 1);
        check("item.url_slug == \"x\"", 0);
        check("item.description == \"x\" || item.image_url == \"y\"", 2);
    }
}
