//! The catalog's ideas: types and what they ask of items, what a write makes of an
//! item, what is in use. Pure and synchronous: no tonic, sqlx or tokio.

pub(crate) mod item;
pub(crate) mod item_type;
pub(crate) mod usage;
