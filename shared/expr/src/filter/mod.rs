//! One expression over many items at once: a filter as algebra over sets of items
//! instead of a judgement of each. Columns answer what they can, exactly as judging
//! would; what they cannot is judged item by item, among the few that are left. Knows
//! nothing of who holds the items.

mod column;
mod gather;
mod ordered;
mod plan;
mod posting;
mod select;
mod selection;
mod test;

use roaring::RoaringBitmap;

pub use column::Column;

use crate::{Expression, node::Load, scope::Scope, vocabulary::ItemField};

/// What an expression reads of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnName<'a> {
    Field(ItemField),
    Characteristic(&'a str),
}

impl<'a> ColumnName<'a> {
    fn of(load: &'a Load) -> Option<Self> {
        match load {
            Load::Item(field) => Some(Self::Field(*field)),
            Load::Characteristic(name) => Some(Self::Characteristic(name)),
            _ => None,
        }
    }
}

/// The seam to whoever holds the items, each under a number of its own.
pub trait Columns {
    type Item<'a>: Scope
    where
        Self: 'a;

    /// The items that exist.
    fn universe(&self) -> &RoaringBitmap;

    /// The values of all items that exist under this name; None where no column is kept.
    fn column(&self, name: ColumnName<'_>) -> Option<&Column>;

    /// The number of the item with this id, which needs no column.
    fn index_of(&self, item_id: &str) -> Option<u32>;

    /// For what has to be judged one by one.
    fn item(&self, index: u32) -> Option<Self::Item<'_>>;
}

/// Nobody in no situation: the subject of an expression that names items only.
#[derive(Debug, Clone, Copy)]
pub struct NoSubject;

impl Scope for NoSubject {}

impl Expression {
    /// The items for which it holds for this subject: those that
    /// [`matches`](Self::matches) would find one by one. What it says of the subject
    /// alone is worked out once.
    pub fn select<C: Columns>(&self, columns: &C, subject: &dyn Scope) -> RoaringBitmap {
        select::select(&self.0.root, columns, subject)
    }

    /// What it reads of items and a column would help with, each once.
    pub fn columns(&self) -> Vec<ColumnName<'_>> {
        let mut names = Vec::new();
        plan::columns_of(&self.0.root, &mut |name| {
            // Ids are looked up, and few expressions ask for anything but equality.
            if name != ColumnName::Field(ItemField::Id) && !names.contains(&name) {
                names.push(name);
            }
        });
        names
    }
}
