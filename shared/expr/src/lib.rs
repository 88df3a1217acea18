//! The expression language of segments, rules and filters: CEL, parsed by the `cel`
//! crate, checked against a [`Vocabulary`], and judged over a [`Scope`] without
//! building maps. Judging is total: a missing value makes a comparison false, and
//! nothing an expression does can fail or run long.
//!
//! # What is not in CEL
//!
//! | written | means |
//! |---|---|
//! | `profile.NAME`, `context.NAME`, `item.NAME` | traits, the situation, the item under judgement |
//! | `"ID" in segments`, `consent("PURPOSE")`, `subscribed("GROUP")` | where the person belongs and what was agreed to; a vocabulary of no groups refuses the last |
//! | `now` | the time of the request |
//! | `bucket("SALT")` | 0 to 9999, the same for a person and a salt |
//! | `events("TYPE")` with `.where(e, …)`, `.within("30d")`, `.withinDays(7, "ZONE")`, `.then("TYPE")` | events of the history; a window rolls, or counts calendar days of which today is one; after `then`, `within` is the time from the first event to the last |
//! | … `.count()`, `.exists()`, `.sum("FIELD")`, `.avg`, `.min`, `.max`, `.first().FIELD`, `.last().FIELD` | what they come to; a field is `time`, `type`, `item_ids`, `revenue`, `channel` or a property |
//! | … `.mostFrequent("FIELD")`, `.distinct("FIELD")` | the value that most of them have, of as many the one seen last, and how many values there are; of a list its elements |
//! | … `.averageGap()` | the mean duration from one to the next: `events("purchase").last().time + events("purchase").averageGap()` is when to expect another |
//! | `anniversary(DATE, "7d")` | the day and month come round today or within so long, in the context's zone |
//! | `distance(PLACE, PLACE)` | metres; a place is `context.location`, a map with `lat` and `lng`, or two numbers |
//! | `semver("2.3.0")` | compares as a version does |
//! | `atLeast(2, a, b, c)` | so many of the conditions hold |
//!
//! Numbers of JSON are doubles and mix with integers in operators; a text that is a
//! date compares with times. Of CEL's extensions there are strings (but `format`) and
//! math, and no optional values, messages, `cel.bind` or macros with two variables.
//! History is what the scope has of it: rules see the events of the snapshot. An event
//! that is dated later than now counts as soon as it is known.
//!
//! # Time
//!
//! Whoever keeps an answer up to date asks [`Expression::changes_at`] when to judge it
//! again. It can be told of windows, of anniversaries, of times and durations that are
//! added, subtracted and compared, and of the hour, day, month and year of a time. What
//! does anything else with the clock, such as `string(now)` or `now.getMinutes()`, is
//! told of by [`Expression::untold`].
//!
//! # Bounds
//!
//! | what | at most |
//! |---|---|
//! | source text | [`SOURCE_BYTES_MAX`] |
//! | brackets in brackets | 32 |
//! | operators in operators | 128 |
//! | macros in macros | 2 |
//! | elements of a list, entries of a map that is written out | 1000 |
//! | events of one sequence (`then`) | 5 |
//! | a compiled regular expression, matched in linear time | 256 KiB |
//! | a text that a function or `+` makes | 64 KiB |
//! | a list that a macro or `+` makes | 10,000 elements |
//! | steps of one judgement that run in loops | 100,000 |
//!
//! What is over one of the first seven is refused when it is compiled, with its place;
//! what is over one of the rest is missing, or false, when it is judged.

mod check;
mod eval;
mod fault;
pub mod filter;
mod functions;
mod history;
mod index;
mod motion;
mod node;
mod parse;
mod print;
mod reads;
mod scope;
mod set;
mod value;
mod vocabulary;

use std::{collections::BTreeSet, fmt, sync::Arc};

pub use fault::{Fault, Position, nearest};
pub use functions::Zone;
pub use history::{Aggregate, Change, EventField, EventRef, Operation, Source, Window};
pub use print::is_identifier;
pub use reads::Reads;
pub use scope::{ItemScope, Judged, Scope, SubjectScope, recent_events, state_name};
pub use set::{Edit, ExpressionSet, Key, Matches, Snapshot};
pub use value::{Sum, TypeName, Value, format_time, parse_time};
pub use vocabulary::{ContextField, Declared, EventProperties, ItemField, Kind, Vocabulary};

use node::{Literal, Load, Node};

