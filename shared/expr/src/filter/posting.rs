//! The items that have one value. Most values of a catalog are had by one item or by
//! very many, so the few are kept without the weight of a bitmap.

use roaring::RoaringBitmap;

use super::{gather::Gather, selection::Selection};

/// More are kept as a bitmap.
const FEW_MAX: usize = 64;

#[derive(Debug, Clone)]
pub(super) enum Posting {
    One(u32),
    /// Sorted.
    Few(Vec<u32>),
    Many(RoaringBitmap),
}

impl Posting {
    pub fn insert(&mut self, item: u32) {
        match self {
            Self::One(held) if *held == item => {}
            Self::One(held) => {
                let (a, b) = (item.min(*held), item.max(*held));
                *self = Self::Few(vec![a, b]);
            }
            Self::Few(items) => {
                if let Err(at) = items.binary_search(&item) {
                    items.insert(at, item);
                }
                if items.len() > FEW_MAX {
                    *self = Self::Many(items.iter().copied().collect());
                }
            }
            Self::Many(items) => {
                items.insert(item);
            }
        }
    }

    /// True if nothing is left.
    pub fn remove(&mut self, item: u32) -> bool {
        match self {
            Self::One(held) => *held == item,
            Self::Few(items) => {
                if let Ok(at) = items.binary_search(&item) {
                    items.remove(at);
                }
                items.is_empty()
            }
            Self::Many(items) => {
                items.remove(item);
                items.is_empty()
            }
        }
    }

    pub fn gather(&self, into: &mut Gather) {
        match self {
            Self::One(item) => into.push(*item),
            Self::Few(items) => items.iter().for_each(|item| into.push(*item)),
            Self::Many(items) => into.extend(items),
        }
    }

    pub fn selection(&self) -> Selection<'_> {
        match self {
            Self::One(item) => Selection::from(RoaringBitmap::from([*item])),
            Self::Few(items) => Selection::from(items.iter().copied().collect::<RoaringBitmap>()),
            Self::Many(items) => Selection::from(items),
        }
    }
}
