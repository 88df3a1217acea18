//! Which parts of an expression are predicates on one attribute, and what each accepts.
//! Agrees with `eval` to the letter; what it cannot say exactly it does not say.

use super::{
    accepts::{self, Accepts},
    names::{AttributeId, Like, Names, Part, View},
};
use crate::{
    eval,
    functions::Function,
    node::{Comparison, Literal, Load, Node, Quantifier},
    scope::Scope,
    value::parse_time,
    vocabulary::Kind,
};

/// What a part of an expression comes to.
pub(crate) enum Atom {
    Constant(bool),
    /// Holds where one of these attributes has a value that is accepted.
    AnyOf(Vec<(AttributeId, Accepts)>),
}

/// More values than these in one list are looked through rather than indexed.
const RANGES_MAX: usize = 128;

/// A literal that predicates can be about: the kind it is read as, and its ordinal
/// where that does not depend on the attribute.
#[derive(Clone, Copy)]
enum Written<'a> {
    Text(&'a str),
    Other(Like, accepts::Ordinal),
}

impl Written<'_> {
    fn like(self) -> Like {
        match self {
            Self::Text(_) => Like::Text,
            Self::Other(like, _) => like,
        }
    }

    fn ordinal(self, attribute: AttributeId, names: &mut Names) -> accepts::Ordinal {
        match self {
            Self::Text(text) => names.text(attribute, text),
            Self::Other(_, ordinal) => ordinal,
        }
    }
}

struct Nothing;

impl Scope for Nothing {}

pub(crate) fn of(node: &Node, names: &mut Names) -> Option<Atom> {
    match node {
        Node::Compare(comparison, left, right) => match (&**left, &**right) {
            (Node::Literal(_), Node::Literal(_)) => {
                Some(Atom::Constant(eval::holds(node, &Nothing)))
            }
            (_, Node::Literal(literal)) => compared(left, *comparison, literal, names),
            (Node::Literal(literal), _) => compared(right, flipped(*comparison), literal, names),
            _ => None,
        },
        Node::In(needle, list) => match (&**needle, &**list) {
            (Node::Literal(_), Node::List(_)) => None,
            (_, Node::List(nodes)) => among(needle, nodes, names),
            (Node::Literal(literal), _) => element(list, literal, names),
            _ => None,
        },
        Node::Has(of) => {
            let attribute = names.attribute(of, View::Presence);
            Some(Atom::AnyOf(vec![(attribute, Accepts::present())]))
        }
        Node::Quantify(Quantifier::Exists, list, test) => exists(list, test, names),
        Node::Call(function, arguments) => match (function, arguments.as_slice()) {
            (Function::Contains, [of, Node::Literal(literal)]) => match literal {
                Literal::Text(text) if !is_list(of) => part(of, Part::Inside, text, names),
                _ => element(of, literal, names),
            },
            (Function::StartsWith, [of, Node::Literal(Literal::Text(text))]) => {
                part(of, Part::Start, text, names)
            }
            (Function::EndsWith, [of, Node::Literal(Literal::Text(text))]) => {
                part(of, Part::End, text, names)
            }
            _ => Some(truth(node, names)),
        },
        Node::Load(_) | Node::Member(..) | Node::Index(..) | Node::Aggregate(_) => {
            Some(truth(node, names))
        }
        _ => None,
    }
}

/// A value that is true.
fn truth(node: &Node, names: &mut Names) -> Atom {
    let attribute = names.attribute(node, View::One(Like::Bool));
    Atom::AnyOf(vec![(attribute, Accepts::point(1))])
}

fn written(literal: &Literal) -> Option<Written<'_>> {
    let number = |n: f64| Some(Written::Other(Like::Number, accepts::of_number_written(n)?));
    match literal {
        Literal::Bool(b) => Some(Written::Other(Like::Bool, u64::from(*b))),
        Literal::Int(n) => number(*n as f64),
        Literal::Uint(n) => number(*n as f64),
        Literal::Number(n) => number(*n),
        // Equals a time, too, which no symbol could say.
        Literal::Text(text) if parse_time(text).is_some() => None,
        Literal::Text(text) => Some(Written::Text(text)),
        Literal::Time(ms) => Some(Written::Other(Like::Time, accepts::of_signed(*ms))),
        Literal::Duration(ms) => Some(Written::Other(Like::Duration, accepts::of_signed(*ms))),
        Literal::Null | Literal::Bytes(_) | Literal::Version(_) | Literal::Type(_) => None,
    }
}

fn flipped(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        same => same,
    }
}

fn compared(
    of: &Node,
    comparison: Comparison,
    literal: &Literal,
    names: &mut Names,
) -> Option<Atom> {
    let written = written(literal)?;
    let is_ordered = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
    if is_ordered && written.like() == Like::Text {
        return None;
    }
    let attribute = names.attribute(of, View::One(written.like()));
    let ordinal = written.ordinal(attribute, names);
    let accepts = Accepts::compared(comparison, ordinal);
    Some(Atom::AnyOf(vec![(attribute, accepts)]))
}

