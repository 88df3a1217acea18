//! A checked expression as a tree that can be judged. Holds no names that are unknown
//! and nothing that can fail.

use regex::Regex;

use crate::vocabulary::{ContextField, ItemField};

#[derive(Debug)]
pub(crate) enum Node {
    Literal(Literal),
    Load(Load),
    Member(Box<Node>, Box<str>),
    Index(Box<Node>, Box<Node>),
    Has(Box<Node>),
    List(Vec<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Conditional(Box<[Node; 3]>),
    Compare(Comparison, Box<Node>, Box<Node>),
    In(Box<Node>, Box<Node>),
    Arithmetic(Operator, Box<Node>, Box<Node>),
    Negate(Box<Node>),
    Matches(Box<Node>, Regex),
    Call(Function, Vec<Node>),
    Quantify(Quantifier, Box<Node>, Box<Node>),
}

#[derive(Debug)]
pub(crate) enum Literal {
    Bool(bool),
    Int(i64),
    Number(f64),
    Text(Box<str>),
    Time(i64),
    Duration(i64),
}

/// Where a value comes from.
#[derive(Debug)]
pub(crate) enum Load {
    Profile(Box<str>),
    Segments,
    Context(ContextField),
    Item(ItemField),
    Characteristic(Box<str>),
    /// The variable of the enclosing quantifier; there is one at most.
    Variable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantifier {
    Exists,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    LowerAscii,
    Consent,
    Bucket,
    Timestamp,
    Duration,
    Hours,
    DayOfWeek,
}
