//! From syntax to a tree that can be judged: every name is looked up and every kind
//! that is known is checked. Collects all faults rather than stopping at the first.

use cel::{
    common::ast::{
        CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators,
    },
    parser::Expression,
};
use regex::RegexBuilder;

use crate::{
    fault::{Fault, nearest},
    functions::{SIGNATURES, Signature, Style, parse_duration},
    node::{Comparison, Function, Literal, Load, Node, Operator, Quantifier},
    parse::Parsed,
    value::parse_time,
    vocabulary::{ContextField, ItemField, Kind, Vocabulary},
};

/// Operators inside operators, at most. Judging recurses as deep as this.
const DEPTH_MAX: usize = 128;

/// Bytes a compiled regular expression may take.
const REGEX_BYTES_MAX: usize = 256 << 10;

/// Parts of the context that are no values of their own.
const CONTEXT_GROUPS: [&str; 3] = ["location", "device", "page"];

pub(crate) fn check(parsed: &Parsed, vocabulary: &Vocabulary) -> Result<Node, Vec<Fault>> {
    let mut checker = Checker {
        parsed,
        vocabulary,
        faults: Vec::new(),
        variable: None,
        depth: 0,
    };
    let root = checker.condition(&parsed.expression);
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
            // One fault tells it; the operators around it would repeat it.
            self.faults.clear();
            let message = format!("operators are nested deeper than {DEPTH_MAX}");
            return self.fault(expression.id, message);
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

    fn roots(&self) -> impl Iterator<Item = &'static str> {
        let subject = ["profile", "segments", "context"];
        let subject = subject.into_iter().filter(|_| self.vocabulary.subject);
        subject.chain(self.vocabulary.item.then_some("item"))
    }

    /// A name that stands alone.
    fn name(&mut self, id: u64, name: &str) -> Typed {
        if self.variable == Some(name) {
            return (Node::Load(Load::Variable), Kind::Any);
        }
        if name == "segments" && self.vocabulary.subject {
            return (Node::Load(Load::Segments), Kind::List);
        }
        if self.roots().any(|root| root == name) {
            return self.fault(
                id,
                format!("`{name}` is no value: name one of its fields, as in `{name}.NAME`"),
            );
        }
        self.unknown_root(id, name)
    }

    fn unknown_root(&mut self, id: u64, name: &str) -> Typed {
        let known: Vec<_> = self.roots().collect();
        let message = format!(
            "unknown name `{name}`; what can be named here is {}",
            known.join(", ")
        );
        let near = nearest(name, known);
        self.suggest(id, message, near)
    }

    /// `operand.field`, or `has(operand.field)`.
    fn select(&mut self, id: u64, select: &'a SelectExpr) -> Typed {
        let (node, kind) = self.member(id, &select.operand, &select.field);
        if select.test {
            (Node::Has(Box::new(node)), Kind::Bool)
        } else {
            (node, kind)
        }
    }

    fn member(&mut self, id: u64, operand: &'a IdedExpr, field: &str) -> Typed {
        if let Some(root) = self.root_name(operand) {
            return match root {
                "profile" => self.profile_trait(id, field),
                "item" => self.item_field(id, field),
                _ => self.context_field(id, field),
            };
        }
        if let Some(group) = self.context_group(operand) {
            return self.context_field(id, &format!("{group}.{field}"));
        }
        let (node, kind) = self.typed(operand);
        if !matches!(kind, Kind::Any | Kind::Map) {
            return self.fault(
                id,
                format!("`.{field}` needs a map, and this is {}", kind.name()),
            );
        }
        (Node::Member(Box::new(node), field.into()), Kind::Any)
    }

    /// The root an expression names, if it is one that has fields and is in scope.
    fn root_name(&self, expression: &'a IdedExpr) -> Option<&'a str> {
        match &expression.expr {
            Expr::Ident(name) if self.variable != Some(name) && name != "segments" => {
                self.roots().any(|root| root == name).then_some(name)
            }
            _ => None,
        }
    }

    fn context_group(&self, expression: &'a IdedExpr) -> Option<&'a str> {
        match &expression.expr {
            Expr::Select(select)
                if self.root_name(&select.operand) == Some("context")
                    && CONTEXT_GROUPS.contains(&select.field.as_str()) =>
            {
                Some(&select.field)
            }
            _ => None,
        }
    }

    fn profile_trait(&mut self, id: u64, name: &str) -> Typed {
        let kind = match &self.vocabulary.traits {
            None => Some(Kind::Any),
            Some(declared) => declared.get(name).copied(),
        };
        match kind {
            Some(kind) => (Node::Load(Load::Profile(name.into())), kind),
            None => {
                let declared = self.vocabulary.traits.iter().flatten();
                let near = nearest(name, declared.map(|(name, _)| name.as_str()));
                self.suggest(id, format!("unknown trait `{name}`"), near)
            }
        }
    }

    fn item_field(&mut self, id: u64, name: &str) -> Typed {
        if let Some(field) = ItemField::parse(name) {
            return (Node::Load(Load::Item(field)), field.kind());
        }
        let kind = match &self.vocabulary.characteristics {
            None => Some(Kind::Any),
            Some(declared) => declared.get(name).copied(),
        };
        match kind {
            Some(kind) => (Node::Load(Load::Characteristic(name.into())), kind),
            None => {
                let declared = self.vocabulary.characteristics.iter().flatten();
                let known = declared
                    .map(|(name, _)| name.as_str())
                    .chain(ItemField::ALL.iter().map(|field| field.name()));
                let near = nearest(name, known);
                self.suggest(
                    id,
                    format!("no item type has a characteristic `{name}`"),
                    near,
                )
            }
        }
    }

    fn context_field(&mut self, id: u64, path: &str) -> Typed {
        if let Some(field) = ContextField::parse(path) {
            return (Node::Load(Load::Context(field)), field.kind());
        }
        if CONTEXT_GROUPS.contains(&path) {
            let message = format!("`context.{path}` is no value: name one of its fields");
            return self.fault(id, message);
        }
        let near = nearest(path, ContextField::ALL.iter().map(|field| field.name()));
        self.suggest(id, format!("`context` has no field `{path}`"), near)
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

    fn function(&mut self, id: u64, call: &'a CallExpr) -> Typed {
        let name = call.func_name.as_str();
        let arguments: Vec<&IdedExpr> = call
            .target
            .as_deref()
            .into_iter()
            .chain(&call.args)
            .collect();
        let style = if call.target.is_some() {
            Style::Method
        } else {
            Style::Global
        };
        if name == "matches" && arguments.len() == 2 {
            return self.pattern(arguments[0], arguments[1]);
        }
        let known = || {
            SIGNATURES
                .iter()
                .filter(|signature| self.vocabulary.subject || !signature.subject)
        };
        let Some(signature) = known().find(|signature| signature.name == name) else {
            let near = nearest(name, known().map(|s| s.name).chain(["has", "matches"]));
            return self.suggest(id, format!("unknown function `{name}`"), near);
        };
        if signature.style != Style::Both && signature.style != style {
            let message = match signature.style {
                Style::Method => format!("`{name}` is called on a value: `x.{name}(…)`"),
                _ => format!("`{name}` is called by itself: `{name}(…)`"),
            };
            return self.fault(id, message);
        }
        self.known_function(id, signature, &arguments)
    }

    fn known_function(
        &mut self,
        id: u64,
        signature: &'static Signature,
        arguments: &[&'a IdedExpr],
    ) -> Typed {
        let most = signature.parameters.len();
        if arguments.len() > most || arguments.len() + signature.optional < most {
            let receiver = usize::from(signature.style == Style::Method);
            let message = format!(
                "`{}` takes {} argument(s), and {} were given",
                signature.name,
                most - receiver,
                arguments.len() - receiver.min(arguments.len())
            );
            return self.fault(id, message);
        }
        let mut nodes = Vec::with_capacity(arguments.len());
        for (argument, parameter) in arguments.iter().zip(signature.parameters) {
            let (node, kind) = self.typed(argument);
            if !parameter.accepts(kind) {
                let message = format!(
                    "`{}` takes {} here, and this is {}",
                    signature.name,
                    parameter.name(),
                    kind.name()
                );
                self.fault(argument.id, message);
            }
            nodes.push(node);
        }
        self.folded(id, signature, nodes)
    }

    /// Times and durations that are written out are read now, and refused now.
    fn folded(&mut self, id: u64, signature: &Signature, nodes: Vec<Node>) -> Typed {
        let written = match nodes.as_slice() {
            [Node::Literal(Literal::Text(text))] => Some(text.as_ref()),
            _ => None,
        };
        let literal = match (signature.function, written) {
            (Function::Timestamp, Some(text)) => match parse_time(text) {
                Some(ms) => Literal::Time(ms),
                None => {
                    return self.fault(id, "a time is written `YYYY-MM-DD` or as in RFC 3339");
                }
            },
            (Function::Duration, Some(text)) => match parse_duration(text) {
                Some(ms) => Literal::Duration(ms),
                None => return self.fault(id, "a duration is written as in `30d` or `1h30m`"),
            },
            _ => return (Node::Call(signature.function, nodes), signature.result),
        };
        (Node::Literal(literal), signature.result)
    }

    /// `text.matches("pattern")`. The pattern is a literal, so that it is compiled once.
    fn pattern(&mut self, text: &'a IdedExpr, pattern: &'a IdedExpr) -> Typed {
        let (text_node, kind) = self.typed(text);
        if !matches!(kind, Kind::Any | Kind::Text | Kind::Date) {
            let message = format!("`matches` needs a text, and this is {}", kind.name());
            self.fault(text.id, message);
        }
        let Expr::Literal(LiteralValue::String(source)) = &pattern.expr else {
            return self.fault(pattern.id, "the pattern of `matches` must be written out");
        };
        let compiled = RegexBuilder::new(source.inner())
            .size_limit(REGEX_BYTES_MAX)
            .dfa_size_limit(REGEX_BYTES_MAX)
            .build();
        match compiled {
            Ok(regex) => (Node::Matches(Box::new(text_node), regex), Kind::Bool),
            Err(_) => self.fault(
                pattern.id,
                "this is no regular expression, or too large a one",
            ),
        }
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
