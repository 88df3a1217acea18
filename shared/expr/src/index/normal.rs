//! The normal form of an expression: a few conjunctions of predicates on attributes, of
//! which at least one holds exactly where the expression does. What has no predicate, or
//! would take too many conjunctions, stays a tree that is judged as it is.

use smallvec::SmallVec;

use super::{
    accepts::Accepts,
    atoms::{self, Atom},
    names::{AttributeId, Like, Names, View},
};
use crate::node::{Literal, Node};

/// Past this many conjunctions, a part of an expression is judged as it is.
const CONJUNCTIONS_MAX: usize = 16;

/// Predicates of one conjunction on the same list, beyond which its trees are judged.
const LAYERS_MAX: usize = 8;

/// Sets of up to so many values are spread over a conjunction for each value; of one
/// expression, over so many in all.
const SPREAD_MAX: usize = 8;

/// Says of one attribute which values are accepted. Negations are part of what is
/// accepted: a comparison that is false where the value is missing holds there negated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Predicate {
    pub attribute: AttributeId,
    /// Which of a conjunction's predicates on the same list this is; 0 for single values.
    pub layer: u8,
    /// For lists: none, rather than one, of the elements is accepted.
    pub is_negated: bool,
    pub is_plural: bool,
    pub is_costly: bool,
    pub accepts: Accepts,
}

/// A tree that must hold, or must not.
pub(crate) type Residual = (AttributeId, bool);

/// Predicates that must all hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Conjunction {
    /// Sorted by attribute, then layer.
    pub predicates: Vec<Predicate>,
    pub residuals: SmallVec<[Residual; 1]>,
}

/// At least one of which holds; none means never.
pub(crate) type Disjunction = Vec<Conjunction>;

/// The normal form of a whole expression.
pub(crate) fn of(root: &Node, names: &mut Names) -> Disjunction {
    let mut disjunction = Normalizer { names }.of(root, false);
    for conjunction in &mut disjunction {
        if !conjunction.number_layers() {
            let whole = names.attribute(root, View::Truth);
            conjunction.residuals.push((whole, true));
        }
    }
    disjunction
}

/// The same with a conjunction for each value of a small set: those for one value lie
/// together in the tree, where a set would lie with sets that it shares only some of its
/// values with. A subject has one value, so that at most one of them holds.
pub(crate) fn spread(disjunction: Disjunction) -> Disjunction {
    let mut left = SPREAD_MAX.saturating_sub(disjunction.len());
    let mut spread = Vec::with_capacity(disjunction.len());
    for conjunction in disjunction {
        match conjunction.smallest_set() {
            Some((at, count)) if count - 1 <= left => {
                left -= count - 1;
                conjunction.spread_at(at, &mut spread);
            }
            _ => spread.push(conjunction),
        }
    }
    spread
}

struct Normalizer<'n> {
    names: &'n mut Names,
}

