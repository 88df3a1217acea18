//! The generated trait, each method handed to its use case. No rule lives here.

mod raw;

use attune_api::catalog::v1::{
    BatchGetItemsRequest, BatchGetItemsResponse, BatchUpsertItemsRequest, BatchUpsertItemsResponse,
    CreateItemRequest, CreateItemTypeRequest, DeleteItemRequest, DeleteItemTypeRequest,
    GetItemRequest, GetItemTypeRequest, Item, ItemType, ListItemTypesRequest,
    ListItemTypesResponse, ListItemsRequest, ListItemsResponse, UpdateItemRequest,
    UpdateItemTypeRequest, catalog_service_server::CatalogService,
};
use attune_rpc::{Caller, Workspace};
use prost::Message;
use tonic::{Request, Response, Status};

use crate::{Catalog, Error};

pub(crate) use raw::server;

/// Runs a use case for the caller of a request.
async fn answer<M, T, F>(
    request: Request<M>,
    use_case: impl FnOnce(Workspace, M) -> F,
) -> Result<Response<T>, Status>
where
    F: Future<Output = Result<T, Error>>,
{
    let caller = Caller::of(&request)?;
    let result = use_case(caller.workspace.clone(), request.into_inner()).await;
    result
        .map(Response::new)
        .map_err(|error| error.into_status(caller.request_id.as_str()))
}

#[tonic::async_trait]
impl CatalogService for Catalog {
    async fn create_item_type(
        &self,
        request: Request<CreateItemTypeRequest>,
    ) -> Result<Response<ItemType>, Status> {
        answer(request, async |w, m| self.create_item_type(&w, m).await).await
    }

    async fn get_item_type(
        &self,
        request: Request<GetItemTypeRequest>,
    ) -> Result<Response<ItemType>, Status> {
        answer(request, async |w, m| self.get_item_type(&w, m).await).await
    }

    async fn list_item_types(
        &self,
        request: Request<ListItemTypesRequest>,
    ) -> Result<Response<ListItemTypesResponse>, Status> {
        answer(request, async |w, m| self.list_item_types(&w, m).await).await
    }

    async fn update_item_type(
        &self,
        request: Request<UpdateItemTypeRequest>,
    ) -> Result<Response<ItemType>, Status> {
        answer(request, async |w, m| self.update_item_type(&w, m).await).await
    }

    async fn delete_item_type(
        &self,
        request: Request<DeleteItemTypeRequest>,
    ) -> Result<Response<()>, Status> {
        answer(request, async |w, m| self.delete_item_type(&w, m).await).await
    }

    async fn create_item(
        &self,
        request: Request<CreateItemRequest>,
    ) -> Result<Response<Item>, Status> {
        answer(request, async |w, m| self.create_item(&w, m).await).await
    }

    async fn get_item(&self, request: Request<GetItemRequest>) -> Result<Response<Item>, Status> {
        answer(request, async |w, m| self.get_item(&w, m).await).await
    }

    async fn list_items(
        &self,
        request: Request<ListItemsRequest>,
    ) -> Result<Response<ListItemsResponse>, Status> {
        answer(request, async |w, m| self.list_items(&w, m).await).await
    }

    async fn update_item(
        &self,
        request: Request<UpdateItemRequest>,
    ) -> Result<Response<Item>, Status> {
        answer(request, async |w, m| self.update_item(&w, m).await).await
    }

    async fn delete_item(
        &self,
        request: Request<DeleteItemRequest>,
    ) -> Result<Response<()>, Status> {
        answer(request, async |w, m| self.delete_item(&w, m).await).await
    }

    async fn batch_upsert_items(
        &self,
        request: Request<BatchUpsertItemsRequest>,
    ) -> Result<Response<BatchUpsertItemsResponse>, Status> {
        answer(request, async |w, m| self.batch_upsert(&w, m).await).await
    }

    /// Served encoded by [`raw`]; this is for those who hold the trait itself.
    async fn batch_get_items(
        &self,
        request: Request<BatchGetItemsRequest>,
    ) -> Result<Response<BatchGetItemsResponse>, Status> {
        answer(request, async |w, m| {
            let found = self.batch_get(&w, m).await?;
            let items: Result<Vec<_>, _> = found.items.into_iter().map(Item::decode).collect();
            Ok(BatchGetItemsResponse {
                items: items?,
                missing_item_ids: found.missing_item_ids,
            })
        })
        .await
    }
}
