//! Editing item types. Refuses to take from items what they use.

use std::sync::Arc;

use attune_api::catalog::v1::{
    CreateItemTypeRequest, DeleteItemTypeRequest, GetItemTypeRequest, ItemType,
    ListItemTypesRequest, ListItemTypesResponse, UpdateItemTypeRequest,
};
use attune_errors::Fault;
use attune_rpc::Workspace;
use attune_storage::{
    Database, Tx,
    resources::{self, Missing, PageRequest, Resource, Table},
};

use crate::{
    Catalog, Error, Memory, convert,
    domain::{item_type::taken_away, usage::ITSELF},
    service::publish::{TYPE_KEY_PREFIX, Teller},
    store,
};

/// The table of item types, with what this service asks of each change.
pub(crate) fn table(database: &Database, memory: &Arc<Memory>) -> Table<ItemType> {
    let memory = Arc::clone(memory);
    Table::<ItemType>::builder(database)
        .check(|tx, change| Box::pin(check(tx, change)))
        .committed(move |change| {
            let Some(named) = change.after.as_ref().or(change.before.as_ref()) else {
                return;
            };
            let id = named.id();
            memory
                .types
                .put(&change.workspace, id, change.after.clone());
            let key = format!("{TYPE_KEY_PREFIX}{id}");
            memory.own_writes.committed(&change.workspace, &key);
        })
        .build()
}

async fn check(tx: &mut Tx, change: &resources::Change<ItemType>) -> Result<(), resources::Error> {
    if let Some(after) = &change.after {
        convert::item_type::check(after)?;
    }
    store::take_turn(tx).await?;
    let workspace = &change.workspace;
    if let Some(before) = &change.before {
        let id = before.id();
        let used = store::usage(tx, workspace, id).await?;
        let taken: Vec<&str> = match &change.after {
            None => vec![ITSELF],
            Some(after) => taken_away(before, after),
        };
        let in_use = taken
            .into_iter()
            .find_map(|name| Some((name, *used.get(name)?)));
        match in_use {
            Some((ITSELF, items)) => {
                return Err(Fault::in_use("item_type", id, format!("{items} items")).into());
            }
            Some((name, items)) => {
                let name = format!("{id}.{name}");
                return Err(Fault::in_use("characteristic", name, format!("{items} items")).into());
            }
            None => {}
        }
    }
    let named = change.after.as_ref().or(change.before.as_ref());
    let id = named.map_or("", |item_type| item_type.id());
    let teller = Teller::current(Arc::clone(workspace));
    teller.type_changed(tx, id, change.after.clone()).await?;
    Ok(())
}

impl Catalog {
    pub(crate) async fn create_item_type(
        &self,
        workspace: &Workspace,
        request: CreateItemTypeRequest,
    ) -> Result<ItemType, Error> {
        let mut item_type = convert::body("item_type", request.item_type)?;
        let body_id = &mut item_type.item_type_id;
        convert::identify("item_type_id", request.item_type_id, body_id)?;
        convert::item_type::check(&item_type)?;
        let workspace = workspace.as_str().into();
        Ok(self.0.item_types.create(&workspace, item_type).await?)
    }

    pub(crate) async fn get_item_type(
        &self,
        workspace: &Workspace,
        request: GetItemTypeRequest,
    ) -> Result<ItemType, Error> {
        let id = &request.item_type_id;
        Ok(self.0.item_types.get(workspace.as_str(), id).await?)
    }

    pub(crate) async fn list_item_types(
        &self,
        workspace: &Workspace,
        request: ListItemTypesRequest,
    ) -> Result<ListItemTypesResponse, Error> {
        let page = PageRequest {
            page_size: request.page_size,
            page_token: request.page_token,
        };
        let page = self.0.item_types.list(workspace.as_str(), &page).await?;
        Ok(ListItemTypesResponse {
            item_types: page.resources,
            next_page_token: page.next_page_token,
        })
    }

    pub(crate) async fn update_item_type(
        &self,
        workspace: &Workspace,
        request: UpdateItemTypeRequest,
    ) -> Result<ItemType, Error> {
        let item_type = convert::body("item_type", request.item_type)?;
        let missing = Missing::allowed(request.allow_missing);
        let workspace = workspace.as_str().into();
        let table = &self.0.item_types;
        let updated = table.update(&workspace, item_type, request.update_mask, missing);
        Ok(updated.await?)
    }

    pub(crate) async fn delete_item_type(
        &self,
        workspace: &Workspace,
        request: DeleteItemTypeRequest,
    ) -> Result<(), Error> {
        let workspace = workspace.as_str().into();
        let (id, etag) = (&request.item_type_id, &request.etag);
        self.0.item_types.delete(&workspace, id, etag).await?;
        Ok(())
    }
}
