//! From syntax to a tree that can be judged: every name is looked up and every kind
//! that is known is checked. Collects all faults rather than stopping at the first.

mod functions;
mod history;
mod macros;
mod names;
mod operators;

use cel::{
    common::ast::{
        CallExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, ListExpr, LiteralValue, operators as op,
    },
    parser::Expression,
};

use crate::{
    fault::Fault,
    motion::{Motion, motion},
    node::{Literal, Node},
    parse::Parsed,
    vocabulary::{EventProperties, Kind, Vocabulary},
};

/// Operators inside operators, at most. Judging recurses as deep as this.
const DEPTH_MAX: usize = 128;

/// Elements of a list, or entries of a map, that is written out.
const ELEMENTS_MAX: usize = 1000;

/// An expression that may be judged.
pub(crate) struct Checked {
    pub root: Node,
    pub kind: Kind,
    /// Where it uses the clock so that it cannot be told when its value changes.
    pub untold: Option<Fault>,
}

/// The tree and its kind, if that is what is expected; `Any` expects nothing.
pub(crate) fn check(
    parsed: &Parsed,
    vocabulary: &Vocabulary,
    expected: Kind,
) -> Result<Checked, Vec<Fault>> {
    let mut checker = Checker::new(parsed, vocabulary);
    let (root, kind) = checker.expected(&parsed.expression, expected);
    if let Some(fault) = checker.too_deep {
        // The operators around it are beyond judging.
        return Err(vec![fault]);
    }
    if !checker.faults.is_empty() {
        checker.faults.sort_by_key(|fault| fault.position);
        return Err(checker.faults);
    }
    let untold = match motion(&root) {
        Motion::Told => None,
        // A condition that is a time never holds.
        Motion::Moving if kind == Kind::Bool => None,
        _ => Some(untold(parsed, vocabulary)),
    };
    Ok(Checked { root, kind, untold })
}

/// The innermost part whose changes cannot be told. Found by checking again, since trees
/// know no places and few expressions have such a part.
fn untold(parsed: &Parsed, vocabulary: &Vocabulary) -> Fault {
    let mut checker = Checker::new(parsed, vocabulary);
    checker.untold = Some(None);
    checker.typed(&parsed.expression);
    let id = checker.untold.flatten().unwrap_or(parsed.expression.id);
    Fault::new(
        parsed.position(id),
        "this changes with the clock at times that cannot be told ahead: compare times and \
         durations themselves, as in `now - profile.since > duration(\"30d\")`",
    )
}

type Typed = (Node, Kind);

/// Stands where a fault was told; the tree it is part of is never judged.
const NOTHING: Typed = (Node::Literal(Literal::Bool(false)), Kind::Any);

/// A name that a macro binds.
struct Variable<'a> {
    name: &'a str,
    stands_for: StandsFor<'a>,
}

#[derive(Clone, Copy)]
enum StandsFor<'a> {
    /// An element of a list or a key of a map.
    Element,
    /// An event, with its properties where they are declared.
    Event(Option<&'a EventProperties>),
}

struct Checker<'a> {
    parsed: &'a Parsed,
    vocabulary: &'a Vocabulary,
    faults: Vec<Fault>,
    too_deep: Option<Fault>,
    /// The outermost first.
    variables: Vec<Variable<'a>>,
    depth: usize,
    /// While it is looked for, the first part that was found untold.
    untold: Option<Option<u64>>,
}

impl<'a> Checker<'a> {
    fn new(parsed: &'a Parsed, vocabulary: &'a Vocabulary) -> Self {
        Self {
            parsed,
            vocabulary,
            faults: Vec::new(),
            too_deep: None,
            variables: Vec::new(),
            depth: 0,
            untold: None,
        }
    }

    fn fault(&mut self, id: u64, message: impl Into<String>) -> Typed {
        self.suggest(id, message, None)
    }

    fn suggest(&mut self, id: u64, message: impl Into<String>, near: Option<String>) -> Typed {
        let position = self.parsed.position(id);
        self.faults
            .push(Fault::new(position, message).suggesting(near));
        NOTHING
    }

    fn expected(&mut self, expression: &'a Expression, expected: Kind) -> Typed {
        let (node, kind) = self.typed(expression);
        if kind != expected && kind != Kind::Any && expected != Kind::Any {
            let message = format!(
                "{} is expected here, and this is {}",
                expected.name(),
                kind.name()
            );
            self.fault(expression.id, message);
        }
        (node, kind)
    }