impl Normalizer<'_> {
    fn of(&mut self, node: &Node, is_negated: bool) -> Disjunction {
        match (node, is_negated) {
            (Node::Not(of), _) => self.of(of, !is_negated),
            (Node::Literal(literal), _) => constant(literal_holds(literal) != is_negated),
            (Node::And(nodes), false) | (Node::Or(nodes), true) => self.all(nodes, is_negated),
            (Node::Or(nodes), false) | (Node::And(nodes), true) => {
                self.some(node, nodes, is_negated)
            }
            (Node::Conditional(parts), _) => {
                let [condition, then, otherwise] = &**parts;
                let cases = [(false, then), (true, otherwise)].map(|(is_otherwise, case)| {
                    let condition = self.of(condition, is_otherwise);
                    let case = self.of(case, is_negated);
                    product(&condition, &case)
                });
                let cases: Option<Vec<Disjunction>> = cases.into_iter().collect();
                cases
                    .and_then(|cases| self.any(cases))
                    .unwrap_or_else(|| self.residual(node, is_negated))
            }
            (Node::AtLeast(1, nodes), false) => self.some(node, nodes, is_negated),
            (Node::AtLeast(least, nodes), false) if *least as usize == nodes.len() => {
                self.all(nodes, is_negated)
            }
            _ => match atoms::of(node, self.names) {
                Some(atom) => self.atom(atom, is_negated),
                None => self.residual(node, is_negated),
            },
        }
    }

    fn some(&mut self, whole: &Node, nodes: &[Node], is_negated: bool) -> Disjunction {
        let parts = nodes.iter().map(|part| self.of(part, is_negated)).collect();
        self.any(parts)
            .unwrap_or_else(|| self.residual(whole, is_negated))
    }

    fn all(&mut self, nodes: &[Node], is_negated: bool) -> Disjunction {
        let mut parts: Vec<(Disjunction, &Node)> = nodes
            .iter()
            .map(|part| (self.of(part, is_negated), part))
            .collect();
        // The small ones first, so that what is left a tree is what is large.
        parts.sort_by_key(|(part, _)| part.len());
        let mut all = constant(true);
        for (part, node) in parts {
            all = match product(&all, &part) {
                Some(product) => product,
                None => product(&all, &self.residual(node, is_negated)).unwrap_or(all),
            };
        }
        all
    }

    /// None if there are too many.
    fn any(&mut self, parts: Vec<Disjunction>) -> Option<Disjunction> {
        let mut any: Disjunction = Vec::new();
        for mut conjunction in parts.into_iter().flatten() {
            // What a conjunction merges with may make it fit the next.
            while let Some((at, merged)) = any
                .iter()
                .enumerate()
                .find_map(|(at, other)| Some((at, other.merged(&conjunction)?)))
            {
                any.swap_remove(at);
                conjunction = merged;
            }
            any.push(conjunction);
        }
        (any.len() <= CONJUNCTIONS_MAX).then_some(any)
    }

    fn atom(&mut self, atom: Atom, is_negated: bool) -> Disjunction {
        let parts = match atom {
            Atom::Constant(holds) => return constant(holds != is_negated),
            Atom::AnyOf(parts) => parts,
        };
        let predicates = parts
            .into_iter()
            .map(|(attribute, accepts)| self.predicate(attribute, accepts, is_negated));
        let conjunctions = predicates.map(Conjunction::single);
        if is_negated {
            let conjunctions: Vec<Conjunction> = conjunctions.collect();
            let all = conjunctions
                .iter()
                .try_fold(Conjunction::default(), |all, one| all.and(one));
            return all.into_iter().collect();
        }
        conjunctions
            .filter(|c| !c.predicates.iter().any(Predicate::is_never))
            .collect()
    }

    fn predicate(&self, attribute: AttributeId, accepts: Accepts, is_negated: bool) -> Predicate {
        let is_plural = self.names.view(attribute).is_some_and(View::is_plural);
        let accepts = if is_negated && !is_plural {
            accepts.complement()
        } else {
            accepts
        };
        Predicate {
            attribute,
            layer: 0,
            is_negated: is_negated && is_plural,
            is_plural,
            is_costly: self.names.is_costly(attribute),
            accepts,
        }
    }

    fn residual(&mut self, node: &Node, is_negated: bool) -> Disjunction {
        let attribute = self.names.attribute(node, View::Truth);
        vec![Conjunction {
            predicates: Vec::new(),
            residuals: SmallVec::from_iter([(attribute, !is_negated)]),
        }]
    }
}

fn constant(holds: bool) -> Disjunction {
    if holds {
        vec![Conjunction::default()]
    } else {
        Vec::new()
    }
}

fn literal_holds(literal: &Literal) -> bool {
    matches!(literal, Literal::Bool(true))
}

