//! A checked expression as a tree that can be judged. Holds no names that are unknown
//! and nothing that can fail. Two trees are equal if they mean the same by structure:
//! what a macro's variable was called makes no difference.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use regex::Regex;
use semver::Version;

use crate::{
    functions::Function,
    history::{Aggregate, EventField},
    value::TypeName,
    vocabulary::{ContextField, ItemField},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Literal(Literal),
    Load(Load),
    Member(Box<Node>, Box<str>),
    Index(Box<Node>, Box<Node>),
    Has(Box<Node>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Conditional(Box<[Node; 3]>),
    Compare(Comparison, Box<Node>, Box<Node>),
    In(Box<Node>, Box<Node>),
    Arithmetic(Operator, Box<Node>, Box<Node>),
    Negate(Box<Node>),
    Matches(Box<Node>, Pattern),
    Call(Function, Vec<Node>),
    /// At least so many of these hold.
    AtLeast(u32, Vec<Node>),
    /// Of a list: whether its elements pass a test, in which the variable of this
    /// level stands for each.
    Quantify(Quantifier, Box<Node>, Box<Node>),
    /// The elements of a list that pass a test.
    Filter(Box<Node>, Box<Node>),
    /// What becomes of each element of a list, of those that pass the test if there is one.
    Transform(Box<Node>, Option<Box<Node>>, Box<Node>),
    /// What the person's history comes to.
    Aggregate(Arc<Aggregate>),
}

#[derive(Debug, Clone)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Number(f64),
    Text(Box<str>),
    Bytes(Box<[u8]>),
    /// Milliseconds since the Unix epoch.
    Time(i64),
    /// Milliseconds.
    Duration(i64),
    Version(Arc<Version>),
    Type(TypeName),
}

impl PartialEq for Literal {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b))
            | (Self::Time(a), Self::Time(b))
            | (Self::Duration(a), Self::Duration(b)) => a == b,
            (Self::Uint(a), Self::Uint(b)) => a == b,
            // By bits, so that equality is one and agrees with the hash.
            (Self::Number(a), Self::Number(b)) => a.to_bits() == b.to_bits(),
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Version(a), Self::Version(b)) => a == b,
            (Self::Type(a), Self::Type(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Literal {}

impl Hash for Literal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Null => {}
            Self::Bool(b) => b.hash(state),
            Self::Int(n) | Self::Time(n) | Self::Duration(n) => n.hash(state),
            Self::Uint(n) => n.hash(state),
            Self::Number(n) => n.to_bits().hash(state),
            Self::Text(text) => text.hash(state),
            Self::Bytes(bytes) => bytes.hash(state),
            Self::Version(version) => version.hash(state),
            Self::Type(name) => name.hash(state),
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Load {
    Profile(Box<str>),
    Segments,
    Context(ContextField),
    Item(ItemField),
    Characteristic(Box<str>),
    /// The time of the request.
    Now,
    /// A name that whoever judges gives a value; see `Vocabulary::with_variables`.
    Bound(Box<str>),
    /// The variable of an enclosing macro; the outermost has level 0.
    Variable(u8),
    /// A field of the event that an enclosing `where` looks at.
    Event(u8, EventField),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Quantifier {
    Exists,
    All,
    ExistsOne,
}

/// A regular expression, known by its source.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(pub Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}

impl Node {
    /// Shows each node directly below this one.
    pub fn each_child<'a>(&'a self, visit: &mut dyn FnMut(&'a Node)) {
        match self {
            Node::Literal(_) | Node::Load(_) => {}
            Node::Member(of, _) | Node::Has(of) | Node::Not(of) | Node::Negate(of) => visit(of),
            Node::Matches(of, _) => visit(of),
            Node::Index(a, b)
            | Node::Compare(_, a, b)
            | Node::In(a, b)
            | Node::Arithmetic(_, a, b)
            | Node::Quantify(_, a, b)
            | Node::Filter(a, b) => {
                visit(a);
                visit(b);
            }
            Node::List(nodes)
            | Node::And(nodes)
            | Node::Or(nodes)
            | Node::Call(_, nodes)
            | Node::AtLeast(_, nodes) => nodes.iter().for_each(visit),
            Node::Map(entries) => {
                for (key, value) in entries {
                    visit(key);
                    visit(value);
                }
            }
            Node::Conditional(parts) => parts.iter().for_each(visit),
            Node::Transform(list, test, result) => {
                visit(list);
                if let Some(test) = test {
                    visit(test);
                }
                visit(result);
            }
            Node::Aggregate(aggregate) => aggregate.each_filter(visit),
        }
    }

    /// Shows this node and every one below it.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Node)) {
        visit(self);
        self.each_child(&mut |child| child.walk(visit));
    }

    /// Whether time alone can change what this comes to.
    pub fn reads_time(&self) -> bool {
        let mut reads = false;
        self.walk(&mut |node| {
            reads |= matches!(
                node,
                Node::Load(Load::Now | Load::Context(ContextField::Time))
                    | Node::Call(Function::Anniversary, _)
            ) || matches!(node, Node::Aggregate(aggregate) if aggregate.reads_time());
        });
        reads
    }
}
