//! Operators: what goes together, and what comes of it.

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};

use super::{Checker, DEPTH_MAX, Typed};
use crate::{
    fault::nearest,
    node::{Comparison, Literal, Load, Node, Operator},
    vocabulary::Kind,
};

impl<'a> Checker<'a> {
    /// The operands of a chain of the same operator, which the parser keeps in pairs.
    pub(super) fn conditions(&mut self, operator: &str, arguments: &'a [IdedExpr]) -> Vec<Node> {
        let mut nodes = Vec::new();
        for argument in arguments {
            match &argument.expr {
                Expr::Call(inner) if inner.func_name == operator && self.depth < DEPTH_MAX => {
                    self.depth += 1;
                    nodes.extend(self.conditions(operator, &inner.args));
                    self.depth -= 1;
                }
                _ => nodes.push(self.condition(argument)),
            }
        }
        nodes
    }

    pub(super) fn conditional(
        &mut self,
        condition: &'a IdedExpr,
        then: &'a IdedExpr,
        otherwise: &'a IdedExpr,
    ) -> Typed {
        let condition = self.condition(condition);
        let (then, then_kind) = self.typed(then);
        let (otherwise, otherwise_kind) = self.typed(otherwise);
        let kind = if then_kind == otherwise_kind {
            then_kind
        } else {
            Kind::Any
        };
        (
            Node::Conditional(Box::new([condition, then, otherwise])),
            kind,
        )
    }

    pub(super) fn negate(&mut self, id: u64, of: &'a IdedExpr) -> Typed {
        let (node, kind) = self.typed(of);
        if !matches!(kind, Kind::Any | Kind::Number | Kind::Duration) {
            return self.fault(
                id,
                format!("`-` needs a number, and this is {}", kind.name()),
            );
        }
        // A negative number is one literal, however it is written.
        let node = match node {
            Node::Literal(Literal::Int(n)) if n != i64::MIN => Node::Literal(Literal::Int(-n)),
            Node::Literal(Literal::Number(n)) => Node::Literal(Literal::Number(-n)),
            Node::Literal(Literal::Duration(ms)) => Node::Literal(Literal::Duration(-ms)),
            node => Node::Negate(Box::new(node)),
        };
        (node, kind)
    }

    pub(super) fn index(&mut self, id: u64, of: &'a IdedExpr, index: &'a IdedExpr) -> Typed {
        // `profile["loyalty-tier"]` names what has a name that no identifier can be.
        if let Expr::Literal(LiteralValue::String(name)) = &index.expr {
            return self.member(id, of, name.inner());
        }
        let (of, kind) = self.typed(of);
        let (index, index_kind) = self.typed(index);
        let fits = match kind {
            Kind::List => matches!(index_kind, Kind::Any | Kind::Number),
            Kind::Map | Kind::Any => true,
            _ => false,
        };
        if !fits {
            let message = format!("{} has no element by {}", kind.name(), index_kind.name());
            return self.fault(id, message);
        }
        (Node::Index(Box::new(of), Box::new(index)), Kind::Any)
    }

    pub(super) fn membership(
        &mut self,
        id: u64,
        needle: &'a IdedExpr,
        list: &'a IdedExpr,
    ) -> Typed {
        let (needle_node, needle_kind) = self.typed(needle);
        let (list_node, kind) = self.typed(list);
        if !matches!(kind, Kind::Any | Kind::List | Kind::Map) {
            let message = format!(
                "`in` needs a list on its right, and this is {}",
                kind.name()
            );
            return self.fault(id, message);
        }
        if matches!(list_node, Node::Load(Load::Segments)) {
            self.known_segment(needle.id, &needle_node, needle_kind);
        }
        if let (Node::List(nodes), Expr::List(elements)) = (&list_node, &list.expr) {
            for (node, element) in nodes.iter().zip(&elements.elements) {
                self.known_value(element.id, &needle_node, node);
            }
        }
        (
            Node::In(Box::new(needle_node), Box::new(list_node)),
            Kind::Bool,
        )
    }

    /// A segment that is written out exists, where it is known which do.
    pub(super) fn known_segment(&mut self, id: u64, node: &Node, kind: Kind) {
        if !matches!(kind, Kind::Any | Kind::Text | Kind::Date) {
            self.fault(id, format!("a segment's id is a text, not {}", kind.name()));
        }
        let vocabulary = self.vocabulary;
        let (Some(known), Node::Literal(Literal::Text(segment))) = (&vocabulary.segments, node)
        else {
            return;
        };
        if !known.contains(&**segment) {
            let near = nearest(segment, known.iter().map(String::as_str));
            self.suggest(id, format!("there is no segment `{segment}`"), near);
        }
    }

