//! How long what is known may be kept: each kind of data has a class, and a class its
//! days. Works out what is too old at a moment; never what is done about it.

use std::{collections::BTreeMap, num::NonZeroU16};

use super::{Owner, ProfileId};

/// The class of events whose type names none.
pub const EVENTS: &str = "events";
/// Ids of messages that are no events, by which they are known again.
pub const MESSAGES: &str = "messages";
/// Values that traits had, whatever the class of the trait.
pub const TRAIT_HISTORY: &str = "trait_history";
/// Entries of the audit log.
pub const AUDIT: &str = "audit";
/// Decisions about consent that others have taken the place of.
pub const CONSENT_HISTORY: &str = "consent_history";
/// People without a customer's identifier of whom nothing was heard since.
pub const ANONYMOUS_PROFILES: &str = "anonymous_profiles";

const DAY_MS: i64 = 86_400_000;

/// Who used data by consent has to be able to show it (article 7(1) of the GDPR) while
/// they may be called to account, and no longer (article 5(1)(e)). Five years is the
/// longest that we know a law to ask for: § 7a of Germany's UWG, for advertising by
/// telephone. What California asks for (11 CCR § 7101) is two.
const CONSENT_HISTORY_DAYS: NonZeroU16 = NonZeroU16::new(5 * 365 + 2).unwrap();

/// Days by class. What has no class here is kept as long as its profile, but for
/// decisions that hold no longer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Classes(BTreeMap<String, NonZeroU16>);

impl Classes {
    pub fn new(days: &BTreeMap<String, NonZeroU16>) -> Self {
        let mut days = days.clone();
        let consents = days.entry(CONSENT_HISTORY.to_owned());
        consents.or_insert(CONSENT_HISTORY_DAYS);
        Self(days)
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

/// Finds decisions whose place another had taken before a moment, among those from before
/// it: all but the newest of each purpose, for every profile they came by, because a
/// merge can be undone. The newest holds still, or did at that moment.
#[derive(Debug)]
pub struct Superseded<P> {
    person: Option<ProfileId>,
    /// By whose it is and the purpose.
    newest: BTreeMap<(ProfileId, String), P>,
}

impl<P> Default for Superseded<P> {
    fn default() -> Self {
        Self {
            person: None,
            newest: BTreeMap::new(),
        }
    }
}

impl<P> Superseded<P> {
    /// Takes a person's decisions, the oldest first, one person after the other. Says
    /// where the one lies whose place this one took.
    pub fn take(&mut self, owner: Owner, purpose: String, place: P) -> Option<P> {
        if self.person != Some(owner.profile_id) {
            self.person = Some(owner.profile_id);
            self.newest.clear();
        }
        self.newest.insert((owner.origin_id, purpose), place)
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

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
    fn decisions_are_superseded_by_later_ones_about_the_same_of_the_same() {
        let [ann, bob, part] =
            [1, 2, 3].map(|n| ProfileId::from_str(&uuid::Uuid::from_u128(n).to_string()).unwrap());
        let of = |profile_id, origin_id| Owner {
            profile_id,
            origin_id,
        };
        let rows = [
            (of(ann, ann), "ads", None),
            (of(ann, ann), "analytics", None),
            // A merge may be undone: what came by another stays beside it.
            (of(ann, part), "ads", None),
            (of(ann, ann), "ads", Some(0)),
            (of(ann, part), "ads", Some(2)),
            (of(bob, bob), "ads", None),
            (of(bob, bob), "ads", Some(5)),
        ];
        let mut superseded = Superseded::default();
        for (number, (owner, purpose, expected)) in rows.into_iter().enumerate() {
            let found = superseded.take(owner, purpose.to_owned(), number);
            assert_eq!(found, expected, "row {number}");
        }
    }

    #[test]
    fn decisions_that_hold_no_longer_have_days_unless_others_are_set() {
        let days = |set: &[(&str, u16)]| {
            let set = set.iter();
            let set = set.map(|(name, days)| ((*name).to_owned(), NonZeroU16::new(*days).unwrap()));
            let cutoff = Classes::new(&set.collect()).cutoff_ms(CONSENT_HISTORY, 0);
            cutoff.map(|ms| -ms / DAY_MS)
        };
        assert_eq!(days(&[]), Some(1_827));
        assert_eq!(days(&[("events", 30)]), Some(1_827));
        assert_eq!(days(&[("consent_history", 90)]), Some(90));
    }

    #[test]
    fn what_has_no_days_is_kept() {
        let none = Classes::new(&BTreeMap::new());
        assert_eq!(rules(&none, [("search", "searches")], EVENTS, NOW), []);
        assert_eq!(classes().cutoff_ms(MESSAGES, NOW), None);
        let traits = [("city", "searches"), ("name", ""), ("size", "books")];
        let found: Vec<_> = of_traits(&classes(), traits, NOW).into_iter().collect();
        assert_eq!(found, [("city".to_owned(), NOW - 7 * DAY_MS)]);
    }
}
