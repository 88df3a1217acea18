//! The values that all items have under one name, by value: a dictionary of texts, of
//! list elements and of numbers in their order, each with the items that have it. Takes
//! any value a scope can answer; what has no place in a dictionary is only noted.

use std::collections::{BTreeMap, HashMap};

use roaring::RoaringBitmap;

use super::{
    ordered::{Ordered, Real},
    posting::Posting,
};
use crate::value::Value;

/// Lists longer than this are judged as a whole, like maps: each element of one costs
/// an entry, and judging a long list may end early where judging its elements does not.
const ELEMENTS_MAX: usize = 128;

/// One name's values.
#[derive(Debug, Default)]
pub struct Column {
    /// Items that have any value.
    pub(super) present: RoaringBitmap,
    pub(super) no: RoaringBitmap,
    pub(super) yes: RoaringBitmap,
    pub(super) integers: Ordered<i64>,
    pub(super) numbers: Ordered<Real>,
    pub(super) times: Ordered<i64>,
    pub(super) texts: BTreeMap<Box<str>, Posting>,
    /// Items that have a list of texts.
    pub(super) lists: RoaringBitmap,
    /// Texts that are in lists. Owned strings, since a list of one is judged in place.
    pub(super) elements: HashMap<String, Posting>,
    /// Items with a value that is none of these.
    pub(super) others: RoaringBitmap,
}

impl Column {
    /// Takes in the value of an item that has none here. A missing one is none.
    pub fn insert(&mut self, item: u32, value: &Value<'_>) {
        if value.is_missing() {
            return;
        }
        self.present.insert(item);
        match value {
            Value::Bool(false) => drop(self.no.insert(item)),
            Value::Bool(true) => drop(self.yes.insert(item)),
            Value::Int(n) => self.integers.insert(*n, item),
            Value::Time(ms) => self.times.insert(*ms, item),
            Value::Text(text) => match self.texts.get_mut(text.as_ref()) {
                Some(posting) => posting.insert(item),
                None => drop(self.texts.insert(text.as_ref().into(), Posting::One(item))),
            },
            Value::Texts(texts) if texts.len() <= ELEMENTS_MAX => {
                self.lists.insert(item);
                for text in *texts {
                    match self.elements.get_mut(text) {
                        Some(posting) => posting.insert(item),
                        None => drop(self.elements.insert(text.clone(), Posting::One(item))),
                    }
                }
            }
            _ => match real(value) {
                Some(number) => self.numbers.insert(number, item),
                None => drop(self.others.insert(item)),
            },
        }
    }

    /// Forgets the value of an item, which is the one that was taken in.
    pub fn remove(&mut self, item: u32, value: &Value<'_>) {
        if value.is_missing() {
            return;
        }
        self.present.remove(item);
        match value {
            Value::Bool(false) => drop(self.no.remove(item)),
            Value::Bool(true) => drop(self.yes.remove(item)),
            Value::Int(n) => self.integers.remove(*n, item),
            Value::Time(ms) => self.times.remove(*ms, item),
            Value::Text(text) => {
                let posting = self.texts.get_mut(text.as_ref());
                if posting.is_some_and(|posting| posting.remove(item)) {
                    self.texts.remove(text.as_ref());
                }
            }
            Value::Texts(texts) if texts.len() <= ELEMENTS_MAX => {
                self.lists.remove(item);
                for text in *texts {
                    let posting = self.elements.get_mut(text);
                    if posting.is_some_and(|posting| posting.remove(item)) {
                        self.elements.remove(text);
                    }
                }
            }
            _ => match real(value) {
                Some(number) => self.numbers.remove(number, item),
                None => drop(self.others.remove(item)),
            },
        }
    }

    /// Distinct values that are no lists, at most.
    pub(super) fn distinct_max(&self) -> u64 {
        let ordered = self.integers.members().len()
            + self.numbers.members().len()
            + self.times.members().len();
        2 + ordered + self.texts.len() as u64
    }
}

fn real(value: &Value<'_>) -> Option<Real> {
    match value {
        Value::Number(n) => Real::new(*n),
        _ => None,
    }
}
