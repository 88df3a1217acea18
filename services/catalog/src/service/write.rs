//! Writing items: checked against their types, compared with what is stored, stored
//! together with what the log tells of it. All of a batch, or none of it.

use std::{collections::HashMap, sync::Arc};

use attune_api::{
    catalog::v1::{
        BatchUpsertItemsRequest, BatchUpsertItemsResponse, CreateItemRequest, DeleteItemRequest,
        Item, ItemType, UpdateItemRequest,
    },
    time,
};
use attune_errors::Violations;
use attune_rpc::Workspace;
use attune_storage::{
    Tx,
    resources::{Table, etag_of, merge},
};
use bytes::Bytes;
use prost::Message;

use crate::{
    Catalog, Error, Memory, convert,
    domain::{
        item::{Change, Stored, revise},
        item_type::KnownTypes,
        usage::Usage,
    },
    service::publish::Teller,
    store::{self, ItemRow},
};

/// Times that a write is prepared anew because others changed what it depends on.
const ATTEMPTS_MAX: usize = 5;
/// From here on a batch is checked off the reactor.
const CHECK_INLINE_ITEMS_MAX: usize = 50;

/// Items to be stored, checked against types as they were.
struct Batch {
    teller: Teller,
    items: Vec<(Item, Expect)>,
    types: Arc<KnownTypes>,
}

/// What must be stored for a write to go ahead.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Expect {
    Anything,
    Nothing,
    Etag(String),
}

/// Why a batch was not stored.
enum Refused {
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
struct Written {
    item_id: String,
    change: Change,
    data: Bytes,
}

impl Catalog {
    pub(crate) async fn create_item(
        &self,
        workspace: &Workspace,
        request: CreateItemRequest,
    ) -> Result<Item, Error> {
        let mut item = convert::body("item", request.item)?;
        convert::identify("item_id", request.item_id, &mut item.item_id)?;
        self.put_one(workspace, item, Expect::Nothing)
            .await?
            .map_err(|refused| refused.into_error())
    }

    pub(crate) async fn update_item(
        &self,
        workspace: &Workspace,
        request: UpdateItemRequest,
    ) -> Result<Item, Error> {
        let sent = convert::body("item", request.item)?;
        for _ in 0..ATTEMPTS_MAX {
            let rows = vec![sent.item_id.clone()];
            // From the database, since memory may lag behind other processes.
            let stored = store::read(&self.0.database, workspace.as_str(), rows).await?;
            let (item, expect) = match stored.into_iter().next() {
                Some((_, data)) => {
                    let before = Item::decode(data)?;
                    if !sent.etag.is_empty() && sent.etag != before.etag {
                        return Err(Error::item_outdated(&sent.item_id));
                    }
                    let merged = merge(&before, &sent, request.update_mask.as_ref())?;
                    (merged, Expect::Etag(before.etag))
                }
                None if request.allow_missing && sent.etag.is_empty() => {
                    (sent.clone(), Expect::Nothing)
                }
                None => return Err(Error::item_not_found(&sent.item_id)),
            };
            match self.put_one(workspace, item, expect).await? {
                Ok(item) => return Ok(item),
                Err(Refused::Outdated(_) | Refused::Exists(_)) => {}
                Err(refused) => return Err(refused.into_error()),
            }
        }
        Err(Error::Contended)
    }

    pub(crate) async fn delete_item(
        &self,
        workspace: &Workspace,
        request: DeleteItemRequest,
    ) -> Result<(), Error> {
        let item_id = request.item_id.clone();
        let teller = Arc::new(Teller::current(workspace.as_str().into()));
        let (told, request) = (Arc::clone(&teller), Arc::new(request));
        let memory = Arc::clone(&self.0.memory);
        let deleted = self.0.database.write_then(
            move |tx: &mut Tx| {
                let (teller, request) = (Arc::clone(&teller), Arc::clone(&request));
                Box::pin(async move { delete(tx, &teller, &request).await })
            },
            move |()| {
                memory.items.put(&told.workspace, &item_id, None);
                memory.own_writes.committed(&told.workspace, &item_id);
                memory.metrics.deleted();
            },
        );
        deleted.await
    }

    pub(crate) async fn batch_upsert(
        &self,
        workspace: &Workspace,
        request: BatchUpsertItemsRequest,
    ) -> Result<BatchUpsertItemsResponse, Error> {
        let expect = |item: &Item| match item.etag.as_str() {
            "" => Expect::Anything,
            etag => Expect::Etag(etag.to_owned()),
        };
        let items = request.items;
        let expected = items.iter().map(expect).collect();
        let check = |items: &[Item], types: &KnownTypes| convert::item::check_batch(items, types);
        let written = self.put_all(workspace, items, expected, check).await?;
        let written = written.map_err(Refused::into_error)?;
        let count = |change| {
            let count = written.iter().filter(|w| w.change == change).count();
            i32::try_from(count).unwrap_or(i32::MAX)
        };
        Ok(BatchUpsertItemsResponse {
            created_count: count(Change::Created),
            updated_count: count(Change::Updated),
            unchanged_count: count(Change::Unchanged),
        })
    }

