//! The order in which things are derived: none before what it reads itself. Finds the
//! cycles that make such an order impossible, and how one goes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use attune_expr::Expression;

use super::{Definition, Name, Rule};

/// Names that lead from one to the next and back to the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle(pub Vec<Name>);

impl fmt::Display for Cycle {
    /// `a → b → a`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in &self.0 {
            write!(f, "{name} → ")?;
        }
        self.0.first().map_or(Ok(()), |first| first.fmt(f))
    }
}

impl fmt::Display for Name {
    /// As expressions write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trait(id) => write!(f, "profile.{id}"),
            Self::Segment(id) => f.write_str(id),
        }
    }
}

/// How far the search has come with one of them.
#[derive(Clone, Copy, PartialEq)]
enum Standing {
    Unseen,
    /// On the path that is being followed.
    Open,
    Placed,
}

/// The definitions, each after what it reads; and the cycles, whose definitions are
/// left out. Of equal rank the smaller name comes first, so that the order is always
/// the same.
pub fn in_order(mut definitions: Vec<Definition>) -> (Vec<Definition>, Vec<Cycle>) {
    definitions.sort_by(|a, b| a.name.cmp(&b.name));
    let numbers: BTreeMap<&Name, usize> = definitions.iter().map(|d| &d.name).zip(0..).collect();
    let reads: Vec<Vec<usize>> = definitions
        .iter()
        .map(|definition| {
            let named = named(&definition.rule);
            named
                .iter()
                .filter_map(|name| numbers.get(name).copied())
                .collect()
        })
        .collect();
    let mut standings = vec![Standing::Unseen; definitions.len()];
    let mut placed = Vec::with_capacity(definitions.len());
    let mut cycles = Vec::new();
    let mut in_cycle = vec![false; definitions.len()];
    for start in 0..definitions.len() {
        if standings[start] != Standing::Unseen {
            continue;
        }
        standings[start] = Standing::Open;
        // A stack of its own: a chain of segments may be longer than the program's.
        let mut path = vec![(start, 0)];
        while let Some((number, next)) = path.last_mut() {
            let Some(read) = reads[*number].get(*next).copied() else {
                standings[*number] = Standing::Placed;
                placed.push(*number);
                path.pop();
                continue;
            };
            *next += 1;
            match standings[read] {
                Standing::Placed => {}
                Standing::Unseen => {
                    standings[read] = Standing::Open;
                    path.push((read, 0));
                }
                Standing::Open => {
                    let from = path.iter().position(|(n, _)| *n == read).unwrap_or(0);
                    let members: Vec<usize> = path[from..].iter().map(|(n, _)| *n).collect();
                    members.iter().for_each(|n| in_cycle[*n] = true);
                    let names = members.iter().map(|n| definitions[*n].name.clone());
                    cycles.push(Cycle(names.collect()));
                }
            }
        }
    }
    let mut slots: Vec<Option<Definition>> = definitions.into_iter().map(Some).collect();
    let placed = placed
        .into_iter()
        .filter(|number| !in_cycle[*number])
        .filter_map(|number| slots[number].take());
    (placed.collect(), cycles)
}

/// The way on which something would lead back to itself if this were its expression.
/// `rule` says what the others go by.
pub fn cycle_through<'a>(
    name: &Name,
    expression: &Expression,
    rule: impl Fn(&Name) -> Option<&'a Rule>,
) -> Option<Cycle> {
    let mut path = vec![(name.clone(), read_by(expression))];
    let mut seen = BTreeSet::new();
    while let Some((_, open)) = path.last_mut() {
        let Some(next) = open.pop() else {
            path.pop();
            continue;
        };
        if next == *name {
            return Some(Cycle(path.into_iter().map(|(name, _)| name).collect()));
        }
        if !seen.insert(next.clone()) {
            continue;
        }
        if let Some(rule) = rule(&next) {
            let open = named(rule);
            path.push((next, open));
        }
    }
    None
}

/// What of that which may be derived a rule reads.
fn named(rule: &Rule) -> Vec<Name> {
    match rule {
        Rule::Expression(expression) => read_by(expression),
        Rule::List { .. } => Vec::new(),
    }
}

fn read_by(expression: &Expression) -> Vec<Name> {
    let reads = expression.reads();
    let traits = reads.traits.into_iter().map(|id| Name::Trait(id.into()));
    let segments = reads
        .segments
        .into_iter()
        .map(|id| Name::Segment(id.into()));
    traits.chain(segments).collect()
}