    /// A node that stands for true or false.
    fn condition(&mut self, expression: &'a Expression) -> Node {
        self.expected(expression, Kind::Bool).0
    }

    fn typed(&mut self, expression: &'a IdedExpr) -> Typed {
        if self.depth >= DEPTH_MAX {
            let message = format!("operators are nested deeper than {DEPTH_MAX}");
            let position = self.parsed.position(expression.id);
            self.too_deep.get_or_insert(Fault::new(position, message));
            return NOTHING;
        }
        self.depth += 1;
        let typed = match &expression.expr {
            Expr::Literal(literal) => literal_node(literal),
            Expr::Ident(name) => self.name(expression.id, name),
            Expr::Select(select) => self.select(expression.id, select),
            Expr::Call(call) => self.call(expression.id, call),
            Expr::List(list) => self.list(expression.id, list),
            Expr::Map(map) => self.map(expression.id, &map.entries),
            Expr::Struct(_) | Expr::Comprehension(_) | Expr::Unspecified => {
                self.fault(expression.id, "messages cannot be written out here")
            }
        };
        self.depth -= 1;
        if let Some(None) = self.untold
            && motion(&typed.0) == Motion::Untold
        {
            self.untold = Some(Some(expression.id));
        }
        typed
    }

    fn list(&mut self, id: u64, list: &'a ListExpr) -> Typed {
        if list.elements.len() > ELEMENTS_MAX {
            return self.fault(id, format!("a list has more than {ELEMENTS_MAX} elements"));
        }
        let nodes = list.elements.iter().map(|e| self.typed(e).0).collect();
        (Node::List(nodes), Kind::List)
    }

    fn map(&mut self, id: u64, entries: &'a [IdedEntryExpr]) -> Typed {
        if entries.len() > ELEMENTS_MAX {
            return self.fault(id, format!("a map has more than {ELEMENTS_MAX} entries"));
        }
        let mut nodes = Vec::with_capacity(entries.len());
        for entry in entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else {
                continue;
            };
            let (key, kind) = self.typed(&entry.key);
            if !matches!(
                kind,
                Kind::Any | Kind::Bool | Kind::Number | Kind::Text | Kind::Date
            ) {
                let message = format!("{} is no key of a map", kind.name());
                self.fault(entry.key.id, message);
            }
            let (value, _) = self.typed(&entry.value);
            nodes.push((key, value));
        }
        (Node::Map(nodes), Kind::Map)
    }

    fn call(&mut self, id: u64, call: &'a CallExpr) -> Typed {
        let arguments = call.args.as_slice();
        match (call.func_name.as_str(), arguments) {
            (op::LOGICAL_AND, _) => {
                let nodes = self.conditions(op::LOGICAL_AND, arguments);
                (Node::And(nodes), Kind::Bool)
            }
            (op::LOGICAL_OR, _) => {
                let nodes = self.conditions(op::LOGICAL_OR, arguments);
                (Node::Or(nodes), Kind::Bool)
            }
            (op::LOGICAL_NOT, [of]) => (Node::Not(Box::new(self.condition(of))), Kind::Bool),
            (op::CONDITIONAL, [condition, then, otherwise]) => {
                self.conditional(condition, then, otherwise)
            }
            (op::NEGATE, [of]) => self.negate(id, of),
            (op::INDEX, [of, index]) => self.index(id, of, index),
            (op::IN, [needle, list]) => self.membership(id, needle, list),
            (name, [left, right]) if call.target.is_none() => {
                if let Some(comparison) = operators::comparison(name) {
                    self.compare(id, comparison, left, right)
                } else if let Some(operator) = operators::arithmetic(name) {
                    self.arithmetic(id, operator, left, right)
                } else {
                    self.function(id, call)
                }
            }
            _ => self.function(id, call),
        }
    }
}

fn literal_node(literal: &LiteralValue) -> Typed {
    let (literal, kind) = match literal {
        LiteralValue::Boolean(b) => (Literal::Bool(*b.inner()), Kind::Bool),
        LiteralValue::Int(n) => (Literal::Int(*n.inner()), Kind::Number),
        LiteralValue::UInt(n) => (Literal::Uint(*n.inner()), Kind::Number),
        LiteralValue::Double(n) => (Literal::Number(*n.inner()), Kind::Number),
        LiteralValue::String(s) => (Literal::Text(s.inner().into()), Kind::Text),
        LiteralValue::Bytes(bytes) => (Literal::Bytes(bytes.inner().into()), Kind::Bytes),
        LiteralValue::Null => (Literal::Null, Kind::Null),
    };
    (Node::Literal(literal), kind)
}