    async fn put_one(
        &self,
        workspace: &Workspace,
        item: Item,
        expect: Expect,
    ) -> Result<Result<Item, Refused>, Error> {
        let check = |items: &[Item], types: &KnownTypes| match items {
            [item] => convert::item::check_one(item, types),
            _ => Ok(()),
        };
        let written = self
            .put_all(workspace, vec![item], vec![expect], check)
            .await?;
        match written {
            Ok(written) => {
                let data = written.into_iter().next().map(|w| w.data);
                Ok(Ok(Item::decode(data.unwrap_or_default())?))
            }
            Err(refused) => Ok(Err(refused)),
        }
    }

    /// Checks and stores, anew if item types change meanwhile.
    async fn put_all(
        &self,
        workspace: &Workspace,
        items: Vec<Item>,
        expected: Vec<Expect>,
        check: impl Fn(&[Item], &KnownTypes) -> Result<(), Violations> + Copy + Send + 'static,
    ) -> Result<Result<Vec<Written>, Refused>, Error> {
        let teller = Teller::current(workspace.as_str().into());
        let mut items: Arc<[Item]> = items.into();
        let mut reloaded = false;
        for _ in 0..ATTEMPTS_MAX {
            let types = self.0.memory.types.of(workspace.as_str());
            let checked = checked(Arc::clone(&items), Arc::clone(&types), check).await?;
            if let Err(violations) = checked {
                // Another process may have added a type a moment ago.
                if !reloaded && self.0.database.is_shared() {
                    reloaded = true;
                    self.reload_types().await?;
                    continue;
                }
                return Err(violations.into());
            }
            let batch = Batch {
                teller: teller.clone(),
                items: items.iter().cloned().zip(expected.clone()).collect(),
                types,
            };
            match self.store(batch).await {
                Err(Refused::TypesChanged) => self.reload_types().await?,
                stored => return Ok(stored),
            }
            items = Arc::clone(&items);
        }
        Err(Error::Contended)
    }

    pub(crate) async fn reload_types(&self) -> Result<(), Error> {
        let all = self.0.item_types.load_all().await?;
        self.0.memory.types.replace(all);
        Ok(())
    }

    async fn store(&self, batch: Batch) -> Result<Vec<Written>, Refused> {
        let batch = Arc::new(batch);
        let (then, memory) = (Arc::clone(&batch), Arc::clone(&self.0.memory));
        let written = self.0.database.write_then(
            move |tx: &mut Tx| {
                let batch = Arc::clone(&batch);
                Box::pin(async move { put(tx, &batch).await })
            },
            move |written: &Vec<Written>| committed(&memory, &then.teller.workspace, written),
        );
        written.await
    }
}

impl Refused {
    fn into_error(self) -> Error {
        match self {
            Self::TypesChanged => Error::Contended,
            Self::Outdated(item_id) => Error::item_outdated(&item_id),
            Self::Exists(item_id) => Error::item_exists(&item_id),
            Self::Failed(error) => error,
        }
    }
}

async fn checked(
    items: Arc<[Item]>,
    types: Arc<KnownTypes>,
    check: impl Fn(&[Item], &KnownTypes) -> Result<(), Violations> + Send + 'static,
) -> Result<Result<(), Violations>, Error> {
    if items.len() <= CHECK_INLINE_ITEMS_MAX {
        return Ok(check(&items, &types));
    }
    Ok(tokio::task::spawn_blocking(move || check(&items, &types)).await?)
}

fn committed(memory: &Memory, workspace: &str, written: &[Written]) {
    let mut counts = [0; 3];
    for item in written {
        counts[item.change as usize] += 1;
        if item.change != Change::Unchanged {
            let data = Some(item.data.clone());
            memory.items.put(workspace, &item.item_id, data);
            memory.own_writes.committed(workspace, &item.item_id);
        }
    }
    for change in [Change::Created, Change::Updated, Change::Unchanged] {
        memory.metrics.written(change, counts[change as usize]);
    }
}

async fn delete(tx: &mut Tx, teller: &Teller, request: &DeleteItemRequest) -> Result<(), Error> {
    let workspace = &*teller.workspace;
    let item_id = &request.item_id;
    store::take_turn(tx).await?;
    let mut stored = store::stored(tx, workspace, vec![item_id.clone()]).await?;
    let Some((stored, data)) = stored.remove(item_id) else {
        return Err(Error::item_not_found(item_id));
    };
    if !request.etag.is_empty() && request.etag != stored.etag {
        return Err(Error::item_outdated(item_id));
    }
    let mut usage = Usage::default();
    usage.lost(&Item::decode(data)?);
    store::remove(tx, workspace, item_id).await?;
    store::add_usage(tx, workspace, usage.into_differences()).await?;
    teller.deleted(tx, item_id).await?;
    Ok(())
}

async fn put(tx: &mut Tx, batch: &Batch) -> Result<Vec<Written>, Refused> {
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
