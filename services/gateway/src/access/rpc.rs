//! The generated trait of `AccessService` onto its use cases.

use attune_api::gateway::v1::{
    ApiKey, CreateApiKeyRequest, CreateWorkspaceRequest, CreateWorkspaceResponse,
    DeleteApiKeyRequest, ListApiKeysRequest, ListApiKeysResponse, ListWorkspacesRequest,
    ListWorkspacesResponse, access_service_server::AccessService,
};
use tonic::{Request, Response, Status};

use super::Access;
use crate::door::{answer, principal_of};

#[tonic::async_trait]
impl AccessService for Access {
    async fn create_api_key(
        &self,
        request: Request<CreateApiKeyRequest>,
    ) -> Result<Response<ApiKey>, Status> {
        let (who, request) = principal_of(request)?;
        answer(&who.caller, self.create_key(&who.principal, request).await)
    }

    async fn list_api_keys(
        &self,
        request: Request<ListApiKeysRequest>,
    ) -> Result<Response<ListApiKeysResponse>, Status> {
        let (who, request) = principal_of(request)?;
        answer(&who.caller, self.list_keys(&who.principal, request).await)
    }

    async fn delete_api_key(
        &self,
        request: Request<DeleteApiKeyRequest>,
    ) -> Result<Response<()>, Status> {
        let (who, request) = principal_of(request)?;
        answer(&who.caller, self.delete_key(&who.principal, request).await)
    }

    async fn create_workspace(
        &self,
        request: Request<CreateWorkspaceRequest>,
    ) -> Result<Response<CreateWorkspaceResponse>, Status> {
        let (who, request) = principal_of(request)?;
        answer(
            &who.caller,
            self.create_workspace(&who.principal, request).await,
        )
    }

    async fn list_workspaces(
        &self,
        request: Request<ListWorkspacesRequest>,
    ) -> Result<Response<ListWorkspacesResponse>, Status> {
        let (who, request) = principal_of(request)?;
        answer(
            &who.caller,
            self.list_workspaces(&who.principal, request).await,
        )
    }
}
