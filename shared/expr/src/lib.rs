//! The expression language of segments, rules and filters: CEL, parsed by the `cel`
//! crate, checked against a [`Vocabulary`], and judged over a [`Scope`] without
//! building maps. Judging is total: a missing value makes a comparison false, and
//! nothing an expression does can fail or run long.

mod check;
mod eval;
mod fault;
pub mod filter;
mod functions;
mod node;
mod parse;
mod scope;
mod set;
mod value;
mod vocabulary;

use std::{fmt, sync::Arc};

pub use fault::{Fault, Position, nearest};
pub use scope::{ItemScope, Judged, Scope, SubjectScope, state_name};
pub use set::ExpressionSet;
pub use value::{Value, parse_time};
pub use vocabulary::{ContextField, ItemField, Kind, Vocabulary};

/// The longest source that is accepted, in bytes.
pub const SOURCE_BYTES_MAX: usize = 4096;

/// A checked expression, ready to be judged. Cheap to clone.
#[derive(Clone)]
pub struct Expression(Arc<Compiled>);

struct Compiled {
    source: String,
    root: node::Node,
}

impl Expression {
    /// Parses and checks a source text; every fault is told at once.
    pub fn compile(source: &str, vocabulary: &Vocabulary) -> Result<Self, Vec<Fault>> {
        let parsed = parse::parse(source)?;
        let root = check::check(&parsed, vocabulary)?;
        Ok(Self(Arc::new(Compiled {
            source: source.to_owned(),
            root,
        })))
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Whether it holds. What is missing or of another kind makes a comparison false.
    pub fn matches(&self, scope: &dyn Scope) -> bool {
        eval::holds(&self.0.root, scope)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.0.source).finish()
    }
}
