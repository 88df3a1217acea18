//! Writing items: checked against their types, compared with what is stored, stored
//! together with what the log tells of it. All of a batch, or none of it.

use std::sync::Arc;

use attune_api::catalog::v1::{
    BatchUpsertItemsRequest, BatchUpsertItemsResponse, CreateItemRequest, DeleteItemRequest, Item,
    UpdateItemRequest,
};
use attune_errors::Violations;
use attune_rpc::Workspace;
use attune_storage::{Tx, resources::merge};
use prost::Message;

use crate::{
    Catalog, Error, Memory, convert,
    domain::{item::Change, item_type::KnownTypes, usage::Usage},
    service::{
        batch::{Batch, Expect, Refused, Written, put},
        publish::Teller,
    },
    store,
};

/// Times that a write is prepared anew because others changed what it depends on.
const ATTEMPTS_MAX: usize = 5;
/// From here on a batch is checked off the reactor.
const CHECK_INLINE_ITEMS_MAX: usize = 50;

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
            .map_err(Refused::into_error)
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
        let (id, item_id) = (request.item_id.clone(), request.item_id.clone());
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
        let deleted = deleted.await;
        if deleted.is_err() {
            // Where a connection breaks during a commit, it may have happened.
            let items = &self.0.memory.items;
            items.drop_item(workspace.as_str(), &id);
        }
        deleted
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
        let items: Arc<[Item]> = items.into();
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
        let (then, told) = (Arc::clone(&batch), Arc::clone(&batch));
        let memory = Arc::clone(&self.0.memory);
        let written = self.0.database.write_then(
            move |tx: &mut Tx| {
                let batch = Arc::clone(&batch);
                Box::pin(async move { put(tx, &batch).await })
            },
            move |written: &Vec<Written>| committed(&memory, &then.teller.workspace, written),
        );
        let written = written.await;
        if let Err(Refused::Failed(_)) = &written {
            // Where a connection breaks during a commit, it may have happened.
            for (item, _) in &told.items {
                let workspace = &told.teller.workspace;
                self.0.memory.items.drop_item(workspace, &item.item_id);
            }
        }
        written
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
