//! People as what is derived of them sees them: a record that changes as it is derived,
//! over a history that does not.

use std::{collections::BTreeSet, sync::Arc};

use attune_expr::{Aggregate, Scope};
use rustc_hash::FxHashMap;

use super::super::Shared;
use crate::{
    Error,
    domain::{
        ProfileId, Record,
        derive::Person,
        purposes::{PurposeSet, Purposes},
        scope::{History, PersonScope},
    },
    store::timeline,
};

/// Somebody, without the record.
pub struct Known<'a> {
    pub key: String,
    pub history: &'a History,
    pub purposes: &'a Purposes,
    /// What the person's data may be used for.
    pub allowed: PurposeSet,
    pub now_ms: i64,
}

impl Person for Known<'_> {
    fn show<T>(&self, record: &Record, see: impl FnOnce(&dyn Scope) -> T) -> T {
        see(&PersonScope {
            key: &self.key,
            record,
            history: self.history,
            purposes: self.purposes,
            allowed: self.allowed,
            now_ms: self.now_ms,
        })
    }
}

/// Somebody of whom nothing is known.
pub struct Nobody<'a> {
    pub purposes: &'a Purposes,
    pub now_ms: i64,
}

impl Person for Nobody<'_> {
    fn show<T>(&self, record: &Record, see: impl FnOnce(&dyn Scope) -> T) -> T {
        let known = Known {
            key: String::new(),
            history: &History::default(),
            purposes: self.purposes,
            allowed: self.purposes.standing(record).allowed,
            now_ms: self.now_ms,
        };
        known.show(record, see)
    }
}

/// What some questions ask of the histories of some people, as it was committed last.
pub async fn look_up(
    shared: &Shared,
    workspace: &str,
    ids: &[ProfileId],
    aggregates: &[&Arc<Aggregate>],
) -> Result<FxHashMap<ProfileId, History>, Error> {
    let Shared {
        database, codec, ..
    } = shared;
    let types: BTreeSet<&str> = aggregates.iter().flat_map(|a| a.event_types()).collect();
    let types = types.into_iter().map(str::to_owned).collect();
    let read = timeline::of_types(database, codec, workspace, ids, types).await?;
    let mut histories: FxHashMap<ProfileId, History> = FxHashMap::default();
    for (id, event) in read {
        histories.entry(id).or_default().events.push(event);
    }
    Ok(histories)
}
