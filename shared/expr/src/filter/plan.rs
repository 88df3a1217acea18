//! From a checked expression and a subject to steps over columns: what the subject
//! decides is folded away, what a column can answer is told from what must be judged,
//! and each step has a price, by which a conjunction is put in order.

use roaring::RoaringBitmap;

use super::{
    ColumnName, Columns,
    column::Column,
    test::{JUDGING, Test},
};
use crate::{
    eval,
    functions::Function,
    node::{Comparison, Load, Node, Quantifier},
    scope::Scope,
    value::Value,
    vocabulary::ItemField,
};

/// An expression ready to be answered, the subject's part worked out.
pub(super) enum Step<'a> {
    Constant(bool),
    /// The cheapest first.
    All(Vec<Step<'a>>),
    Any(Vec<Step<'a>>),
    /// At least so many of these.
    AtLeast(u32, Vec<Step<'a>>),
    Not(Box<Step<'a>>),
    /// The second where the first holds, else the third.
    Choose(Box<[Step<'a>; 3]>),
    Atom(Atom<'a>),
}

pub(super) struct Atom<'a> {
    pub node: &'a Node,
    pub answer: Answer<'a>,
    /// What answering it costs at most. Judging instead is always possible.
    pub work: u64,
    /// Items that may be found at most.
    pub reach: u64,
}

pub(super) enum Answer<'a> {
    /// By judging each item.
    Judged,
    /// They were looked up by their ids.
    Known(RoaringBitmap),
    Tested(ColumnName<'a>, &'a Column, Test<'a>),
}

impl Step<'_> {
    /// What carrying it out among so many items costs at most.
    pub fn work(&self, among: u64) -> u64 {
        match self {
            Self::Constant(_) => 0,
            Self::All(steps) => {
                let mut left = among;
                let mut work = 0;
                for step in steps {
                    work += step.work(left);
                    left = left.min(step.reach(left));
                }
                work
            }
            Self::Any(steps) => steps.iter().map(|step| step.work(among)).sum(),
            Self::AtLeast(least, steps) => {
                // Each step meets as many sets as are counted.
                let meeting = u64::from(*least) * (1 + among / 64);
                steps.iter().map(|step| meeting + step.work(among)).sum()
            }
            Self::Not(step) => step.work(among),
            Self::Choose(steps) => steps.iter().map(|step| step.work(among)).sum(),
            Self::Atom(atom) => atom.work.min(among.saturating_mul(JUDGING)),
        }
    }

    /// Of so many items, those that it can hold for at most.
    fn reach(&self, among: u64) -> u64 {
        match self {
            Self::Constant(false) => 0,
            Self::Constant(true) | Self::AtLeast(..) | Self::Not(_) | Self::Choose(_) => among,
            Self::All(steps) => steps.iter().map(|s| s.reach(among)).min().unwrap_or(among),
            Self::Any(steps) => among.min(steps.iter().map(|s| s.reach(among)).sum()),
            Self::Atom(atom) => among.min(atom.reach),
        }
    }
}

pub(super) struct Planner<'a, C> {
    pub columns: &'a C,
    pub subject: &'a dyn Scope,
}

impl<'a, C: Columns> Planner<'a, C> {
    pub fn plan(&self, node: &'a Node) -> Step<'a> {
        if !reads_item(node) {
            return Step::Constant(eval::holds(node, self.subject));
        }
        match node {
            Node::And(nodes) => self.all(nodes),
            Node::Or(nodes) => self.any(nodes),
            Node::AtLeast(least, nodes) => {
                Step::AtLeast(*least, nodes.iter().map(|node| self.plan(node)).collect())
            }
            Node::Not(of) => match self.plan(of) {
                Step::Constant(holds) => Step::Constant(!holds),
                step => Step::Not(Box::new(step)),
            },
            Node::Conditional(parts) => {
                let [condition, then, otherwise] = &**parts;
                match self.plan(condition) {
                    Step::Constant(true) => self.plan(then),
                    Step::Constant(false) => self.plan(otherwise),
                    step => Step::Choose(Box::new([step, self.plan(then), self.plan(otherwise)])),
                }
            }
            _ => self.atom(node),
        }
    }

    fn all(&self, nodes: &'a [Node]) -> Step<'a> {
        let mut steps = Vec::with_capacity(nodes.len());
        for node in nodes {
            match self.plan(node) {
                Step::Constant(true) => {}
                Step::Constant(false) => return Step::Constant(false),
                step => steps.push(step),
            }
        }
        let among = self.columns.universe().len();
        steps.sort_by_key(|step| (step.work(among), step.reach(among)));
        if steps.is_empty() {
            Step::Constant(true)
        } else {
            Step::All(steps)
        }
    }

    fn any(&self, nodes: &'a [Node]) -> Step<'a> {
        let mut steps = Vec::with_capacity(nodes.len());
        for node in nodes {
            match self.plan(node) {
                Step::Constant(false) => {}
                Step::Constant(true) => return Step::Constant(true),
                step => steps.push(step),
            }
        }
        let among = self.columns.universe().len();
        steps.sort_by_key(|step| step.work(among));
        if steps.is_empty() {
            Step::Constant(false)
        } else {
            Step::Any(steps)
        }
    }

    fn atom(&self, node: &'a Node) -> Step<'a> {
        if let Some(known) = self.ids(node) {
            return Step::Atom(Atom {
                node,
                work: known.len(),
                reach: known.len(),
                answer: Answer::Known(known),
            });
        }
        let tested = self.only_column(node).and_then(|name| {
            let column = self.columns.column(name)?;
            Some((name, column, self.test(node)?))
        });
        match tested {
            // As everywhere, nothing compares with what is missing.
            Some((_, _, Test::Compare(_, Value::Missing))) => Step::Constant(false),
            Some((name, column, test)) => Step::Atom(Atom {
                node,
                work: test.work(column),
                reach: test.reach(column),
                answer: Answer::Tested(name, column, test),
            }),
            None => Step::Atom(Atom {
                node,
                answer: Answer::Judged,
                work: u64::MAX,
                reach: u64::MAX,
            }),
        }
    }

    /// The one name of the item that a node reads.
    fn only_column(&self, node: &'a Node) -> Option<ColumnName<'a>> {
        let mut found = None;
        let mut is_only = true;
        columns_of(node, &mut |name| {
            is_only &= *found.get_or_insert(name) == name;
        });
        found.filter(|_| is_only)
    }

    /// Recognises what a column answers better than value by value.
    fn test(&self, node: &'a Node) -> Option<Test<'a>> {
        Some(match node {
            Node::Load(_) => Test::True,
            Node::Has(of) if is_load(of) => Test::Present,
            Node::Compare(comparison, left, right) if is_load(left) && !reads_item(right) => {
                Test::Compare(*comparison, self.value(right))
            }
            Node::Compare(comparison, left, right) if is_load(right) && !reads_item(left) => {
                Test::Compare(flipped(*comparison), self.value(left))
            }
            Node::In(needle, list) if is_load(needle) && !reads_item(list) => {
                Test::OneOf(self.elements(list))
            }
            Node::In(needle, list) if is_load(list) && !reads_item(needle) => {
                Test::Element(vec![self.value(needle)])
            }
            Node::Quantify(Quantifier::Exists, list, test) if !reads_item(list) => match &**test {
                Node::In(needle, of) if is_variable(needle) && is_load(of) => {
                    Test::Element(self.elements(list))
                }
                Node::Compare(Comparison::Equal, a, b)
                    if is_variable(a) && is_load(b) || is_load(a) && is_variable(b) =>
                {
                    Test::OneOf(self.elements(list))
                }
                _ => Test::Scan,
            },
            // That exactly one passes cannot be told from the elements one by one.
            Node::Quantify(quantifier, list, test)
                if is_load(list) && !reads_item(test) && *quantifier != Quantifier::ExistsOne =>
            {
                Test::Quantify(*quantifier)
            }
            Node::Call(function, arguments) => match (function, arguments.as_slice()) {
                (Function::Contains, [of, part]) if is_load(of) && !reads_item(part) => {
                    Test::Contains(self.value(part))
                }
                (Function::StartsWith, [of, part]) if is_load(of) && !reads_item(part) => {
                    Test::Prefix(self.value(part))
                }
                _ => Test::Scan,
            },
            _ => Test::Scan,
        })
    }

    /// Items whose id is one that is written out, or that the subject names.
    fn ids(&self, node: &'a Node) -> Option<RoaringBitmap> {
        let ids = match node {
            Node::Compare(Comparison::Equal, left, right) if is_id(left) && !reads_item(right) => {
                vec![self.value(right)]
            }
            Node::Compare(Comparison::Equal, left, right) if is_id(right) && !reads_item(left) => {
                vec![self.value(left)]
            }
            Node::In(needle, list) if is_id(needle) && !reads_item(list) => self.elements(list),
            _ => return None,
        };
        let mut found = RoaringBitmap::new();
        for id in ids {
            // A time may equal an id that looks like one: left to judging.
            let index = self.columns.index_of(id.as_text()?);
            found.extend(index.filter(|index| self.columns.universe().contains(*index)));
        }
        Some(found)
    }

    /// Those that anything could be equal to; what is no list has none.
    fn elements(&self, list: &'a Node) -> Vec<Value<'a>> {
        let mut elements = match list {
            Node::List(nodes) => nodes.iter().map(|node| self.value(node)).collect(),
            _ => self.value(list).elements().unwrap_or_default(),
        };
        elements.retain(|element| !element.is_missing());
        elements
    }

    fn value(&self, node: &'a Node) -> Value<'a> {
        eval::value(node, self.subject)
    }
}

fn is_load(node: &Node) -> bool {
    matches!(node, Node::Load(load) if ColumnName::of(load).is_some())
}

/// The variable of a macro that no other is around.
fn is_variable(node: &Node) -> bool {
    matches!(node, Node::Load(Load::Variable(0)))
}

fn is_id(node: &Node) -> bool {
    let Node::Load(load) = node else {
        return false;
    };
    ColumnName::of(load) == Some(ColumnName::Field(ItemField::Id))
}

/// The comparison that says the same with its sides exchanged.
fn flipped(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        same @ (Comparison::Equal | Comparison::NotEqual) => same,
    }
}

fn reads_item(node: &Node) -> bool {
    let mut reads = false;
    columns_of(node, &mut |_| reads = true);
    reads
}

/// Tells every part of a node that depends on the subject alone and is no literal, the
/// largest such parts only.
pub(super) fn subject_parts<'a>(node: &'a Node, tell: &mut dyn FnMut(&'a Node)) {
    let mut is_closed = true;
    each_load(node, &mut |load| {
        is_closed &= ColumnName::of(load).is_none() && !matches!(load, Load::Variable(_));
    });
    match node {
        Node::Literal(_) | Node::Load(Load::Variable(_)) => {}
        _ if is_closed => tell(node),
        _ => node.each_child(&mut |child| subject_parts(child, tell)),
    }
}

/// Tells every name of an item that a node reads, as often as it does.
pub(super) fn columns_of<'a>(node: &'a Node, tell: &mut dyn FnMut(ColumnName<'a>)) {
    each_load(node, &mut |load| {
        if let Some(name) = ColumnName::of(load) {
            tell(name);
        }
    });
}

fn each_load<'a>(node: &'a Node, tell: &mut dyn FnMut(&'a Load)) {
    match node {
        Node::Load(load) => tell(load),
        // Its filters see events and the subject, never an item or a variable outside.
        Node::Aggregate(_) => {}
        _ => node.each_child(&mut |child| each_load(child, tell)),
    }
}
