//! The canonical text of a tree: what compiles to an equal tree, written in one way,
//! whatever the source looked like. Variables of macros are named by their level.

mod history;
mod literals;

use std::collections::BTreeSet;

pub(crate) use history::aggregate;
pub use literals::is_identifier;

use crate::{
    functions::{Function, SIGNATURES, Style},
    node::{Comparison, Load, Node, Operator, Quantifier},
};

/// Names for the variables of macros, the outermost first, and for events.
const VARIABLES: [&str; 3] = ["x", "y", "z"];
const EVENT: &str = "e";

/// How tightly an operator binds, the loosest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binds {
    Conditional,
    Or,
    And,
    Relation,
    Sum,
    Product,
    Unary,
    Member,
}

impl Binds {
    /// What the right operand of a left-associative operator must at least be.
    fn tighter(self) -> Self {
        match self {
            Self::Conditional => Self::Or,
            Self::Or => Self::And,
            Self::And => Self::Relation,
            Self::Relation => Self::Sum,
            Self::Sum => Self::Product,
            Self::Product => Self::Unary,
            Self::Unary | Self::Member => Self::Member,
        }
    }
}

pub(crate) fn node(node: &Node) -> String {
    let mut printer = Printer::new();
    node.walk(&mut |node| {
        if let Node::Load(Load::Bound(name)) = node {
            printer.taken.insert(name);
        }
    });
    printer.write(node, Binds::Conditional);
    printer.out
}

struct Printer<'a> {
    out: String,
    /// Names that are bound from outside, which no variable may hide.
    taken: BTreeSet<&'a str>,
    /// Those of the enclosing macros, the outermost first.
    variables: Vec<String>,
}

impl<'a> Printer<'a> {
    fn new() -> Self {
        Self {
            out: String::new(),
            taken: BTreeSet::new(),
            variables: Vec::new(),
        }
    }

    fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// In brackets if it binds more loosely than its place allows.
    fn write(&mut self, node: &'a Node, at_least: Binds) {
        if binds(node) < at_least {
            self.push("(");
            self.plain(node);
            self.push(")");
        } else {
            self.plain(node);
        }
    }

    fn plain(&mut self, node: &'a Node) {
        match node {
            Node::Literal(literal) => literals::write(&mut self.out, literal),
            Node::Load(load) => self.load(load),
            Node::Member(of, name) => {
                self.write(of, Binds::Member);
                self.field(name);
            }
            Node::Index(of, index) => {
                self.write(of, Binds::Member);
                self.push("[");
                self.write(index, Binds::Conditional);
                self.push("]");
            }
            Node::Has(of) => self.call("has", std::iter::once(&**of)),
            Node::List(nodes) => {
                self.push("[");
                self.listed(nodes);
                self.push("]");
            }
            Node::Map(entries) => self.map(entries),
            Node::And(nodes) => self.chain(" && ", nodes, Binds::Relation),
            Node::Or(nodes) => self.chain(" || ", nodes, Binds::And),
            Node::Not(of) => {
                self.push("!");
                self.write(of, Binds::Member);
            }
            Node::Negate(of) => {
                self.push("-");
                self.write(of, Binds::Member);
            }
            Node::Conditional(parts) => {
                let [condition, then, otherwise] = &**parts;
                self.write(condition, Binds::Or);
                self.push(" ? ");
                self.write(then, Binds::Or);
                self.push(" : ");
                self.write(otherwise, Binds::Conditional);
            }
            Node::Compare(comparison, a, b) => self.infix(a, compared(*comparison), b, node),
            Node::In(a, b) => self.infix(a, " in ", b, node),
            Node::Arithmetic(operator, a, b) => self.infix(a, sign(*operator), b, node),
            Node::Matches(of, pattern) => {
                self.write(of, Binds::Member);
                self.push(".matches(");
                literals::quote(&mut self.out, pattern.0.as_str());
                self.push(")");
            }
            Node::Call(function, arguments) => self.function(*function, arguments),
            Node::AtLeast(least, nodes) => {
                self.push(&format!("atLeast({least}"));
                for node in nodes {
                    self.push(", ");
                    self.write(node, Binds::Conditional);
                }
                self.push(")");
            }
            Node::Quantify(quantifier, list, test) => {
                let name = match quantifier {
                    Quantifier::Exists => "exists",
                    Quantifier::All => "all",
                    Quantifier::ExistsOne => "exists_one",
                };
                self.over(list, name, &[test]);
            }
            Node::Filter(list, test) => self.over(list, "filter", &[test]),
            Node::Transform(list, None, result) => self.over(list, "map", &[result]),
            Node::Transform(list, Some(test), result) => self.over(list, "map", &[test, result]),
            Node::Aggregate(aggregate) => self.aggregate(aggregate),
        }
    }

