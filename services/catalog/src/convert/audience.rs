//! Whom an item may be shown to: audience, locales, and what having bought it means.
//! Audiences are expressions over a person and a situation; the rule-engine judges them.

use std::collections::{HashMap, HashSet};

use attune_api::catalog::v1::Item;
use attune_errors::Violations;
use attune_expr::{Expression, Vocabulary};

use super::item::is_locale;

const LOCALES_MAX: usize = 50;
const REPLENISHMENT_DAYS_MAX: f64 = 3650.0;

/// The audiences of a batch. Many items have the same, which is compiled once.
pub(crate) struct Audiences<'a> {
    vocabulary: Vocabulary,
    /// What is wrong with each text.
    known: HashMap<&'a str, Vec<String>>,
}

impl<'a> Audiences<'a> {
    pub fn new() -> Self {
        Self {
            vocabulary: Vocabulary::subject(),
            known: HashMap::new(),
        }
    }

    fn faults(&mut self, source: &'a str) -> &[String] {
        let Self { vocabulary, known } = self;
        known.entry(source).or_insert_with(|| {
            let compiled = Expression::compile(source, vocabulary);
            let faults = compiled.err().into_iter().flatten();
            faults.map(|fault| fault.to_string()).collect()
        })
    }
}

/// Notes what is wrong with the fields that say to whom an item may be shown.
pub(crate) fn check<'a>(
    item: &'a Item,
    audiences: &mut Audiences<'a>,
    violations: &mut Violations,
) {
    if !item.audience.is_empty() {
        for fault in audiences.faults(&item.audience) {
            violations.push("audience", format!("is not valid at {fault}"));
        }
    }
    check_locales(&item.locales, violations);
    let days = item.replenishment_days;
    if !(0.0..=REPLENISHMENT_DAYS_MAX).contains(&days) {
        let rule = "must be above 0 and at most 3650; 0 means what buying shows";
        violations.push("replenishment_days", rule);
    } else if days > 0.0 && !item.replenishable {
        let rule = "must not be set unless `replenishable` is";
        violations.push("replenishment_days", rule);
    }
}

fn check_locales(locales: &[String], violations: &mut Violations) {
    if locales.len() > LOCALES_MAX {
        violations.push("locales", "must be at most 50");
        return;
    }
    let mut seen = HashSet::new();
    for (index, locale) in locales.iter().enumerate() {
        let field = format!("locales[{index}]");
        if !is_locale(locale) {
            violations.push(
                field,
                "must be a BCP 47 language tag such as `de` or `de-AT`",
            );
        } else if !seen.insert(locale.to_ascii_lowercase()) {
            violations.push(field, "must not be there twice");
        }
    }
}
