//! Page sizes and page tokens: where a list goes on, in a form that says nothing.

use attune_errors::Violations;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    domain::{ProfileId, merge::MergeId},
    store::timeline::Place,
};

const SIZE_DEFAULT: i64 = 50;
const SIZE_MAX: i64 = 1_000;
const TOKEN_RULE: &str = "must be a `next_page_token` of this list";

pub fn size(asked: i32, violations: &mut Violations) -> i64 {
    match i64::from(asked) {
        0 => SIZE_DEFAULT,
        // As in the other services' lists, asking for more than there is to a page is
        // no fault.
        size @ 1.. => size.min(SIZE_MAX),
        _ => {
            violations.push("page_size", "must not be negative");
            SIZE_DEFAULT
        }
    }
}

/// Cuts a list that was read one row too long, and says where the next page begins.
pub fn cut<T>(rows: &mut Vec<T>, size: i64, token: impl Fn(&T) -> String) -> String {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if rows.len() <= size {
        return String::new();
    }
    rows.truncate(size);
    rows.last().map(token).unwrap_or_default()
}

pub fn profile_token(last: ProfileId) -> String {
    URL_SAFE_NO_PAD.encode(format!("p{last}"))
}

/// The id after which the page begins; empty for the first.
pub fn read_profile_token(token: &str, violations: &mut Violations) -> String {
    read(token, violations, |text| {
        let id: ProfileId = text.strip_prefix('p')?.parse().ok()?;
        Some(id.to_string())
    })
    .unwrap_or_default()
}

pub fn place_token(place: Place) -> String {
    URL_SAFE_NO_PAD.encode(format!("e{}.{}", place.time_ms, place.sequence))
}

pub fn read_place_token(token: &str, violations: &mut Violations) -> Option<Place> {
    read(token, violations, |text| {
        let (time_ms, sequence) = text.strip_prefix('e')?.split_once('.')?;
        Some(Place {
            time_ms: time_ms.parse().ok()?,
            sequence: sequence.parse().ok()?,
        })
    })
}

pub fn sequence_token(last: i64) -> String {
    URL_SAFE_NO_PAD.encode(format!("s{last}"))
}

/// The number before which the page begins.
pub fn read_sequence_token(token: &str, violations: &mut Violations) -> Option<i64> {
    read(token, violations, |text| {
        text.strip_prefix('s')?.parse().ok()
    })
}

pub fn merge_token(last: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("m{last}"))
}

/// The merge before which the page begins; for the first, something after them all.
pub fn read_merge_token(token: &str, violations: &mut Violations) -> String {
    read(token, violations, |text| {
        let id: MergeId = text.strip_prefix('m')?.parse().ok()?;
        Some(id.to_string())
    })
    // Ids are of hexadecimal digits.
    .unwrap_or_else(|| "g".to_owned())
}

pub fn name_token(last: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("n{last}"))
}

/// The name after which the page begins; empty for the first.
pub fn read_name_token(token: &str, violations: &mut Violations) -> String {
    read(token, violations, |text| {
        Some(text.strip_prefix('n')?.to_owned())
    })
    .unwrap_or_default()
}

fn read<T>(
    token: &str,
    violations: &mut Violations,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    if token.is_empty() {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    let parsed = bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| parse(&text));
    if parsed.is_none() {
        violations.push("page_token", TOKEN_RULE);
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_back_and_others_refused() {
        let mut violations = Violations::new();
        let place = Place {
            time_ms: 1_700_000_000_000,
            sequence: 7,
        };
        let id = ProfileId::fresh();
        assert_eq!(
            read_place_token(&place_token(place), &mut violations),
            Some(place)
        );
        assert_eq!(
            read_profile_token(&profile_token(id), &mut violations),
            id.to_string()
        );
        assert_eq!(read_place_token("", &mut violations), None);
        assert!(violations.is_empty());
        for token in ["x", "!!", &profile_token(id)] {
            read_place_token(token, &mut violations);
        }
        read_profile_token(&place_token(place), &mut violations);
        assert_eq!(violations.len(), 4);
    }
}