/// The longest source that is accepted, in bytes.
pub const SOURCE_BYTES_MAX: usize = 4096;

/// A checked expression, ready to be judged. Cheap to clone. Two are equal if they are
/// the same by structure, however they were written.
#[derive(Clone)]
pub struct Expression(Arc<Compiled>);

struct Compiled {
    source: String,
    root: Node,
    kind: Kind,
    untold: Option<Fault>,
}

impl Expression {
    /// Parses and checks a condition; every fault is told at once.
    pub fn compile(source: &str, vocabulary: &Vocabulary) -> Result<Self, Vec<Fault>> {
        Self::compile_value(source, vocabulary, Kind::Bool)
    }

    /// Parses and checks an expression that stands for a value of this kind, or of any.
    /// What is only known when it is judged is accepted, and may turn out otherwise.
    pub fn compile_value(
        source: &str,
        vocabulary: &Vocabulary,
        expected: Kind,
    ) -> Result<Self, Vec<Fault>> {
        let parsed = parse::parse(source)?;
        let checked = check::check(&parsed, vocabulary, expected)?;
        Ok(Self(Arc::new(Compiled {
            source: source.to_owned(),
            root: checked.root,
            kind: checked.kind,
            untold: checked.untold,
        })))
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// What is known of the kind of its value.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    pub(crate) fn root(&self) -> &Node {
        &self.0.root
    }

    /// Whether it holds. What is missing or of another kind makes a comparison false.
    pub fn matches(&self, scope: &dyn Scope) -> bool {
        eval::holds(&self.0.root, scope)
    }

    /// What it comes to.
    pub fn value<'a>(&'a self, scope: &'a dyn Scope) -> Value<'a> {
        eval::value(&self.0.root, scope)
    }

    /// The segments it names, for whoever has to refuse cycles.
    pub fn segments_named(&self) -> BTreeSet<&str> {
        let mut named = BTreeSet::new();
        self.0.root.walk(&mut |node| match node {
            Node::In(needle, list) if matches!(**list, Node::Load(Load::Segments)) => {
                named.extend(texts(needle));
            }
            Node::Call(functions::Function::Contains, arguments) => {
                if let [Node::Load(Load::Segments), needle] = arguments.as_slice() {
                    named.extend(texts(needle));
                }
            }
            Node::Quantify(_, list, test) if matches!(**list, Node::Load(Load::Segments)) => {
                test.walk(&mut |node| named.extend(texts(node)));
            }
            _ => {}
        });
        named
    }

    /// Whether it reads the list of segments in a way that [`Self::segments_named`]
    /// cannot tell which, such as `size(segments)`.
    pub fn reads_any_segment(&self) -> bool {
        let mut reads = 0_usize;
        let mut named = 0_usize;
        self.0.root.walk(&mut |node| match node {
            Node::Load(Load::Segments) => reads += 1,
            Node::In(needle, list) if matches!(**list, Node::Load(Load::Segments)) => {
                named += usize::from(texts(needle).is_some());
            }
            _ => {}
        });
        reads > named
    }

    /// The questions it asks about the history, each once.
    pub fn aggregates(&self) -> Vec<&Arc<Aggregate>> {
        let mut found: Vec<&Arc<Aggregate>> = Vec::new();
        self.0.root.walk(&mut |node| {
            if let Node::Aggregate(aggregate) = node
                && !found.contains(&aggregate)
            {
                found.push(aggregate);
            }
        });
        found
    }

    /// Whether time alone can change what it comes to.
    pub fn reads_time(&self) -> bool {
        self.0.root.reads_time()
    }

    /// When time alone can next change what it comes to over this scope: until then, and
    /// as long as the scope says the same, it stays. `Unknown` where [`Self::untold`] says
    /// so, and where judging costs more than its budget.
    pub fn changes_at(&self, scope: &dyn Scope) -> Change {
        eval::changes_at(&self.0.root, scope)
    }

    /// Where it uses the clock so that nobody can tell when it changes, for whoever
    /// keeps its answer up to date to refuse it.
    pub fn untold(&self) -> Option<&Fault> {
        self.0.untold.as_ref()
    }
}

fn texts(node: &Node) -> Option<&str> {
    match node {
        Node::Literal(Literal::Text(text)) => Some(text),
        _ => None,
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.root == other.0.root
    }
}

impl Eq for Expression {}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.0.source).finish()
    }
}

/// The canonical text: it compiles to an equal expression, and equal expressions have
/// the same one.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print::node(&self.0.root))
    }
}
