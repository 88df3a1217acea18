//! What a batch of items does inside its transaction: looks at what is stored, decides
//! what changes, stores that and tells the log. May run more than once.

use std::{collections::HashMap, sync::Arc};

use attune_api::{
    catalog::v1::{Item, ItemType},
    time,
};
use attune_storage::{
    Tx,
    resources::{Table, etag_of},
};
use bytes::Bytes;
use prost::Message;

use crate::{
    Error,
    domain::{
        item::{Change, Stored, revise},
        item_type::KnownTypes,
        usage::Usage,
    },
    service::publish::Teller,
    store::{self, ItemRow},
};

/// Items to be stored, checked against types as they were.
pub(crate) struct Batch {
    pub teller: Teller,
    pub items: Vec<(Item, Expect)>,
    pub types: Arc<KnownTypes>,
}

/// What must be stored for a write to go ahead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expect {
    Anything,
    Nothing,
    Etag(String),
}

/// Why a batch was not stored.
pub(crate) enum Refused {
    /// Item types are no longer those it was checked against.
    TypesChanged,
    /// Something else is stored than the write expects.
    Outdated(String),
    Exists(String),
    Failed(Error),
}

impl From<attune_storage::Error> for Refused {
    fn from(error: attune_storage::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// What became of one item.
pub(crate) struct Written {
    pub item_id: String,
    pub change: Change,
    /// As it is stored.
    pub data: Bytes,
}

impl Refused {
    pub fn into_error(self) -> Error {
        match self {
            Self::TypesChanged => Error::Contended,
            Self::Outdated(item_id) => Error::item_outdated(&item_id),
            Self::Exists(item_id) => Error::item_exists(&item_id),
            Self::Failed(error) => error,
        }
    }
}

/// Stores what changes and tells of it.
pub(crate) async fn put(tx: &mut Tx, batch: &Batch) -> Result<Vec<Written>, Refused> {
    let workspace = &*batch.teller.workspace;
    store::take_turn(tx).await?;
    expect_types(tx, batch).await?;
    let ids = batch.items.iter().map(|(item, _)| item.item_id.clone());
    let mut stored = store::stored(tx, workspace, ids.collect()).await?;
    let now_ms = time::now_ms();
    let mut usage = Usage::default();
    let mut rows = Vec::new();
    let mut written = Vec::with_capacity(batch.items.len());
    for (draft, expect) in &batch.items {
        let before = stored.remove(&draft.item_id);
        expect.check(&draft.item_id, before.as_ref().map(|(stored, _)| stored))?;
        let stored = before.as_ref().map(|(stored, _)| stored);
        let (item, change) = revise(draft, stored, now_ms, etag_of);
        let data = Bytes::from(item.encode_to_vec());
        written.push(Written {
            item_id: item.item_id.clone(),
            change,
            data: data.clone(),
        });
        if change == Change::Unchanged {
            continue;
        }
        let previous = before.map(|(_, data)| Item::decode(data)).transpose();
        let previous = previous.map_err(|error| Refused::Failed(error.into()))?;
        usage.gained(&item);
        previous.iter().for_each(|previous| usage.lost(previous));
        rows.push(row(&item, data));
        batch.teller.upserted(tx, item, previous).await?;
    }
    if !rows.is_empty() {
        store::put(tx, workspace, rows).await?;
        store::add_usage(tx, workspace, usage.into_differences()).await?;
    }
    Ok(written)
}

/// The types of the batch's items must still be those that they were checked against.
async fn expect_types(tx: &mut Tx, batch: &Batch) -> Result<(), Refused> {
    let etags: HashMap<&str, &str> = batch
        .items
        .iter()
        .filter_map(|(item, _)| batch.types.get(&item.item_type))
        .map(|known| {
            let item_type = &known.item_type;
            (item_type.item_type_id.as_str(), item_type.etag.as_str())
        })
        .collect();
    let ids = etags.keys().map(ToString::to_string).collect();
    let workspace = &batch.teller.workspace;
    let now = Table::<ItemType>::etags_within(tx, workspace, ids).await;
    let now = now.map_err(|error| Refused::Failed(error.into()))?;
    let same = |(id, etag): (&&str, &&str)| now.get(*id).is_some_and(|now| now == etag);
    if etags.iter().all(same) {
        Ok(())
    } else {
        Err(Refused::TypesChanged)
    }
}

impl Expect {
    fn check(&self, item_id: &str, stored: Option<&Stored>) -> Result<(), Refused> {
        match (self, stored) {
            (Self::Anything, _) | (Self::Nothing, None) => Ok(()),
            (Self::Nothing, Some(_)) => Err(Refused::Exists(item_id.to_owned())),
            (Self::Etag(etag), Some(stored)) if *etag == stored.etag => Ok(()),
            (Self::Etag(_), _) => Err(Refused::Outdated(item_id.to_owned())),
        }
    }
}

fn row(item: &Item, data: Bytes) -> ItemRow {
    let ms = |time: &Option<prost_types::Timestamp>| time.as_ref().map_or(0, time::to_ms);
    ItemRow {
        item_id: item.item_id.clone(),
        item_type: item.item_type.clone(),
        state: item.state,
        etag: item.etag.clone(),
        data,
        create_ms: ms(&item.create_time),
        update_ms: ms(&item.update_time),
    }
}
