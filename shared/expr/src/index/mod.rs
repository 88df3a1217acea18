//! The predicate index: normal form, attributes, and the tree of bitmaps that finds the
//! expressions a subject satisfies without judging the others.

pub(crate) mod accepts;
mod atoms;
mod block;
mod column;
mod cuts;
mod division;
mod groups;
pub(crate) mod ledger;
pub(crate) mod names;
pub(crate) mod normal;
mod satisfiability;
pub(crate) mod subject;
pub(crate) mod tree;