    fn load(&mut self, load: &'a Load) {
        match load {
            Load::Profile(name) => {
                self.push("profile");
                self.field(name);
            }
            Load::Segments => self.push("segments"),
            Load::Context(field) => {
                self.push("context.");
                self.push(field.name());
            }
            Load::Item(field) => {
                self.push("item.");
                self.push(field.name());
            }
            Load::Characteristic(name) => {
                self.push("item");
                self.field(name);
            }
            Load::Now => self.push("now"),
            Load::Bound(name) => self.push(name),
            Load::Variable(level) => self.variable(*level),
            Load::Event(level, field) => {
                self.variable(*level);
                self.field(field.name());
            }
        }
    }

    fn variable(&mut self, level: u8) {
        let name = self.variables.get(usize::from(level)).cloned();
        self.push(&name.unwrap_or_default());
    }

    /// Binds a variable of the next level and gives its name.
    fn bind(&mut self, base: &str) -> String {
        let mut name = base.to_owned();
        while self.taken.contains(name.as_str()) || self.variables.contains(&name) {
            name.push('_');
        }
        self.variables.push(name.clone());
        name
    }

    fn field(&mut self, name: &str) {
        if literals::is_identifier(name) {
            self.push(".");
            self.push(name);
        } else {
            self.push("[");
            literals::quote(&mut self.out, name);
            self.push("]");
        }
    }

    fn listed(&mut self, nodes: impl IntoIterator<Item = &'a Node>) {
        for (i, node) in nodes.into_iter().enumerate() {
            if i > 0 {
                self.push(", ");
            }
            self.write(node, Binds::Conditional);
        }
    }

    fn map(&mut self, entries: &'a [(Node, Node)]) {
        self.push("{");
        for (i, (key, value)) in entries.iter().enumerate() {
            if i > 0 {
                self.push(", ");
            }
            self.write(key, Binds::Conditional);
            self.push(": ");
            self.write(value, Binds::Conditional);
        }
        self.push("}");
    }

    fn chain(&mut self, operator: &str, nodes: &'a [Node], at_least: Binds) {
        for (i, node) in nodes.iter().enumerate() {
            if i > 0 {
                self.push(operator);
            }
            self.write(node, at_least);
        }
    }

    fn infix(&mut self, left: &'a Node, operator: &str, right: &'a Node, whole: &Node) {
        self.write(left, binds(whole));
        self.push(operator);
        self.write(right, binds(whole).tighter());
    }

    fn call(&mut self, name: &str, arguments: impl Iterator<Item = &'a Node>) {
        self.push(name);
        self.push("(");
        self.listed(arguments);
        self.push(")");
    }

    fn function(&mut self, function: Function, arguments: &'a [Node]) {
        let signature = SIGNATURES.iter().find(|known| known.function == function);
        match (signature, arguments) {
            (Some(signature), [receiver, rest @ ..]) if signature.style == Style::Method => {
                self.write(receiver, Binds::Member);
                self.push(".");
                self.call(signature.name, rest.iter());
            }
            (Some(signature), _) => self.call(signature.name, arguments.iter()),
            // The one function whose arguments the checker takes apart itself.
            (None, _) => self.call("distance", arguments.iter()),
        }
    }

    fn over(&mut self, list: &'a Node, name: &str, bodies: &[&'a Node]) {
        self.write(list, Binds::Member);
        let depth = self.variables.len();
        let base = VARIABLES[depth.min(VARIABLES.len() - 1)];
        let variable = self.bind(base);
        self.push(&format!(".{name}({variable}"));
        for body in bodies {
            self.push(", ");
            self.write(body, Binds::Conditional);
        }
        self.push(")");
        self.variables.pop();
    }
}

fn binds(node: &Node) -> Binds {
    match node {
        Node::Conditional(_) => Binds::Conditional,
        Node::Or(_) => Binds::Or,
        Node::And(_) => Binds::And,
        Node::Compare(..) | Node::In(..) => Binds::Relation,
        Node::Arithmetic(Operator::Add | Operator::Subtract, ..) => Binds::Sum,
        Node::Arithmetic(..) => Binds::Product,
        Node::Not(_) | Node::Negate(_) => Binds::Unary,
        Node::Literal(literal) if literals::is_signed(literal) => Binds::Unary,
        _ => Binds::Member,
    }
}

fn compared(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => " == ",
        Comparison::NotEqual => " != ",
        Comparison::Less => " < ",
        Comparison::LessOrEqual => " <= ",
        Comparison::Greater => " > ",
        Comparison::GreaterOrEqual => " >= ",
    }
}

fn sign(operator: Operator) -> &'static str {
    match operator {
        Operator::Add => " + ",
        Operator::Subtract => " - ",
        Operator::Multiply => " * ",
        Operator::Divide => " / ",
        Operator::Remainder => " % ",
    }
}
