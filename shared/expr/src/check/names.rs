//! Names: roots, fields, traits and characteristics, looked up in the vocabulary.

use cel::common::ast::{Expr, IdedExpr, SelectExpr};

use super::{Checker, StandsFor, Typed};
use crate::{
    fault::nearest,
    node::{Literal, Load, Node},
    value::TypeName,
    vocabulary::{ContextField, ItemField, Kind},
};

/// Parts of the context that are no values of their own.
const CONTEXT_GROUPS: [&str; 3] = ["location", "device", "page"];

/// What CEL calls the types whose names have dots.
const QUALIFIED: [(&str, TypeName); 2] = [
    ("Timestamp", TypeName::Time),
    ("Duration", TypeName::Duration),
];

impl<'a> Checker<'a> {
    fn roots(&self) -> impl Iterator<Item = &'static str> {
        let subject = ["profile", "segments", "context", "now"];
        let subject = subject.into_iter().filter(|_| self.vocabulary.subject);
        subject.chain(self.vocabulary.item.then_some("item"))
    }

    /// A name that stands alone. The innermost meaning counts.
    pub(super) fn name(&mut self, id: u64, name: &str) -> Typed {
        if let Some((level, stands_for)) = self.variable(name) {
            return match (stands_for, u8::try_from(level)) {
                (StandsFor::Element, Ok(level)) => (Node::Load(Load::Variable(level)), Kind::Any),
                _ => self.fault(
                    id,
                    format!("`{name}` is an event: name one of its fields, as in `{name}.time`"),
                ),
            };
        }
        if let Some(kind) = self.vocabulary.variables.get(name) {
            return (Node::Load(Load::Bound(name.into())), *kind);
        }
        match name {
            "segments" if self.vocabulary.subject => {
                return (Node::Load(Load::Segments), Kind::List);
            }
            "now" if self.vocabulary.subject => return (Node::Load(Load::Now), Kind::Time),
            _ => {}
        }
        if self.roots().any(|root| root == name) {
            return self.fault(
                id,
                format!("`{name}` is no value: name one of its fields, as in `{name}.NAME`"),
            );
        }
        let mut types = TypeName::ALL.into_iter();
        if let Some(known) = types.find(|known| known.name() == name) {
            return (Node::Literal(Literal::Type(known)), Kind::Type);
        }
        self.unknown_root(id, name)
    }

    /// The level of a macro's variable and what it stands for.
    pub(super) fn variable(&self, name: &str) -> Option<(usize, StandsFor<'a>)> {
        let at = self.variables.iter().rposition(|v| v.name == name)?;
        Some((at, self.variables[at].stands_for))
    }

    fn unknown_root(&mut self, id: u64, name: &str) -> Typed {
        let known: Vec<_> = self.roots().collect();
        let message = format!(
            "unknown name `{name}`; what can be named here is {}",
            known.join(", ")
        );
        let bound = self.vocabulary.variables.keys().map(String::as_str);
        let variables = self.variables.iter().map(|variable| variable.name);
        let near = nearest(name, known.into_iter().chain(bound).chain(variables));
        self.suggest(id, message, near)
    }

    /// `operand.field`.
    pub(super) fn select(&mut self, id: u64, select: &'a SelectExpr) -> Typed {
        self.member(id, &select.operand, &select.field)
    }

    pub(super) fn member(&mut self, id: u64, operand: &'a IdedExpr, field: &str) -> Typed {
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
        if let Expr::Ident(name) = &operand.expr
            && let Some((level, StandsFor::Event(properties))) = self.variable(name)
        {
            return self.event_member(id, level, properties, field);
        }
        if let Some(typed) = self.event_pick(id, operand, field) {
            return typed;
        }
        if let Some(known) = self.qualified_type(operand, field) {
            return (Node::Literal(Literal::Type(known)), Kind::Type);
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

    /// `google.protobuf.Timestamp` and the like.
    fn qualified_type(&self, operand: &IdedExpr, field: &str) -> Option<TypeName> {
        let Expr::Select(package) = &operand.expr else {
            return None;
        };
        let Expr::Ident(root) = &package.operand.expr else {
            return None;
        };
        if root != "google" || package.field != "protobuf" || self.variable(root).is_some() {
            return None;
        }
        let (_, known) = QUALIFIED.iter().find(|(name, _)| *name == field)?;
        Some(*known)
    }

    /// The root an expression names, if it is one that has fields and is in scope.
    pub(super) fn root_name(&self, expression: &'a IdedExpr) -> Option<&'a str> {
        let Expr::Ident(name) = &expression.expr else {
            return None;
        };
        let is_hidden =
            self.variable(name).is_some() || self.vocabulary.variables.contains_key(name);
        let has_fields = !matches!(name.as_str(), "segments" | "now");
        let is_root = !is_hidden && has_fields && self.roots().any(|root| root == name);
        is_root.then_some(name)
    }

    pub(super) fn context_group(&self, expression: &'a IdedExpr) -> Option<&'a str> {
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
        let vocabulary = self.vocabulary;
        let kind = match &vocabulary.traits {
            None => Some(Kind::Any),
            Some(declared) => declared.get(name).map(|declared| declared.kind),
        };
        match kind {
            Some(kind) => (Node::Load(Load::Profile(name.into())), kind),
            None => {
                let declared = vocabulary.traits.iter().flatten();
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
            Some(declared) => declared.get(name).map(|declared| declared.kind),
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
        let known = ContextField::ALL.iter().map(|field| field.name());
        let near = nearest(path, known.chain(CONTEXT_GROUPS));
        self.suggest(id, format!("`context` has no field `{path}`"), near)
    }
}
