//! Collects everything that is wrong with a request, by field path, before anything
//! is answered. Paths use the contract's snake_case names with indexes, as in
//! `items[3].price.currency_code`. Knows paths; never knows what the rules are.

use std::fmt::Display;

use crate::Fault;

/// One field and the rule that it breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// `items[3].price.currency_code`; empty when the message itself is at fault.
    pub field: String,
    /// What must hold, in words that can follow the path: "must not be empty".
    pub rule: String,
}

/// All violations of one request, in the order in which they were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations {
    prefix: String,
    list: Vec<Violation>,
    left_off: usize,
}

impl Violations {
    /// More would not be read, and have to fit the trailers of an answer between
    /// services; those beyond are counted.
    pub const MAX: usize = 1000;

    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that `field`, a path below the current prefix, breaks `rule`. An empty
    /// path means the prefix itself.
    pub fn push(&mut self, field: impl AsRef<str>, rule: impl Into<String>) {
        if self.list.len() == Self::MAX {
            self.left_off += 1;
            return;
        }
        let field = join(&self.prefix, field.as_ref());
        let rule = rule.into();
        self.list.push(Violation { field, rule });
    }

    /// Runs `check` with `prefix` in front of the paths that it pushes.
    pub fn within<R>(&mut self, prefix: impl Display, check: impl FnOnce(&mut Self) -> R) -> R {
        let joined = join(&self.prefix, &prefix.to_string());
        let outer = std::mem::replace(&mut self.prefix, joined);
        let result = check(self);
        self.prefix = outer;
        result
    }

    /// As [`Violations::within`] with `name[index]`.
    pub fn within_item<R>(
        &mut self,
        name: &str,
        index: usize,
        check: impl FnOnce(&mut Self) -> R,
    ) -> R {
        self.within(format_args!("{name}[{index}]"), check)
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn len(&self) -> usize {
        self.list.len() + self.left_off
    }

    pub fn iter(&self) -> impl Iterator<Item = &Violation> {
        self.list.iter()
    }

    /// How many did not fit.
    pub fn left_off(&self) -> usize {
        self.left_off
    }

    /// Ok when nothing was found.
    pub fn into_result(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }

    /// A list of one.
    pub fn of(field: impl AsRef<str>, rule: impl Into<String>) -> Self {
        let mut violations = Self::new();
        violations.push(field, rule);
        violations
    }

    pub(crate) fn into_list(self) -> Vec<Violation> {
        self.list
    }
}

/// Takes over another's violations, below the current prefix.
impl Extend<Violation> for Violations {
    fn extend<I: IntoIterator<Item = Violation>>(&mut self, violations: I) {
        for violation in violations {
            self.push(violation.field, violation.rule);
        }
    }
}

impl IntoIterator for Violations {
    type Item = Violation;
    type IntoIter = std::vec::IntoIter<Violation>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl std::fmt::Display for Violations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, violation) in self.list.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{} {}", violation.field, violation.rule)?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}

impl From<Violations> for Fault {
    fn from(violations: Violations) -> Self {
        Fault::invalid(violations)
    }
}

impl From<Violations> for tonic::Status {
    fn from(violations: Violations) -> Self {
        Fault::invalid(violations).into()
    }
}

fn join(prefix: &str, field: &str) -> String {
    match (prefix, field) {
        ("", _) => field.to_owned(),
        (_, "") => prefix.to_owned(),
        _ if field.starts_with('[') => format!("{prefix}{field}"),
        _ => format!("{prefix}.{field}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_by_level() {
        let mut found = Violations::new();
        found.push("name", "must not be empty");
        found.within_item("items", 3, |found| {
            found.push("", "must be set");
            found.within("price", |found| {
                found.push("currency_code", "must be a code of ISO 4217");
            });
            found.push("[\"en\"]", "must be text");
        });
        found.push("page_size", "must not be negative");
        let fields: Vec<_> = found.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "name",
                "items[3]",
                "items[3].price.currency_code",
                "items[3][\"en\"]",
                "page_size"
            ]
        );
    }

    #[test]
    fn only_an_empty_list_is_ok() {
        assert!(Violations::new().into_result().is_ok());
        assert!(Violations::of("a", "b").into_result().is_err());
    }

    #[test]
    fn what_exceeds_the_bound_is_counted() {
        let mut found = Violations::new();
        for i in 0..Violations::MAX + 7 {
            found.push(format!("items[{i}]"), "must be set");
        }
        assert_eq!(found.iter().count(), Violations::MAX);
        assert_eq!((found.left_off(), found.len()), (7, Violations::MAX + 7));
    }
}
