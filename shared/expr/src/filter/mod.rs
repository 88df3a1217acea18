//! One expression over many items at once: a filter as algebra over sets of items
//! instead of a judgement of each. Columns answer what they can, exactly as judging
//! would; what they cannot is judged item by item, among the few that are left. Knows
//! nothing of who holds the items.

mod column;
mod compare;
mod gather;
mod ordered;
mod plan;
mod posting;
mod select;
mod selection;
mod test;

use prost::Message;
use roaring::RoaringBitmap;

pub use column::Column;

use crate::{
    Expression, eval,
    node::{Load, Node},
    scope::Scope,
    value::Value,
    vocabulary::ItemField,
};

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

/// How much an expression asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Comparisons and calls.
    pub conditions: usize,
    /// Values written out.
    pub values: usize,
}

/// Nobody in no situation: the subject of an expression that names items only.
#[derive(Debug, Clone, Copy)]
pub struct NoSubject;

impl Scope for NoSubject {}

impl Expression {
    /// The items for which it holds for this subject: those that
    /// [`matches`](Self::matches) would find one by one, where none of them is beyond
    /// what judging may cost. What it says of the subject alone is worked out once.
    pub fn select<C: Columns>(&self, columns: &C, subject: &dyn Scope) -> RoaringBitmap {
        let found = self.select_within(columns, subject, u64::MAX);
        found.unwrap_or_default()
    }

    /// As [`select`](Self::select), unless that could cost more than `work_max`: about as
    /// many nanoseconds, told from the columns before anything is done.
    pub fn select_within<C: Columns>(
        &self,
        columns: &C,
        subject: &dyn Scope,
        work_max: u64,
    ) -> Option<RoaringBitmap> {
        select::select(&self.0.root, columns, subject, work_max)
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

    /// How much it asks, for whoever bounds what others may ask.
    pub fn size(&self) -> Size {
        let mut size = Size::default();
        self.0.root.walk(&mut |node| match node {
            Node::Literal(_) => size.values += 1,
            Node::Has(_)
            | Node::Compare(..)
            | Node::In(..)
            | Node::Matches(..)
            | Node::Quantify(..)
            | Node::Call(..) => size.conditions += 1,
            _ => {}
        });
        size
    }

    /// All that it depends on of a subject, spelt out: two subjects for whom this is the
    /// same have the same items.
    pub fn subject_values(&self, subject: &dyn Scope) -> Vec<u8> {
        let mut spelling = Vec::new();
        plan::subject_parts(&self.0.root, &mut |part| {
            spell(&eval::value(part, subject), &mut spelling);
        });
        spelling
    }
}

/// Appends what no other value begins with.
fn spell(value: &Value<'_>, to: &mut Vec<u8>) {
    let mut put = |kind: u8, payload: &[u8]| {
        to.push(kind);
        to.extend_from_slice(&(payload.len() as u64).to_le_bytes());
        to.extend_from_slice(payload);
    };
    match value {
        Value::Missing => put(0, &[]),
        Value::Bool(held) => put(1, &[u8::from(*held)]),
        Value::Int(n) => put(2, &n.to_le_bytes()),
        Value::Number(n) => put(3, &n.to_bits().to_le_bytes()),
        Value::Text(text) => put(4, text.as_bytes()),
        Value::Time(ms) => put(5, &ms.to_le_bytes()),
        Value::Duration(ms) => put(6, &ms.to_le_bytes()),
        Value::Null => put(9, &[]),
        Value::Uint(n) => put(10, &n.to_le_bytes()),
        Value::Bytes(bytes) => put(11, bytes),
        Value::Version(version) => put(12, version.to_string().as_bytes()),
        Value::Type(name) => put(13, name.name().as_bytes()),
        Value::Map(entries) => {
            put(14, &(entries.len() as u64).to_le_bytes());
            for (key, value) in entries.iter() {
                spell(key, to);
                spell(value, to);
            }
        }
        // Fields are kept in the order of their names.
        Value::Struct(fields) => put(7, &fields.encode_to_vec()),
        Value::Texts(_) | Value::Protos(_) | Value::List(_) => {
            let elements = value.elements().unwrap_or_default();
            put(8, &(elements.len() as u64).to_le_bytes());
            elements.iter().for_each(|element| spell(element, to));
        }
    }
}
