//! From syntax to a tree that can be judged: every name is looked up and every kind
//! that is known is checked. Collects all faults rather than stopping at the first.

mod functions;
mod names;

use cel::{
    common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators},
    parser::Expression,
};

use crate::{
    fault::Fault,
    node::{Comparison, Literal, Node, Operator, Quantifier},
    parse::Parsed,
    vocabulary::{Kind, Vocabulary},
};

/// Operators inside operators, at most. Judging recurses as deep as this.
const DEPTH_MAX: usize = 128;

pub(crate) fn check(parsed: &Parsed, vocabulary: &Vocabulary) -> Result<Node, Vec<Fault>> {
    let mut checker = Checker {
        parsed,
        vocabulary,
        faults: Vec::new(),
        too_deep: None,
        variable: None,
        depth: 0,
    };
    let root = checker.condition(&parsed.expression);
    if let Some(fault) = checker.too_deep {
        // The operators around it are beyond judging.
        return Err(vec![fault]);
    }
    if checker.faults.is_empty() {
        Ok(root)
    } else {
        checker.faults.sort_by_key(|fault| fault.position);
        Err(checker.faults)
    }
}

type Typed = (Node, Kind);

/// Stands where a fault was told; the tree it is part of is never judged.
const NOTHING: Typed = (Node::Literal(Literal::Bool(false)), Kind::Any);

struct Checker<'a> {
    parsed: &'a Parsed,
    vocabulary: &'a Vocabulary,
    faults: Vec<Fault>,
    too_deep: Option<Fault>,
    variable: Option<&'a str>,
    depth: usize,
}

impl<'a> Checker<'a> {
    fn fault(&mut self, id: u64, message: impl Into<String>) -> Typed {
        self.suggest(id, message, None)
    }

    fn suggest(&mut self, id: u64, message: impl Into<String>, near: Option<String>) -> Typed {
        let position = self.parsed.position(id);
        self.faults
            .push(Fault::new(position, message).suggesting(near));
        NOTHING
    }

