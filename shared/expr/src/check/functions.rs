//! Calls of functions: which there are, what they take, and what is worked out once.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};
use regex::RegexBuilder;

use super::{Checker, NOTHING, Typed, macros};
use crate::{
    fault::nearest,
    functions::{Function, NAMESPACES, SIGNATURES, Signature, Style, parse_version},
    node::{Literal, Load, Node, Pattern},
    value::{TypeName, parse_duration, parse_time},
    vocabulary::{ContextField, Kind},
};

/// Bytes a compiled regular expression may take.
const REGEX_BYTES_MAX: usize = 256 << 10;

impl<'a> Checker<'a> {
    pub(super) fn function(&mut self, id: u64, call: &'a CallExpr) -> Typed {
        if let Some(typed) = self.history(id, call) {
            return typed;
        }
        if let Some(typed) = self.macro_call(id, call) {
            return typed;
        }
        let namespace = self.namespace(call);
        let target = match namespace {
            Some(_) => None,
            None => call.target.as_deref(),
        };
        let arguments: Vec<&IdedExpr> = target.into_iter().chain(&call.args).collect();
        let name = match namespace {
            Some(namespace) => format!("{namespace}.{}", call.func_name),
            None => call.func_name.clone(),
        };
        match (name.as_str(), arguments.as_slice()) {
            ("matches", [text, pattern]) => return self.pattern(text, pattern),
            ("distance", _) if target.is_none() => return self.distance(id, &arguments),
            _ => {}
        }
        let style = if target.is_some() {
            Style::Method
        } else {
            Style::Global
        };
        let known = || {
            SIGNATURES
                .iter()
                .filter(|signature| self.vocabulary.subject || !signature.subject)
        };
        let Some(signature) = known().find(|signature| signature.name == name) else {
            let further = ["matches", "distance"].into_iter().chain(macros::NAMES);
            let events = self.vocabulary.subject.then_some("events");
            let near = nearest(&name, known().map(|s| s.name).chain(further).chain(events));
            return self.unknown_function(id, &name, near, &arguments);
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

    /// `math` of `math.abs(x)`, unless something of that name is in scope.
    fn namespace(&self, call: &'a CallExpr) -> Option<&'a str> {
        let Expr::Ident(name) = &call.target.as_deref()?.expr else {
            return None;
        };
        let is_hidden =
            self.variable(name).is_some() || self.vocabulary.variables.contains_key(name);
        (!is_hidden && NAMESPACES.contains(&name.as_str())).then_some(name)
    }

    fn known_function(
        &mut self,
        id: u64,
        signature: &'static Signature,
        arguments: &[&'a IdedExpr],
    ) -> Typed {
        let most = signature.parameters.len();
        let too_many = arguments.len() > most && !signature.variadic;
        if too_many || arguments.len() + signature.optional < most {
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
        for (i, argument) in arguments.iter().enumerate() {
            let parameter = signature.parameters[i.min(most - 1)];
            let (node, kind) = self.typed(argument);
            if !parameter.accepts(kind) {
                let message = format!(
                    "`{}` takes {} here, and this is {}",
                    signature.name,
                    parameter.describe(),
                    kind.name()
                );
                self.fault(argument.id, message);
            }
            if i == 1
                && signature.function == Function::Contains
                && matches!(nodes[0], Node::Load(Load::Segments))
            {
                self.known_segment(argument.id, &node, kind);
            }
            nodes.push(node);
        }
        self.known_agreement(id, signature.function, &nodes);
        self.folded(id, signature, nodes)
    }

    /// A purpose of consent or a subscription group that is written out exists, where it
    /// is known which do; where there are no groups at all, none can be worked out either.
    fn known_agreement(&mut self, id: u64, function: Function, arguments: &[Node]) {
        let vocabulary = self.vocabulary;
        let (known, what) = match function {
            Function::Consent => (&vocabulary.purposes, "purpose"),
            Function::Subscribed => (&vocabulary.groups, "subscription group"),
            _ => return,
        };
        let Some(known) = known else { return };
        if known.is_empty() && function == Function::Subscribed {
            return drop(self.fault(
                id,
                "`subscribed` cannot be asked: no subscription groups are kept; \
                 ask for the consent of its purpose, as in `consent(\"marketing_email\")`",
            ));
        }
        let [Node::Literal(Literal::Text(name))] = arguments else {
            return;
        };
        if !known.contains(&**name) {
            let near = nearest(name, known.iter().map(String::as_str));
            self.suggest(id, format!("there is no {what} `{name}`"), near);
        }
    }

    /// Times, durations and versions that are written out are read now, and refused now.
    fn folded(&mut self, id: u64, signature: &Signature, nodes: Vec<Node>) -> Typed {
        let written = match nodes.as_slice() {
            [Node::Literal(Literal::Text(text))] => Some(text.as_ref()),
            [_, Node::Literal(Literal::Text(text))]
                if signature.function == Function::Anniversary =>
            {
                Some(text.as_ref())
            }
            _ => None,
        };
        let literal = match (signature.function, written) {
            (Function::Convert(TypeName::Time), Some(text)) => match parse_time(text) {
                Some(ms) => Literal::Time(ms),
                None => {
                    return self.fault(id, "a time is written `YYYY-MM-DD` or as in RFC 3339");
                }
            },
            (Function::Convert(TypeName::Duration), Some(text)) => match parse_duration(text) {
                Some(ms) => Literal::Duration(ms),
                None => return self.fault(id, "a duration is written as in `30d` or `1h30m`"),
            },
            (Function::Version, Some(text)) => match parse_version(text) {
                Some(version) => Literal::Version(version.into()),
                None => return self.fault(id, "a version is written as in `2.3.0`"),
            },
            (Function::Anniversary, Some(text)) if parse_duration(text).is_none() => {
                return self.fault(id, "a duration is written as in `30d` or `1h30m`");
            }
            _ => return (Node::Call(signature.function, nodes), signature.result),
        };
        (Node::Literal(literal), signature.result)
    }

    /// `distance(place, place)` in metres, where each place is a map with `lat` and
    /// `lng`, such as `context.location`, or two numbers.
    fn distance(&mut self, id: u64, arguments: &[&'a IdedExpr]) -> Typed {
        let places: Vec<_> = arguments.iter().map(|a| self.place(a)).collect();
        let is_map = |place: &Place| match place {
            Place::Here => true,
            Place::Given(_, kind) => *kind == Kind::Map,
        };
        let may_be_map =
            |place: &Place| is_map(place) || matches!(place, Place::Given(_, Kind::Any));
        // Of three arguments one is a map: the first, if no kind says.
        let the_map = match places.iter().position(is_map) {
            None if places.first().is_some_and(may_be_map) => 0,
            None => 2,
            Some(at) => at,
        };
        let mut coordinates = Vec::with_capacity(4);
        for (i, place) in places.into_iter().enumerate() {
            let is_whole = arguments.len() == 2 || (arguments.len() == 3 && i == the_map);
            match place {
                Place::Here if is_whole => coordinates.extend(
                    [ContextField::LocationLat, ContextField::LocationLng]
                        .map(|field| Node::Load(Load::Context(field))),
                ),
                Place::Given(node, Kind::Any | Kind::Map) if is_whole => coordinates.extend(
                    ["lat", "lng"].map(|part| Node::Member(Box::new(node.clone()), part.into())),
                ),
                Place::Given(node, Kind::Any | Kind::Number) if !is_whole => coordinates.push(node),
                _ => {
                    let expected = if is_whole { "a place" } else { "a number" };
                    return self.fault(arguments[i].id, format!("{expected} is expected here"));
                }
            }
        }
        if coordinates.len() == 4 {
            (Node::Call(Function::Distance, coordinates), Kind::Number)
        } else {
            self.fault(
                id,
                "`distance` takes two places, each as a map with `lat` and `lng` or as two numbers",
            )
        }
    }

    fn place(&mut self, argument: &'a IdedExpr) -> Place {
        if self.context_group(argument) == Some("location") {
            return Place::Here;
        }
        let (node, kind) = self.typed(argument);
        Place::Given(node, kind)
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
            Ok(regex) => (
                Node::Matches(Box::new(text_node), Pattern(regex)),
                Kind::Bool,
            ),
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

/// An argument of `distance`.
enum Place {
    /// `context.location`, which is no value of its own.
    Here,
    Given(Node, Kind),
}