/// None if there would be too many.
fn product(left: &[Conjunction], right: &[Conjunction]) -> Option<Disjunction> {
    let mut product = Vec::with_capacity(left.len() * right.len());
    for a in left {
        product.extend(right.iter().filter_map(|b| a.and(b)));
        if product.len() > CONJUNCTIONS_MAX {
            return None;
        }
    }
    Some(product)
}

impl Predicate {
    /// Whether no subject satisfies it.
    fn is_never(&self) -> bool {
        !self.is_negated && self.accepts.is_nothing()
    }

    fn is_always(&self) -> bool {
        if self.is_plural {
            self.is_negated && self.accepts.is_nothing()
        } else {
            self.accepts.is_everything()
        }
    }

    /// How many values it accepts, if more than one and few enough.
    fn count_if_small(&self) -> Option<usize> {
        if self.is_plural || self.accepts.missing || self.accepts.unlike {
            return None;
        }
        let ranges = self.accepts.ranges.iter();
        let counts = ranges.map(|(low, high)| (high - low).saturating_add(1));
        let count = counts.fold(0, u64::saturating_add);
        let count = usize::try_from(count).ok()?;
        (2..=SPREAD_MAX).contains(&count).then_some(count)
    }
}

impl Conjunction {
    fn single(predicate: Predicate) -> Self {
        let mut conjunction = Self::default();
        if !predicate.is_always() {
            conjunction.predicates.push(predicate);
        }
        conjunction
    }

    /// Both; None if they contradict each other.
    pub fn and(&self, other: &Self) -> Option<Self> {
        let mut both = self.clone();
        for predicate in &other.predicates {
            both.narrow(predicate)?;
        }
        for &(attribute, holds) in &other.residuals {
            match both.residuals.iter().find(|r| r.0 == attribute) {
                Some((_, known)) if *known != holds => return None,
                Some(_) => {}
                None => both.residuals.push((attribute, holds)),
            }
        }
        both.residuals.sort_unstable();
        both.predicates.sort_by_key(|predicate| predicate.attribute);
        Some(both)
    }

    fn narrow(&mut self, predicate: &Predicate) -> Option<()> {
        if predicate.is_always() {
            return Some(());
        }
        if predicate.is_plural {
            return self.narrow_list(predicate);
        }
        let known = self.predicates.iter_mut();
        match known
            .into_iter()
            .find(|known| known.attribute == predicate.attribute)
        {
            Some(known) => {
                known.accepts = known.accepts.intersection(&predicate.accepts);
                if known.is_never() {
                    return None;
                }
            }
            None if predicate.is_never() => return None,
            None => self.predicates.push(predicate.clone()),
        }
        Some(())
    }

    /// An element may satisfy one predicate and another element the next, so only what
    /// one says of all elements is put together.
    fn narrow_list(&mut self, predicate: &Predicate) -> Option<()> {
        if predicate.is_never() {
            return None;
        }
        let mut predicate = predicate.clone();
        let is_same = |known: &Predicate| known.attribute == predicate.attribute;
        if predicate.is_negated {
            let at = self
                .predicates
                .iter()
                .position(|known| is_same(known) && known.is_negated);
            if let Some(at) = at {
                let known = self.predicates.swap_remove(at);
                predicate.accepts = predicate.accepts.union(&known.accepts);
            }
        }
        let same = self
            .predicates
            .iter()
            .filter(|known| known.attribute == predicate.attribute);
        for known in same {
            let (wanted, refused) = match (predicate.is_negated, known.is_negated) {
                (false, true) => (&predicate, known),
                (true, false) => (known, &predicate),
                (false, false) if known.accepts.is_within(&predicate.accepts) => return Some(()),
                _ => continue,
            };
            if wanted.accepts.is_within(&refused.accepts) {
                return None;
            }
        }
        self.predicates.push(predicate);
        Some(())
    }

