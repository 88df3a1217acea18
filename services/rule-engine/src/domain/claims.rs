//! What rules lay claim to: positions, items, scores; and which claims cannot stand
//! beside each other. Looked up by what is claimed, so that checking a rule meets those
//! that want the same, not all there are.

use std::sync::Arc;

use attune_expr::Expression;
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use super::{
    items::{ItemIndex, Items},
    plan::{RuleAction, RulePlan},
};

/// A rule in force, or about to be.
#[derive(Debug, Clone)]
pub struct Claim {
    pub plan: Arc<RulePlan>,
    pub when: Option<Expression>,
}

/// Two rules that cannot both be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    pub kind: ContradictionKind,
    /// The rule that was there before.
    pub other: Arc<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContradictionKind {
    /// Both pin to the same position with the same priority.
    SamePosition,
    /// The other excludes the item in this place of the rule's list.
    ItemExcluded { place: usize },
    /// The rule excludes an item that the other pins or includes.
    Excludes { item: ItemIndex },
    /// One boosts what the other buries, under the same condition.
    Opposite,
}

/// More would not be read.
const CONTRADICTIONS_MAX: usize = 10;

/// The claims of many rules.
#[derive(Debug, Default)]
pub struct Claims {
    pins: FxHashMap<(usize, i32), Vec<Claim>>,
    /// Pins and includes by item.
    named: FxHashMap<ItemIndex, SmallVec<[Claim; 1]>>,
    /// By number.
    excludes: FxHashMap<u32, Claim>,
    /// Boosts and buries by target and condition.
    scales: FxHashMap<Aim, SmallVec<[Claim; 1]>>,
}

/// The target and the condition of a boost or bury, as they are written.
type Aim = (Arc<str>, Arc<str>);

impl Claims {
    /// Takes in a rule, which must not be in here.
    pub fn insert(&mut self, claim: &Claim) {
        match &claim.plan.action {
            RuleAction::Pin { position, items } => {
                let at = (*position, claim.plan.priority);
                self.pins.entry(at).or_default().push(claim.clone());
                self.name(items, claim);
            }
            RuleAction::Include { items } => self.name(items, claim),
            RuleAction::Exclude => {
                self.excludes.insert(claim.plan.number, claim.clone());
            }
            RuleAction::Scale(_) => {
                let same = self.scales.entry(aim(claim)).or_default();
                same.push(claim.clone());
            }
        }
    }

    pub fn remove(&mut self, claim: &Claim) {
        let number = claim.plan.number;
        match &claim.plan.action {
            RuleAction::Pin { position, items } => {
                let at = (*position, claim.plan.priority);
                if let Some(held) = self.pins.get_mut(&at) {
                    held.retain(|held| held.plan.number != number);
                    if held.is_empty() {
                        self.pins.remove(&at);
                    }
                }
                self.unname(items, number);
            }
            RuleAction::Include { items } => self.unname(items, number),
            RuleAction::Exclude => {
                self.excludes.remove(&number);
            }
            RuleAction::Scale(_) => {
                let aim = aim(claim);
                if let Some(held) = self.scales.get_mut(&aim) {
                    held.retain(|held| held.plan.number != number);
                    if held.is_empty() {
                        self.scales.remove(&aim);
                    }
                }
            }
        }
    }

    /// What of these claims a rule contradicts, those of the rules in `leaving` aside.
    pub fn against(
        &self,
        claim: &Claim,
        leaving: &FxHashSet<u32>,
        items: &Items,
        now_ms: i64,
    ) -> Vec<Contradiction> {
        let meets = |other: &&Claim| {
            !leaving.contains(&other.plan.number) && can_meet(claim, other, now_ms)
        };
        let found: Vec<Contradiction> = match &claim.plan.action {
            RuleAction::Pin {
                position,
                items: ids,
            } => {
                let at = (*position, claim.plan.priority);
                let rivals = self.pins.get(&at).into_iter().flatten().filter(meets);
                let rivals =
                    rivals.map(|other| contradiction(ContradictionKind::SamePosition, other));
                rivals
                    .chain(self.excluders(ids, items, &meets))
                    .take(CONTRADICTIONS_MAX)
                    .collect()
            }
            RuleAction::Include { items: ids } => self
                .excluders(ids, items, &meets)
                .take(CONTRADICTIONS_MAX)
                .collect(),
            RuleAction::Exclude => self.excluded(claim, items, &meets),
            RuleAction::Scale(factor) => {
                let same = self.scales.get(&aim(claim)).into_iter().flatten();
                let opposite = same.filter(|other| match other.plan.action {
                    RuleAction::Scale(theirs) => (theirs > 1.0) != (*factor > 1.0),
                    _ => false,
                });
                opposite
                    .filter(meets)
                    .map(|other| contradiction(ContradictionKind::Opposite, other))
                    .take(CONTRADICTIONS_MAX)
                    .collect()
            }
        };
        found
    }