    /// A node that stands for true or false.
    fn condition(&mut self, expression: &'a Expression) -> Node {
        let (node, kind) = self.typed(expression);
        if !matches!(kind, Kind::Bool | Kind::Any) {
            let message = format!(
                "a truth value is expected here, and this is {}",
                kind.name()
            );
            self.fault(expression.id, message);
        }
        node
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
            Expr::Literal(literal) => self.literal(expression.id, literal),
            Expr::Ident(name) => self.name(expression.id, name),
            Expr::Select(select) => self.select(expression.id, select),
            Expr::Call(call) => self.call(expression.id, call),
            Expr::List(list) => {
                let nodes = list.elements.iter().map(|e| self.typed(e).0).collect();
                (Node::List(nodes), Kind::List)
            }
            Expr::Comprehension(comprehension) => self.quantify(expression.id, comprehension),
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => self.fault(
                expression.id,
                "maps and messages cannot be written out here",
            ),
        };
        self.depth -= 1;
        typed
    }

    fn literal(&mut self, id: u64, literal: &LiteralValue) -> Typed {
        match literal {
            LiteralValue::Boolean(b) => (Node::Literal(Literal::Bool(*b.inner())), Kind::Bool),
            LiteralValue::Int(n) => (Node::Literal(Literal::Int(*n.inner())), Kind::Number),
            LiteralValue::UInt(n) => {
                let literal = i64::try_from(*n.inner())
                    .map_or(Literal::Number(*n.inner() as f64), Literal::Int);
                (Node::Literal(literal), Kind::Number)
            }
            LiteralValue::Double(n) => (Node::Literal(Literal::Number(*n.inner())), Kind::Number),
            LiteralValue::String(s) => (Node::Literal(Literal::Text(s.inner().into())), Kind::Text),
            LiteralValue::Null => self.fault(
                id,
                "nothing is ever equal to null: ask whether a value is there with `has(…)`",
            ),
            LiteralValue::Bytes(_) => self.fault(id, "bytes are not supported"),
        }
    }

    fn call(&mut self, id: u64, call: &'a CallExpr) -> Typed {
        use operators as op;
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
                if let Some(comparison) = comparison(name) {
                    self.compare(id, comparison, left, right)
                } else if let Some(operator) = arithmetic(name) {
                    self.arithmetic(id, operator, left, right)
                } else {
                    self.function(id, call)
                }
            }
            _ => self.function(id, call),
        }
    }

    /// The operands of a chain of the same operator, which the parser keeps in pairs.
    fn conditions(&mut self, operator: &str, arguments: &'a [IdedExpr]) -> Vec<Node> {
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

    fn conditional(
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

    fn negate(&mut self, id: u64, of: &'a IdedExpr) -> Typed {
        let (node, kind) = self.typed(of);
        if !matches!(kind, Kind::Any | Kind::Number | Kind::Duration) {
            return self.fault(
                id,
                format!("`-` needs a number, and this is {}", kind.name()),
            );
        }
        (Node::Negate(Box::new(node)), kind)
    }

    fn index(&mut self, id: u64, of: &'a IdedExpr, index: &'a IdedExpr) -> Typed {
        // `profile["loyalty-tier"]` names what has a name that no identifier can be.
        if let Expr::Literal(LiteralValue::String(name)) = &index.expr
            && (self.root_name(of).is_some() || self.context_group(of).is_some())
        {
            return self.member(id, of, name.inner());
        }
        let (of, kind) = self.typed(of);
        let (index, index_kind) = self.typed(index);
        let fits = match kind {
            Kind::List => matches!(index_kind, Kind::Any | Kind::Number),
            Kind::Map => matches!(index_kind, Kind::Any | Kind::Text),
            Kind::Any => true,
            _ => false,
        };
        if !fits {
            let message = format!("{} has no element by {}", kind.name(), index_kind.name());
            return self.fault(id, message);
        }
        (Node::Index(Box::new(of), Box::new(index)), Kind::Any)
    }

    fn membership(&mut self, id: u64, needle: &'a IdedExpr, list: &'a IdedExpr) -> Typed {
        let (needle, _) = self.typed(needle);
        let (list, kind) = self.typed(list);
        if !matches!(kind, Kind::Any | Kind::List | Kind::Map) {
            let message = format!(
                "`in` needs a list on its right, and this is {}",
                kind.name()
            );
            return self.fault(id, message);
        }
        (Node::In(Box::new(needle), Box::new(list)), Kind::Bool)
    }

    fn compare(
        &mut self,
        id: u64,
        comparison: Comparison,
        left: &'a IdedExpr,
        right: &'a IdedExpr,
    ) -> Typed {
        let (left, left_kind) = self.typed(left);
        let (right, right_kind) = self.typed(right);
        if !left_kind.compares_with(right_kind) {
            let message = format!(
                "{} cannot be compared with {}",
                left_kind.name(),
                right_kind.name()
            );
            return self.fault(id, message);
        }
        let ordered = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        if ordered
            && [left_kind, right_kind]
                .iter()
                .any(|k| matches!(k, Kind::List | Kind::Map))
        {
            return self.fault(id, "lists and maps have no order");
        }
        (
            Node::Compare(comparison, Box::new(left), Box::new(right)),
            Kind::Bool,
        )
    }

    fn arithmetic(
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

    fn quantify(&mut self, id: u64, comprehension: &'a ComprehensionExpr) -> Typed {
        let Some((quantifier, test)) = quantifier(comprehension) else {
            return self.fault(id, "of the list macros, `exists` and `all` are supported");
        };
        if self.variable.is_some() {
            return self.fault(id, "`exists` and `all` cannot be nested");
        }
        let (list, kind) = self.typed(&comprehension.iter_range);
        if !matches!(kind, Kind::Any | Kind::List | Kind::Map) {
            let message = format!("a list is expected here, and this is {}", kind.name());
            return self.fault(id, message);
        }
        self.variable = Some(&comprehension.iter_var);
        let test = self.condition(test);
        self.variable = None;
        (
            Node::Quantify(quantifier, Box::new(list), Box::new(test)),
            Kind::Bool,
        )
    }
}

fn comparison(name: &str) -> Option<Comparison> {
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

fn arithmetic(name: &str) -> Option<Operator> {
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
    use Kind::{Any, Duration, Number, Text, Time};
    Some(match (operator, left, right) {
        (_, Number, Number) => Number,
        (Operator::Add, Text, Text) => Text,
        (Operator::Add, Time, Duration) | (Operator::Add, Duration, Time) => Time,
        (Operator::Subtract, Time, Duration) => Time,
        (Operator::Subtract, Time, Time) => Duration,
        (Operator::Add | Operator::Subtract, Duration, Duration) => Duration,
        (_, Any, _) | (_, _, Any) => Any,
        _ => return None,
    })
}

/// Recognises what the parser makes of `exists` and `all`.
fn quantifier(comprehension: &ComprehensionExpr) -> Option<(Quantifier, &IdedExpr)> {
    let Expr::Literal(LiteralValue::Boolean(initial)) = &comprehension.accu_init.expr else {
        return None;
    };
    let Expr::Call(step) = &comprehension.loop_step.expr else {
        return None;
    };
    match (
        step.func_name.as_str(),
        *initial.inner(),
        step.args.as_slice(),
    ) {
        (operators::LOGICAL_OR, false, [_, test]) => Some((Quantifier::Exists, test)),
        (operators::LOGICAL_AND, true, [_, test]) => Some((Quantifier::All, test)),
        _ => None,
    }
}