/// `x in [a, b]`: one predicate for each kind that is written there.
fn among(of: &Node, nodes: &[Node], names: &mut Names) -> Option<Atom> {
    let values = nodes.iter().map(|node| match node {
        Node::Literal(literal) => written(literal),
        _ => None,
    });
    let values: Vec<Written<'_>> = values.collect::<Option<_>>()?;
    if values.len() > RANGES_MAX {
        return None;
    }
    let mut any: Vec<(AttributeId, Accepts)> = Vec::new();
    for value in values {
        let attribute = names.attribute(of, View::One(value.like()));
        let accepts = Accepts::point(value.ordinal(attribute, names));
        match any.iter_mut().find(|(known, _)| *known == attribute) {
            Some((_, known)) => *known = known.union(&accepts),
            None => any.push((attribute, accepts)),
        }
    }
    Some(Atom::AnyOf(any))
}

/// What `contains` cannot find a part of a text in.
fn is_list(node: &Node) -> bool {
    match node {
        Node::Load(Load::Segments) => true,
        Node::Load(Load::Context(field)) => field.kind() == Kind::List,
        Node::Load(Load::Item(field)) => field.kind() == Kind::List,
        _ => false,
    }
}

/// A literal that is an element of a list or a key of a map.
fn element(list: &Node, literal: &Literal, names: &mut Names) -> Option<Atom> {
    let written = elementary(literal)?;
    let attribute = names.attribute(list, View::Each(written.like()));
    let accepts = Accepts::point(written.ordinal(attribute, names));
    Some(Atom::AnyOf(vec![(attribute, accepts)]))
}

/// Times are left to `eval`: whether a text equals one depends on the kind of list.
fn elementary(literal: &Literal) -> Option<Written<'_>> {
    written(literal).filter(|written| written.like() != Like::Time)
}

fn part(of: &Node, part: Part, text: &str, names: &mut Names) -> Option<Atom> {
    if part == Part::Inside && parse_time(text).is_some() {
        return None;
    }
    let attribute = names.attribute(of, View::Parts(part));
    let accepts = Accepts::point(names.text(attribute, text));
    Some(Atom::AnyOf(vec![(attribute, accepts)]))
}

/// `list.exists(x, x == a || x == b)` and the like.
fn exists(list: &Node, test: &Node, names: &mut Names) -> Option<Atom> {
    let like = tested(test, None)?;
    let attribute = names.attribute(list, View::Each(like));
    let accepts = passing(test, attribute, names);
    Some(Atom::AnyOf(vec![(attribute, accepts)]))
}

/// The one kind a test compares the variable with, if it does nothing else.
fn tested(test: &Node, known: Option<Like>) -> Option<Like> {
    let agreeing = |literal: &Literal, is_ordered: bool| {
        let like = elementary(literal)?.like();
        let fits = known.is_none_or(|known| known == like) && !(is_ordered && like == Like::Text);
        fits.then_some(like)
    };
    match test {
        Node::Compare(comparison, left, right) => match (&**left, &**right) {
            (Node::Load(Load::Variable(_)), Node::Literal(literal))
            | (Node::Literal(literal), Node::Load(Load::Variable(_))) => {
                let is_ordered = !matches!(comparison, Comparison::Equal);
                agreeing(literal, is_ordered).filter(|_| *comparison != Comparison::NotEqual)
            }
            _ => None,
        },
        Node::In(needle, list) => match (&**needle, &**list) {
            (Node::Load(Load::Variable(_)), Node::List(nodes)) if !nodes.is_empty() => {
                nodes.iter().try_fold(known, |known, node| match node {
                    Node::Literal(literal) => {
                        let like = elementary(literal)?.like();
                        known
                            .is_none_or(|known| known == like)
                            .then_some(Some(like))
                    }
                    _ => None,
                })?
            }
            _ => None,
        },
        Node::Or(nodes) if !nodes.is_empty() => nodes
            .iter()
            .try_fold(known, |known, node| tested(node, known).map(Some))?,
        _ => None,
    }
}

/// What passes a test that [`tested`] knows.
fn passing(test: &Node, attribute: AttributeId, names: &mut Names) -> Accepts {
    let mut compare = |comparison, literal: &Literal| match elementary(literal) {
        Some(written) => Accepts::compared(comparison, written.ordinal(attribute, names)),
        None => Accepts::nothing(),
    };
    match test {
        Node::Compare(comparison, left, right) => match (&**left, &**right) {
            (_, Node::Literal(literal)) => compare(*comparison, literal),
            (Node::Literal(literal), _) => compare(flipped(*comparison), literal),
            _ => Accepts::nothing(),
        },
        Node::In(_, list) => match &**list {
            Node::List(nodes) => nodes
                .iter()
                .fold(Accepts::nothing(), |all, node| match node {
                    Node::Literal(literal) => all.union(&compare(Comparison::Equal, literal)),
                    _ => all,
                }),
            _ => Accepts::nothing(),
        },
        Node::Or(nodes) => nodes.iter().fold(Accepts::nothing(), |all, node| {
            all.union(&passing(node, attribute, names))
        }),
        _ => Accepts::nothing(),
    }
}