    /// Rules that exclude items of a list.
    fn excluders<'a>(
        &'a self,
        ids: &'a [ItemIndex],
        items: &'a Items,
        meets: &'a dyn Fn(&&Claim) -> bool,
    ) -> impl Iterator<Item = Contradiction> + 'a {
        self.excludes.values().filter_map(move |other| {
            let place = ids.iter().position(|id| excludes(other, items, *id))?;
            meets(&other).then(|| contradiction(ContradictionKind::ItemExcluded { place }, other))
        })
    }

    /// Rules whose items a rule would exclude, each once.
    fn excluded(
        &self,
        claim: &Claim,
        items: &Items,
        meets: &dyn Fn(&&Claim) -> bool,
    ) -> Vec<Contradiction> {
        let mut seen = FxHashSet::default();
        let named = self.named.iter();
        let hit = named.filter(|(item, _)| excludes(claim, items, **item));
        let hit = hit.flat_map(|(item, others)| others.iter().map(move |other| (*item, other)));
        let fresh = hit.filter(|(_, other)| meets(other) && seen.insert(other.plan.number));
        fresh
            .map(|(item, other)| contradiction(ContradictionKind::Excludes { item }, other))
            .take(CONTRADICTIONS_MAX)
            .collect()
    }

    fn name(&mut self, items: &[ItemIndex], claim: &Claim) {
        for item in items {
            self.named.entry(*item).or_default().push(claim.clone());
        }
    }

    fn unname(&mut self, items: &[ItemIndex], number: u32) {
        for item in items {
            if let Some(held) = self.named.get_mut(item) {
                held.retain(|held| held.plan.number != number);
                if held.is_empty() {
                    self.named.remove(item);
                }
            }
        }
    }
}

fn contradiction(kind: ContradictionKind, other: &Claim) -> Contradiction {
    Contradiction {
        kind,
        other: Arc::clone(&other.plan.id),
    }
}

fn aim(claim: &Claim) -> Aim {
    let targets = claim.plan.targets.as_ref();
    (
        targets.map_or("", |filter| filter.source()).into(),
        claim.when.as_ref().map_or("", |when| when.source()).into(),
    )
}

/// Fields that come and go: an item that is out of stock today is no reason to refuse
/// a rule.
const PASSING: [&str; 6] = [
    "item.price",
    "item.stock",
    "item.state",
    "item.available_from",
    "item.available_to",
    "item.update_time",
];

/// Whether an exclusion keeps this item out for good.
fn excludes(exclusion: &Claim, items: &Items, item: ItemIndex) -> bool {
    match &exclusion.plan.targets {
        None => true,
        Some(filter) => {
            !PASSING.iter().any(|field| filter.source().contains(field))
                && filter.holds(items, item)
        }
    }
}

/// Whether there can be a decision in which both rules apply. Cheap tests first.
fn can_meet(one: &Claim, two: &Claim, now_ms: i64) -> bool {
    let (a, b) = (&one.plan, &two.plan);
    let is_same_group = a.exclusion_group.is_some() && a.exclusion_group == b.exclusion_group;
    !is_same_group
        && intersect(&a.placements, &b.placements)
        && intersect(&a.channels, &b.channels)
        && a.schedule.overlaps(&b.schedule, now_ms)
        && can_hold_together(one.when.as_ref(), two.when.as_ref())
}

/// Of lists whose emptiness means everything.
fn intersect<T: PartialEq>(a: &[T], b: &[T]) -> bool {
    a.is_empty() || b.is_empty() || a.iter().any(|value| b.contains(value))
}

/// Whether it is not proved that no person ever satisfies both.
fn can_hold_together(a: Option<&Expression>, b: Option<&Expression>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.source() == b.source() || !a.excludes(b),
        _ => true,
    }
}
