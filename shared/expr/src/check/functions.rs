//! Calls of functions: which there are, what they take, and what is worked out once.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};
use regex::RegexBuilder;

use super::{Checker, NOTHING, Typed};
use crate::{
    fault::nearest,
    functions::{SIGNATURES, Signature, Style, parse_duration},
    node::{Function, Literal, Node},
    value::parse_time,
    vocabulary::Kind,
};

/// Bytes a compiled regular expression may take.
const REGEX_BYTES_MAX: usize = 256 << 10;

impl<'a> Checker<'a> {
    pub(super) fn function(&mut self, id: u64, call: &'a CallExpr) -> Typed {
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
            return self.unknown_function(id, name, near, &arguments);
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

    /// What is wrong inside the call is told first: it is often why the name is not known.
    fn unknown_function(
        &mut self,
        id: u64,
        name: &str,
        near: Option<String>,
        arguments: &[&'a IdedExpr],
    ) -> Typed {
        let before = self.faults.len();
        for argument in arguments {
            self.typed(argument);
        }
        if self.faults.len() > before {
            return NOTHING;
        }
        self.suggest(id, format!("unknown function `{name}`"), near)
    }
}