    /// A text that a declared name is compared with is one it may be.
    fn known_value(&mut self, id: u64, name: &Node, literal: &Node) {
        let Node::Literal(Literal::Text(text)) = literal else {
            return;
        };
        let Some(values) = self.declared_values(name) else {
            return;
        };
        if !values.contains(&**text) {
            let near = nearest(text, values.iter().map(String::as_str));
            let known: Vec<_> = values.iter().take(10).map(String::as_str).collect();
            let message = format!("it is never `{text}`, but one of {}", known.join(", "));
            self.suggest(id, message, near);
        }
    }

    fn declared_values(&self, name: &Node) -> Option<&'a std::collections::BTreeSet<String>> {
        let vocabulary = self.vocabulary;
        let declared = match name {
            Node::Load(Load::Profile(name)) => vocabulary.traits.as_ref()?.get(&**name),
            Node::Load(Load::Characteristic(name)) => {
                vocabulary.characteristics.as_ref()?.get(&**name)
            }
            _ => None,
        };
        declared?.values.as_ref()
    }

    pub(super) fn compare(
        &mut self,
        id: u64,
        comparison: Comparison,
        left: &'a IdedExpr,
        right: &'a IdedExpr,
    ) -> Typed {
        let (left_node, left_kind) = self.typed(left);
        let (right_node, right_kind) = self.typed(right);
        if !left_kind.compares_with(right_kind) {
            let message = format!(
                "{} cannot be compared with {}",
                left_kind.name(),
                right_kind.name()
            );
            return self.fault(id, message);
        }
        let ordered = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        if let Some(kind) = [left_kind, right_kind].into_iter().find(|k| !k.has_order())
            && ordered
        {
            return self.fault(id, format!("{} has no order", kind.name()));
        }
        if !ordered {
            for (name, (literal, written)) in [
                (&left_node, (&right_node, right)),
                (&right_node, (&left_node, left)),
            ] {
                self.known_value(written.id, name, literal);
                if matches!(literal, Node::Literal(Literal::Null)) && comes_from_scope(name) {
                    self.fault(
                        written.id,
                        "nothing is ever equal to null: ask whether a value is there with `has(…)`",
                    );
                }
            }
        }
        (
            Node::Compare(comparison, Box::new(left_node), Box::new(right_node)),
            Kind::Bool,
        )
    }

    pub(super) fn arithmetic(
        &mut self,
        id: u64,
        operator: Operator,
        left: &'a IdedExpr,
        right: &'a IdedExpr,
    ) -> Typed {
        let (left, left_kind) = self.typed(left);
        let (right, right_kind) = self.typed(right);
        let Some(kind) = arithmetic_kind(operator, left_kind, right_kind) else {
            let message = format!(
                "{} and {} do not go together here",
                left_kind.name(),
                right_kind.name()
            );
            return self.fault(id, message);
        };
        (
            Node::Arithmetic(operator, Box::new(left), Box::new(right)),
            kind,
        )
    }
}

/// What a scope holds is missing rather than null.
fn comes_from_scope(node: &Node) -> bool {
    match node {
        Node::Load(load) => !matches!(load, Load::Bound(_) | Load::Variable(_)),
        Node::Member(of, _) | Node::Index(of, _) => comes_from_scope(of),
        _ => false,
    }
}

pub(super) fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        operators::EQUALS => Comparison::Equal,
        operators::NOT_EQUALS => Comparison::NotEqual,
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessOrEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

pub(super) fn arithmetic(name: &str) -> Option<Operator> {
    Some(match name {
        operators::ADD => Operator::Add,
        operators::SUBSTRACT => Operator::Subtract,
        operators::MULTIPLY => Operator::Multiply,
        operators::DIVIDE => Operator::Divide,
        operators::MODULO => Operator::Remainder,
        _ => return None,
    })
}

/// What comes of an operation, or None where the kinds do not go together.
fn arithmetic_kind(operator: Operator, left: Kind, right: Kind) -> Option<Kind> {
    use Kind::{Any, Bytes, Date, Duration, List, Number, Text, Time};
    Some(match (operator, left, right) {
        (_, Number, Number) => Number,
        (Operator::Add, Text | Date, Text | Date) => Text,
        (Operator::Add, Bytes, Bytes) => Bytes,
        (Operator::Add, List, List) => List,
        (Operator::Add, Time, Duration) | (Operator::Add, Duration, Time) => Time,
        (Operator::Subtract, Time, Duration) => Time,
        (Operator::Subtract, Time, Time) => Duration,
        (Operator::Add | Operator::Subtract, Duration, Duration) => Duration,
        (_, Any, _) | (_, _, Any) => Any,
        _ => return None,
    })
}
