//! Many expressions judged against one scope. The inside is free to change (an index
//! over their predicates); what it answers is not.

use crate::{Expression, Scope};

/// Expressions with whatever they decide about.
#[derive(Debug, Clone)]
pub struct ExpressionSet<T> {
    entries: Vec<(Expression, T)>,
}

impl<T> ExpressionSet<T> {
    pub fn new(entries: impl IntoIterator<Item = (Expression, T)>) -> Self {
        Self {
            entries: entries.into_iter().collect(),
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What belongs to the expressions that hold, in the order they were given.
    pub fn matching<'a>(&'a self, scope: &'a dyn Scope) -> impl Iterator<Item = &'a T> {
        self.entries
            .iter()
            .filter(|(expression, _)| expression.matches(scope))
            .map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Expression, &T)> {
        self.entries.iter().map(|(e, value)| (e, value))
    }
}

impl<T> Default for ExpressionSet<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
        }
    }
}

impl<T> FromIterator<(Expression, T)> for ExpressionSet<T> {
    fn from_iter<I: IntoIterator<Item = (Expression, T)>>(entries: I) -> Self {
        Self::new(entries)
    }
}
