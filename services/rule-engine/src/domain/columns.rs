//! The columns that filters over the whole catalog read, for the names that some
//! expression has asked for and no other: an import pays nothing for what nobody reads.
//! A column is built step by step, and kept up from then on. Decides nothing itself.
//!
//! The inverted lists of likeness hold postings too, and cannot serve here: they know
//! features by hash, leave out long texts and long lists, and are followed from an
//! item's place in the order of arrival. A filter must be exact.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use attune_expr::{
    Expression, ItemField, Scope, Value,
    filter::{Column, ColumnName},
};

use super::items::ItemIndex;

/// As many names as expressions may read before the one read least makes room.
const COLUMNS_MAX: usize = 64;

/// The columns of one workspace's items.
#[derive(Debug, Default)]
pub struct ItemColumns {
    kept: Vec<Kept>,
    /// Where the search for a column that nobody reads goes on.
    hand: usize,
}

#[derive(Debug)]
struct Kept {
    name: Name,
    column: Column,
    /// Items below have been taken in.
    built: ItemIndex,
    is_complete: bool,
    /// Was read since the search for one that is not came by.
    is_read: AtomicBool,
}

#[derive(Debug, PartialEq, Eq)]
enum Name {
    Field(ItemField),
    Characteristic(Arc<str>),
}

impl Name {
    fn of(name: ColumnName<'_>) -> Self {
        match name {
            ColumnName::Field(field) => Self::Field(field),
            ColumnName::Characteristic(name) => Self::Characteristic(name.into()),
        }
    }

    fn is(&self, name: ColumnName<'_>) -> bool {
        match (self, name) {
            (Self::Field(held), ColumnName::Field(field)) => *held == field,
            (Self::Characteristic(held), ColumnName::Characteristic(name)) => **held == *name,
            _ => false,
        }
    }

    fn value<'s>(&self, scope: &'s impl Scope) -> Value<'s> {
        match self {
            Self::Field(field) => scope.item(*field),
            Self::Characteristic(name) => scope.characteristic(name),
        }
    }
}

impl ItemColumns {
    /// From now on there is to be a column for everything the expression reads.
    pub fn want(&mut self, expression: &Expression) {
        for name in expression.columns() {
            let held = self.kept.iter().find(|kept| kept.name.is(name));
            if let Some(kept) = held {
                kept.is_read.store(true, Ordering::Relaxed);
                continue;
            }
            let kept = Kept {
                name: Name::of(name),
                column: Column::default(),
                built: 0,
                is_complete: false,
                is_read: AtomicBool::new(true),
            };
            if self.kept.len() < COLUMNS_MAX {
                self.kept.push(kept);
            } else {
                let at = self.least_read();
                self.kept[at] = kept;
            }
        }
    }

    /// The next one that was not read since the last search (the clock algorithm).
    fn least_read(&mut self) -> usize {
        loop {
            self.hand = (self.hand + 1) % self.kept.len();
            if !self.kept[self.hand].is_read.swap(false, Ordering::Relaxed) {
                return self.hand;
            }
        }
    }

    /// A column with all items in it.
    pub fn get(&self, name: ColumnName<'_>) -> Option<&Column> {
        let kept = self.kept.iter().find(|kept| kept.name.is(name))?;
        if !kept.is_read.load(Ordering::Relaxed) {
            kept.is_read.store(true, Ordering::Relaxed);
        }
        kept.is_complete.then_some(&kept.column)
    }

    pub fn are_complete(&self) -> bool {
        self.kept.iter().all(|kept| kept.is_complete)
    }

    /// Takes up to `items_max` more items into one column that is not complete. `scope`
    /// gives those of the `index_count` items that exist.
    pub fn build<S: Scope>(
        &mut self,
        items_max: ItemIndex,
        index_count: ItemIndex,
        scope: impl Fn(ItemIndex) -> Option<S>,
    ) {
        let Some(kept) = self.kept.iter_mut().find(|kept| !kept.is_complete) else {
            return;
        };
        let end = kept.built.saturating_add(items_max).min(index_count);
        for index in kept.built..end {
            if let Some(scope) = scope(index) {
                kept.column.insert(index, &kept.name.value(&scope));
            }
        }
        kept.built = end;
        kept.is_complete = end == index_count;
    }

    /// An item came, changed or went.
    pub fn update(
        &mut self,
        index: ItemIndex,
        before: Option<&impl Scope>,
        now: Option<&impl Scope>,
    ) {
        for kept in &mut self.kept {
            if !kept.is_complete && index >= kept.built {
                continue;
            }
            let before = before.map_or(Value::Missing, |scope| kept.name.value(scope));
            let now = now.map_or(Value::Missing, |scope| kept.name.value(scope));
            if !is_same(&before, &now) {
                kept.column.remove(index, &before);
                kept.column.insert(index, &now);
            }
        }
    }
}

/// Whether two values are known to be the same, of the same kind too.
fn is_same(a: &Value<'_>, b: &Value<'_>) -> bool {
    match (a, b) {
        (Value::Missing, Value::Missing) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) | (Value::Time(a), Value::Time(b)) => a == b,
        (Value::Number(a), Value::Number(b)) => a.to_bits() == b.to_bits(),
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::Texts(a), Value::Texts(b)) => a == b,
        _ => false,
    }
}
