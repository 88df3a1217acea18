//! The store of what people edit: placements, rules, templates. One table for all
//! kinds, protobuf inside, with the standard methods' semantics (etags, masks, pages).
//! Knows what a resource is; a service's own rules come in through `check`.

mod error;
mod kinds;
mod page;
mod table;
mod update;

use std::sync::Arc;

use attune_api::time;
use prost::Message;

pub use error::Error;
pub use page::{Page, PageRequest, token as page_token};
pub use table::{Table, TableBuilder};
pub use update::{etag_of, merge};

/// A message of the contract that people edit. `kinds` says which these are.
pub trait Resource: Message + Default + Clone + Send + Sync + 'static {
    /// The resource's name in answers and in the table: `placement`.
    const KIND: &'static str;
    /// The message's full name: `attune.rules.v1.Placement`.
    const FULL_NAME: &'static str;
    fn id(&self) -> &str;
    /// What the sender believes the stored etag to be; empty if it does not care.
    fn etag(&self) -> &str;
    /// Fills in what only the store knows; `None` clears it.
    fn stamp(&mut self, stamp: Option<Stamp>);
}

/// What the store adds to a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    pub etag: String,
    pub create_ms: i64,
    pub update_ms: i64,
}

/// `resource!(Placement, "placement", "attune.rules.v1.Placement", placement_id)` for
/// a message with the fields `etag`, `create_time` and `update_time`.
#[macro_export]
macro_rules! resource {
    ($message:ty, $kind:literal, $full_name:literal, $id:ident) => {
        impl $crate::resources::Resource for $message {
            const KIND: &'static str = $kind;
            const FULL_NAME: &'static str = $full_name;
            fn id(&self) -> &str {
                &self.$id
            }
            fn etag(&self) -> &str {
                &self.etag
            }
            fn stamp(&mut self, stamp: Option<$crate::resources::Stamp>) {
                let times = stamp.as_ref().map(|s| (s.create_ms, s.update_ms));
                self.create_time = times.map(|(ms, _)| $crate::resources::timestamp(ms));
                self.update_time = times.map(|(_, ms)| $crate::resources::timestamp(ms));
                self.etag = stamp.map(|s| s.etag).unwrap_or_default();
            }
        }
    };
}

#[doc(hidden)]
pub fn timestamp(ms: i64) -> prost_types::Timestamp {
    time::from_ms(ms)
}

/// A resource came to be, changed or went away.
#[derive(Debug, Clone)]
pub struct Change<R> {
    pub workspace: Arc<str>,
    /// None if it is new.
    pub before: Option<R>,
    /// None if it is deleted.
    pub after: Option<R>,
}

/// What an update does with a resource that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Reject,
    Create,
}

impl Missing {
    /// From a request's `allow_missing`.
    pub fn allowed(allow_missing: bool) -> Self {
        if allow_missing {
            Self::Create
        } else {
            Self::Reject
        }
    }
}

/// A resource without its stamp, as its bytes are stored, and the stamp.
pub(crate) struct Stored<R> {
    pub(crate) resource: R,
    pub(crate) stamp: Stamp,
}

impl<R: Resource> Stored<R> {
    fn stamped(&self) -> R {
        let mut resource = self.resource.clone();
        resource.stamp(Some(self.stamp.clone()));
        resource
    }
}
