//! Whom items may be shown to: the few distinct texts that items have for it, compiled
//! once each and judged at most once per request. An audience that cannot be judged is
//! nobody.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use attune_expr::{Expression, Scope, Vocabulary};

/// One distinct text.
#[derive(Debug)]
pub struct Audience {
    /// Dense; given again once no item has it any more.
    number: u32,
    /// None for a text that does not compile. The catalog accepts none, but its
    /// language may be newer.
    expression: Option<Expression>,
}

/// The distinct audiences of one workspace.
#[derive(Debug, Default)]
pub struct Audiences {
    by_text: HashMap<Box<str>, Arc<Audience>>,
    free: Vec<u32>,
}

impl Audiences {
    /// None for everybody.
    pub fn intern(&mut self, text: &str) -> Option<Arc<Audience>> {
        if text.is_empty() {
            return None;
        }
        if let Some(held) = self.by_text.get(text) {
            return Some(Arc::clone(held));
        }
        let next = self.by_text.len() as u32;
        let audience = Arc::new(Audience {
            number: self.free.pop().unwrap_or(next),
            expression: Expression::compile(text, &Vocabulary::subject()).ok(),
        });
        self.by_text.insert(text.into(), Arc::clone(&audience));
        Some(audience)
    }

    /// Forgets those that no item has.
    pub fn sweep(&mut self) {
        let free = &mut self.free;
        self.by_text.retain(|_, held| {
            let is_used = Arc::strong_count(held) > 1;
            if !is_used {
                free.push(held.number);
            }
            is_used
        });
    }

    pub fn count(&self) -> usize {
        self.by_text.len()
    }
}

/// Which audiences one request belongs to, as far as it was asked.
#[derive(Debug, Default)]
pub struct Memberships(RefCell<Vec<Membership>>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Membership {
    #[default]
    Unknown,
    Inside,
    Outside,
}

impl Memberships {
    /// Before the next request.
    pub fn clear(&mut self) {
        self.0.get_mut().clear();
    }

    pub fn is_in(&self, audience: &Audience, scope: &dyn Scope) -> bool {
        let at = audience.number as usize;
        let known = self.0.borrow().get(at).copied().unwrap_or_default();
        if known != Membership::Unknown {
            return known == Membership::Inside;
        }
        let expression = audience.expression.as_ref();
        let is_inside = expression.is_some_and(|expression| expression.matches(scope));
        let mut memberships = self.0.borrow_mut();
        if at >= memberships.len() {
            memberships.resize(at + 1, Membership::Unknown);
        }
        memberships[at] = match is_inside {
            true => Membership::Inside,
            false => Membership::Outside,
        };
        is_inside
    }
}

/// Whether a person with this locale (BCP 47) is meant by one of these: each means
/// itself and whatever is more special (RFC 4647, basic filtering). An empty list means
/// everybody, and one whose locale is not known is not kept out.
pub fn speaks(locale: &str, meant: &[String]) -> bool {
    meant.is_empty()
        || locale.is_empty()
        || meant.iter().any(|range| {
            let range = range.as_bytes();
            let (start, rest) = locale.as_bytes().split_at(range.len().min(locale.len()));
            let is_same = |(a, b): (&u8, &u8)| letter(*a) == letter(*b);
            start.len() == range.len()
                && start.iter().zip(range).all(is_same)
                && rest.first().is_none_or(|next| letter(*next) == b'-')
        })
}

/// Clients also write `de_AT`.
fn letter(byte: u8) -> u8 {
    match byte {
        b'_' => b'-',
        other => other.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attune_api::{json, profile::v1::Snapshot};
    use attune_expr::SubjectScope;

    #[test]
    fn a_locale_is_meant_by_itself_and_by_what_is_more_general() {
        for (locale, meant, expected) in [
            ("de-AT", &[][..], true),
            ("", &["de"], true),
            ("de-AT", &["de"], true),
            ("de-AT", &["fr", "de-AT"], true),
            ("de-AT", &["DE-at"], true),
            ("de_AT", &["de-AT"], true),
            ("de", &["de-AT"], false),
            ("de-DE", &["de-AT"], false),
            ("den", &["de"], false),
            ("en", &["de", "fr"], false),
        ] {
            let meant: Vec<String> = meant.iter().map(ToString::to_string).collect();
            assert_eq!(speaks(locale, &meant), expected, "{locale} {meant:?}");
        }
    }

    #[test]
    fn an_audience_is_judged_once_per_request_and_one_that_cannot_be_is_nobody() {
        let mut audiences = Audiences::default();
        assert!(audiences.intern("").is_none());
        let grown = audiences.intern("profile.age >= 18").unwrap();
        let broken = audiences.intern("profile.age >=").unwrap();
        let adult = Snapshot {
            traits: json::to_struct(serde_json::json!({ "age": 40 })),
            ..Snapshot::default()
        };
        let scope = |snapshot| SubjectScope {
            snapshot,
            context: None,
            channel: "web",
            now_ms: 0,
            subject_key: "",
        };
        let mut memberships = Memberships::default();
        assert!(memberships.is_in(&grown, &scope(Some(&adult))));
        assert!(!memberships.is_in(&broken, &scope(Some(&adult))));
        // Remembered until the next request.
        assert!(memberships.is_in(&grown, &scope(None)));
        memberships.clear();
        assert!(!memberships.is_in(&grown, &scope(None)));
    }

    #[test]
    fn numbers_stay_dense() {
        let mut audiences = Audiences::default();
        let first = audiences.intern("profile.age >= 18");
        let second = audiences.intern("profile.age >= 21").unwrap();
        drop(first);
        audiences.sweep();
        assert_eq!((audiences.count(), second.number), (1, 1));
        let third = audiences.intern("profile.age >= 16").unwrap();
        assert_eq!(third.number, 0);
    }
}
