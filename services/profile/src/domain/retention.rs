//! How long what is known may be kept: each kind of data has a class, and a class its
//! days. Works out what is too old at a moment; never what is done about it.

use std::{collections::BTreeMap, num::NonZeroU16};

/// The class of events whose type names none.
pub const EVENTS: &str = "events";
/// Ids of messages that are no events, by which they are known again.
pub const MESSAGES: &str = "messages";
/// Values that traits had, whatever the class of the trait.
pub const TRAIT_HISTORY: &str = "trait_history";
/// Entries of the audit log.
pub const AUDIT: &str = "audit";
/// People without a customer's identifier of whom nothing was heard since.
pub const ANONYMOUS_PROFILES: &str = "anonymous_profiles";

const DAY_MS: i64 = 86_400_000;

/// Days by class. What has no class here is kept as long as its profile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Classes(BTreeMap<String, NonZeroU16>);

impl Classes {
    pub fn new(days: &BTreeMap<String, NonZeroU16>) -> Self {
        Self(days.clone())
    }

    /// Whether there is such a class: one that has days, or one that everybody has.
    pub fn has(&self, class: &str) -> bool {
        const ALWAYS: [&str; 2] = [EVENTS, TRAIT_HISTORY];
        ALWAYS.contains(&class) || self.0.contains_key(class)
    }

    /// Those that have days.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What is older than this is too old; None if nothing of the class ever is.
    pub fn cutoff_ms(&self, class: &str, now_ms: i64) -> Option<i64> {
        let days = self.0.get(class)?;
        Some(now_ms.saturating_sub(i64::from(days.get()) * DAY_MS))
    }
}

/// Some kinds of a thing, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    Only(Vec<String>),
    AllBut(Vec<String>),
}

/// What of a table is too old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub names: Names,
    pub before_ms: i64,
}

impl Rule {
    /// For every kind.
    pub fn for_all(before_ms: i64) -> Self {
        Self {
            names: Names::AllBut(Vec::new()),
            before_ms,
        }
    }
}

/// Rules for what is named, each by the class it declares (empty for none), and for the
/// rest by `default_class`. At most one rule concerns each.
pub fn rules<'a>(
    classes: &Classes,
    declared: impl IntoIterator<Item = (&'a str, &'a str)>,
    default_class: &str,
    now_ms: i64,
) -> Vec<Rule> {
    let mut by_class: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, class) in declared {
        if !class.is_empty() && class != default_class {
            by_class.entry(class).or_default().push(name.to_owned());
        }
    }
    let others: Vec<_> = by_class.values().flatten().cloned().collect();
    let own = by_class.into_iter().filter_map(|(class, names)| {
        Some(Rule {
            names: Names::Only(names),
            before_ms: classes.cutoff_ms(class, now_ms)?,
        })
    });
    let mut rules: Vec<_> = own.collect();
    rules.extend(
        classes
            .cutoff_ms(default_class, now_ms)
            .map(|before_ms| Rule {
                names: Names::AllBut(others),
                before_ms,
            }),
    );
    rules
}

/// Values of traits that are too old, by trait: only where a trait declares a class.
pub fn of_traits<'a>(
    classes: &Classes,
    declared: impl IntoIterator<Item = (&'a str, &'a str)>,
    now_ms: i64,
) -> BTreeMap<String, i64> {
    let declared = declared.into_iter();
    declared
        .filter_map(|(id, class)| Some((id.to_owned(), classes.cutoff_ms(class, now_ms)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000 * DAY_MS;

    fn classes() -> Classes {
        let days = [("events", 100), ("searches", 7), ("audit", 900)];
        let days = days.map(|(name, days)| (name.to_owned(), NonZeroU16::new(days).unwrap()));
        Classes::new(&days.into())
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn each_kind_is_kept_as_its_class_says_and_the_rest_by_the_default() {
        let declared = [
            ("search", "searches"),
            ("view", ""),
            ("purchase", "books"),
            ("add_to_cart", "events"),
        ];
        let found = rules(&classes(), declared, EVENTS, NOW);
        let expected = [
            Rule {
                names: Names::Only(names(&["search"])),
                before_ms: NOW - 7 * DAY_MS,
            },
            // Purchases are of a class that is kept for good.
            Rule {
                names: Names::AllBut(names(&["purchase", "search"])),
                before_ms: NOW - 100 * DAY_MS,
            },
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_has_no_days_is_kept() {
        let none = Classes::default();
        assert_eq!(rules(&none, [("search", "searches")], EVENTS, NOW), []);
        assert_eq!(classes().cutoff_ms(MESSAGES, NOW), None);
        let traits = [("city", "searches"), ("name", ""), ("size", "books")];
        let found: Vec<_> = of_traits(&classes(), traits, NOW).into_iter().collect();
        assert_eq!(found, [("city".to_owned(), NOW - 7 * DAY_MS)]);
    }
}
