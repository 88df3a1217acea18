//! What changes between two ways of deciding the same: how many answers, how much of
//! them, which items, which rules. Counts only; decides nothing.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use rustc_hash::FxHashMap;

use super::decide::{Decided, RuleOutcome};

/// How often something was there before and after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    pub before: u32,
    pub after: u32,
}

impl Change {
    fn size(self) -> u32 {
        self.before.abs_diff(self.after)
    }
}

/// Pairs of answers, summed up.
#[derive(Debug, Default)]
pub struct Comparison {
    pub decisions: u32,
    pub changed: u32,
    /// The sum of each pair's share of slots that stay.
    overlap: f64,
    items: FxHashMap<Arc<str>, Change>,
    rules: BTreeMap<Arc<str>, Change>,
}

impl Comparison {
    /// These rules are told of even if they apply nowhere.
    pub fn with_rules<'a>(rule_ids: impl Iterator<Item = &'a str>) -> Self {
        Self {
            rules: rule_ids.map(|id| (id.into(), Change::default())).collect(),
            ..Self::default()
        }
    }

    /// Takes in one pair and says whether it differs.
    pub fn take(&mut self, before: &Decided, after: &Decided) -> bool {
        self.decisions += 1;
        let (slots, others) = (&before.slots, &after.slots);
        let staying = slots.iter().zip(others);
        let staying = staying.filter(|(a, b)| a.item_id == b.item_id).count();
        let longer = slots.len().max(others.len());
        self.overlap += match longer {
            0 => 1.0,
            longer => staying as f64 / longer as f64,
        };
        let is_changed = staying < longer;
        self.changed += u32::from(is_changed);
        for slot in slots {
            self.item(&slot.item_id).before += 1;
        }
        for slot in others {
            self.item(&slot.item_id).after += 1;
        }
        for id in applied(before) {
            self.rules.entry(id).or_default().before += 1;
        }
        for id in applied(after) {
            self.rules.entry(id).or_default().after += 1;
        }
        is_changed
    }

    /// Share of slots that stay, 0..1, on average; 1 of nothing.
    pub fn overlap(&self) -> f64 {
        match self.decisions {
            0 => 1.0,
            decisions => self.overlap / f64::from(decisions),
        }
    }

    /// Items that are shown in more answers or in fewer, the most changed first.
    pub fn items(&self, max: usize) -> Vec<(Arc<str>, Change)> {
        let changed = self.items.iter().filter(|(_, change)| change.size() > 0);
        let mut changed: Vec<_> = changed.map(|(id, c)| (Arc::clone(id), *c)).collect();
        changed.sort_by(|(a, x), (b, y)| (Reverse(x.size()), a).cmp(&(Reverse(y.size()), b)));
        changed.truncate(max);
        changed
    }

    /// To how many answers each rule applies, the farthest reaching first.
    pub fn rules(&self, max: usize) -> Vec<(Arc<str>, Change)> {
        let mut rules: Vec<_> = self
            .rules
            .iter()
            .map(|(id, c)| (Arc::clone(id), *c))
            .collect();
        // Stable, and so by id among equals.
        rules.sort_by_key(|(_, change)| Reverse(change.before.max(change.after)));
        rules.truncate(max);
        rules
    }

    fn item(&mut self, id: &Arc<str>) -> &mut Change {
        self.items.entry(Arc::clone(id)).or_default()
    }
}

fn applied(decided: &Decided) -> impl Iterator<Item = Arc<str>> {
    let rules = decided.trace.iter().flat_map(|trace| &trace.rules);
    let applied = rules.filter(|rule| rule.outcome == RuleOutcome::Applied);
    applied.map(|rule| Arc::clone(&rule.rule.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::decide::DecidedSlot;
    use smallvec::SmallVec;

    fn decided(ids: &[&str]) -> Decided {
        let slots = ids.iter().map(|id| DecidedSlot {
            index: 0,
            item_id: (*id).into(),
            score: 1.0,
            propensity: 1.0,
            reasons: SmallVec::new(),
        });
        Decided {
            slots: slots.collect(),
            is_fallback: false,
            trace: None,
        }
    }

    #[test]
    fn pairs_of_answers_are_summed_up() {
        let mut comparison = Comparison::with_rules(["draft"].into_iter());
        for (before, after, is_changed) in [
            (&["a", "b"][..], &["a", "b"][..], false),
            (&["a", "b"], &["b", "a"], true),
            (&["a", "b"], &["a", "c"], true),
            (&["a"], &["a", "c"], true),
            (&[], &[], false),
        ] {
            let changed = comparison.take(&decided(before), &decided(after));
            assert_eq!(changed, is_changed, "{before:?} {after:?}");
        }
        assert_eq!((comparison.decisions, comparison.changed), (5, 3));
        assert!((comparison.overlap() - (1.0 + 0.0 + 0.5 + 0.5 + 1.0) / 5.0).abs() < 1e-12);
        let change = |before, after| Change { before, after };
        let items = [("c".into(), change(0, 2)), ("b".into(), change(3, 2))];
        assert_eq!(comparison.items(50), items);
        assert_eq!(comparison.items(1), items[..1]);
        assert_eq!(comparison.rules(50), [("draft".into(), change(0, 0))]);
    }
}
