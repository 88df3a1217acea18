//! Macros: `has` of a field, and the rounds over lists and maps, each with a variable.

use cel::common::ast::{CallExpr, Expr, IdedExpr};

use super::{Checker, StandsFor, Typed, Variable};
use crate::{
    node::{Node, Quantifier},
    vocabulary::Kind,
};

/// Macros inside macros, at most.
const NESTING_MAX: usize = 2;

/// The macros, for suggestions.
pub(super) const NAMES: [&str; 8] = [
    "has",
    "exists",
    "all",
    "exists_one",
    "existsOne",
    "map",
    "filter",
    "atLeast",
];

impl<'a> Checker<'a> {
    /// What a call is if it is a macro.
    pub(super) fn macro_call(&mut self, id: u64, call: &'a CallExpr) -> Option<Typed> {
        let arguments = call.args.as_slice();
        let typed = match (call.func_name.as_str(), call.target.as_deref(), arguments) {
            ("has", None, [of]) => self.has(of),
            ("atLeast", None, [least, conditions @ ..]) => self.at_least(least, conditions),
            (name, Some(list), [variable, rest @ ..]) => {
                let body = match (name, rest) {
                    ("exists", [test]) => Body::Quantify(Quantifier::Exists, test),
                    ("all", [test]) => Body::Quantify(Quantifier::All, test),
                    ("exists_one" | "existsOne", [test]) => {
                        Body::Quantify(Quantifier::ExistsOne, test)
                    }
                    ("filter", [test]) => Body::Filter(test),
                    ("map", [result]) => Body::Map(None, result),
                    ("map", [test, result]) => Body::Map(Some(test), result),
                    _ => return None,
                };
                self.over(id, list, variable, body)
            }
            _ => return None,
        };
        Some(typed)
    }

    fn has(&mut self, of: &'a IdedExpr) -> Typed {
        let is_field = match &of.expr {
            Expr::Select(_) => true,
            Expr::Call(call) => call.func_name == cel::common::ast::operators::INDEX,
            _ => false,
        };
        if !is_field {
            return self.fault(of.id, "`has` takes a field, as in `has(profile.age)`");
        }
        let (node, _) = self.typed(of);
        (Node::Has(Box::new(node)), Kind::Bool)
    }

    fn at_least(&mut self, least: &'a IdedExpr, conditions: &'a [IdedExpr]) -> Typed {
        use crate::node::Literal::Int;
        let (wanted, _) = self.typed(least);
        let nodes: Vec<_> = conditions.iter().map(|c| self.condition(c)).collect();
        match wanted {
            Node::Literal(Int(n)) if (1..=nodes.len() as i64).contains(&n) => {
                (Node::AtLeast(n as u32, nodes), Kind::Bool)
            }
            _ => self.fault(
                least.id,
                "`atLeast` takes a number that is written out, at most that of the conditions after it",
            ),
        }
    }

    fn over(
        &mut self,
        id: u64,
        list: &'a IdedExpr,
        variable: &'a IdedExpr,
        body: Body<'a>,
    ) -> Typed {
        let nested = |v: &Variable<'_>| matches!(v.stands_for, StandsFor::Element);
        if self.variables.iter().filter(|v| nested(v)).count() >= NESTING_MAX {
            return self.fault(id, format!("macros are nested deeper than {NESTING_MAX}"));
        }
        let (list_node, kind) = self.typed(list);
        if !matches!(kind, Kind::Any | Kind::List | Kind::Map) {
            let message = format!("a list is expected here, and this is {}", kind.name());
            return self.fault(list.id, message);
        }
        let Expr::Ident(name) = &variable.expr else {
            return self.fault(variable.id, "the name of a variable is expected here");
        };
        self.variables.push(Variable {
            name,
            stands_for: StandsFor::Element,
        });
        let typed = self.body(Box::new(list_node), body);
        self.variables.pop();
        typed
    }

    fn body(&mut self, list: Box<Node>, body: Body<'a>) -> Typed {
        match body {
            Body::Quantify(quantifier, test) => {
                let test = self.condition(test);
                (Node::Quantify(quantifier, list, Box::new(test)), Kind::Bool)
            }
            Body::Filter(test) => {
                let test = self.condition(test);
                (Node::Filter(list, Box::new(test)), Kind::List)
            }
            Body::Map(test, result) => {
                let test = test.map(|test| Box::new(self.condition(test)));
                let (result, _) = self.typed(result);
                (Node::Transform(list, test, Box::new(result)), Kind::List)
            }
        }
    }
}

/// What a macro does with each element.
enum Body<'a> {
    Quantify(Quantifier, &'a IdedExpr),
    Filter(&'a IdedExpr),
    Map(Option<&'a IdedExpr>, &'a IdedExpr),
}