    /// One conjunction for two that differ in what they accept of one attribute.
    fn merged(&self, other: &Self) -> Option<Self> {
        if self.residuals != other.residuals || self.predicates.len() != other.predicates.len() {
            return None;
        }
        let mut different = None;
        for (at, (a, b)) in self.predicates.iter().zip(&other.predicates).enumerate() {
            if a == b {
                continue;
            }
            let is_mergeable = a.attribute == b.attribute && !a.is_negated && !b.is_negated;
            if !is_mergeable || different.replace(at).is_some() {
                return None;
            }
        }
        let mut merged = self.clone();
        if let Some(at) = different {
            let predicate = merged.predicates.get_mut(at)?;
            predicate.accepts = predicate.accepts.union(&other.predicates.get(at)?.accepts);
            if predicate.is_always() {
                merged.predicates.remove(at);
            }
        }
        Some(merged)
    }

    /// Tells predicates on one list apart. False if some had to be given up.
    fn number_layers(&mut self) -> bool {
        self.predicates.sort_by(|a, b| {
            let key = |p: &Predicate| (p.attribute, p.accepts.ranges.first().copied());
            key(a).cmp(&key(b))
        });
        let count = self.predicates.len();
        let mut last = None;
        let mut layer = 0;
        self.predicates.retain_mut(|predicate| {
            layer = if last.replace(predicate.attribute) == Some(predicate.attribute) {
                layer + 1
            } else {
                0
            };
            predicate.layer = layer.min(LAYERS_MAX) as u8;
            layer < LAYERS_MAX
        });
        self.predicates.len() == count
    }

    /// The place of its smallest set and how many values that has, if it is small enough.
    fn smallest_set(&self) -> Option<(usize, usize)> {
        let predicates = self.predicates.iter().enumerate();
        predicates
            .filter_map(|(at, p)| Some((p.count_if_small()?, at)))
            .min()
            .map(|(count, at)| (at, count))
    }

    /// One for each value that a predicate accepts.
    fn spread_at(&self, at: usize, into: &mut Disjunction) {
        for &(low, high) in &self.predicates[at].accepts.ranges {
            into.extend((low..=high).map(|value| {
                let mut one = self.clone();
                one.predicates[at].accepts = Accepts::point(value);
                one
            }));
        }
    }

    /// Whether it is proved that no subject satisfies it.
    pub fn is_contradictory(&self, names: &Names) -> bool {
        let single: Vec<(&Predicate, &Node, View)> = self
            .predicates
            .iter()
            .filter(|predicate| !predicate.is_plural)
            .filter_map(|predicate| {
                let ask = names.ask(predicate.attribute)?;
                Some((predicate, &ask.node, ask.view))
            })
            .collect();
        single.iter().enumerate().any(|(at, (a, a_node, a_view))| {
            single[..at].iter().any(|(b, b_node, b_view)| {
                a_node == b_node && exclude_each_other(a, *a_view, b, *b_view)
            })
        })
    }
}

/// Of one value read in two ways: whether what one accepts the other cannot.
fn exclude_each_other(a: &Predicate, a_view: View, b: &Predicate, b_view: View) -> bool {
    let knows_missing = |view| matches!(view, View::One(_) | View::Presence);
    if !knows_missing(a_view) || !knows_missing(b_view) {
        return false;
    }
    let is_missing = |p: &Predicate| !p.accepts.unlike && p.accepts.ranges.is_empty();
    if (is_missing(a) && !b.accepts.missing) || (is_missing(b) && !a.accepts.missing) {
        return true;
    }
    let must_be = |p: &Predicate, view| match view {
        View::One(like) if !p.accepts.missing && !p.accepts.unlike => Some(like),
        _ => None,
    };
    match (must_be(a, a_view), must_be(b, b_view)) {
        // A text may be read as the time it writes.
        (Some(Like::Text), Some(Like::Time)) | (Some(Like::Time), Some(Like::Text)) => false,
        (Some(a), Some(b)) => a != b,
        _ => false,
    }
}
