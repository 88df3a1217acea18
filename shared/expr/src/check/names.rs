//! Names: roots, fields, traits and characteristics, looked up in the vocabulary.

use cel::common::ast::{Expr, IdedExpr, SelectExpr};

use super::{Checker, Typed};
use crate::{
    fault::nearest,
    node::{Load, Node},
    vocabulary::{ContextField, ItemField, Kind},
};

/// Parts of the context that are no values of their own.
const CONTEXT_GROUPS: [&str; 3] = ["location", "device", "page"];

impl<'a> Checker<'a> {
    fn roots(&self) -> impl Iterator<Item = &'static str> {
        let subject = ["profile", "segments", "context"];
        let subject = subject.into_iter().filter(|_| self.vocabulary.subject);
        subject.chain(self.vocabulary.item.then_some("item"))
    }

    /// A name that stands alone.
    pub(super) fn name(&mut self, id: u64, name: &str) -> Typed {
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
    pub(super) fn select(&mut self, id: u64, select: &'a SelectExpr) -> Typed {
        let (node, kind) = self.member(id, &select.operand, &select.field);
        if select.test {
            (Node::Has(Box::new(node)), Kind::Bool)
        } else {
            (node, kind)
        }
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
    pub(super) fn root_name(&self, expression: &'a IdedExpr) -> Option<&'a str> {
        match &expression.expr {
            Expr::Ident(name) if self.variable != Some(name) && name != "segments" => {
                self.roots().any(|root| root == name).then_some(name)
            }
            _ => None,
        }
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
        let known = ContextField::ALL.iter().map(|field| field.name());
        let near = nearest(path, known.chain(CONTEXT_GROUPS));
        self.suggest(id, format!("`context` has no field `{path}`"), near)
    }
}
