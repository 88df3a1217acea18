//! What a workspace declares of traits and events, and how good what arrives is.

use std::sync::Arc;

use attune_api::profile::v1::{
    CreateEventTypeRequest, CreateTraitRequest, DeleteEventTypeRequest, DeleteTraitRequest,
    EventType, GetDeclarationsRequest, GetDeclarationsResponse, GetEventTypeRequest,
    GetQualityReportRequest, GetTraitRequest, ListEventTypesRequest, ListEventTypesResponse,
    ListTraitHistoryRequest, ListTraitHistoryResponse, ListTraitsRequest, ListTraitsResponse,
    QualityReport, Trait, UpdateEventTypeRequest, UpdateTraitRequest,
    schema_service_server::SchemaService,
};
use attune_rpc::Caller;
use tonic::{Request, Response, Status};

use super::{Rpc, answer};
use crate::{
    Error, convert,
    service::{Service, audit::Access},
};

/// Runs a use case for the workspace of a request.
async fn answered<M, T, F>(
    rpc: &Rpc,
    request: Request<M>,
    use_case: impl FnOnce(Arc<Service>, Arc<str>, M) -> F,
) -> Result<Response<T>, Status>
where
    F: Future<Output = Result<T, Error>>,
{
    let caller = Caller::of(&request)?;
    let workspace = Arc::from(caller.workspace.as_str());
    let result = use_case(rpc.0.clone(), workspace, request.into_inner()).await;
    answer(&caller, result)
}

#[tonic::async_trait]
impl SchemaService for Rpc {
    async fn create_trait(
        &self,
        request: Request<CreateTraitRequest>,
    ) -> Result<Response<Trait>, Status> {
        answered(self, request, async |s, w, m| s.create_trait(w, m).await).await
    }

    async fn get_trait(
        &self,
        request: Request<GetTraitRequest>,
    ) -> Result<Response<Trait>, Status> {
        answered(self, request, async |s, w, m| {
            s.get_trait(&w, &m.trait_id).await
        })
        .await
    }

    async fn list_traits(
        &self,
        request: Request<ListTraitsRequest>,
    ) -> Result<Response<ListTraitsResponse>, Status> {
        answered(self, request, async |s, w, m| s.list_traits(&w, m).await).await
    }

    async fn update_trait(
        &self,
        request: Request<UpdateTraitRequest>,
    ) -> Result<Response<Trait>, Status> {
        answered(self, request, async |s, w, m| s.update_trait(w, m).await).await
    }

    async fn delete_trait(
        &self,
        request: Request<DeleteTraitRequest>,
    ) -> Result<Response<()>, Status> {
        answered(self, request, async |s, w, m| s.delete_trait(w, m).await).await
    }

    async fn create_event_type(
        &self,
        request: Request<CreateEventTypeRequest>,
    ) -> Result<Response<EventType>, Status> {
        answered(self, request, async |s, w, m| {
            s.create_event_type(w, m).await
        })
        .await
    }

    async fn get_event_type(
        &self,
        request: Request<GetEventTypeRequest>,
    ) -> Result<Response<EventType>, Status> {
        answered(self, request, async |s, w, m| {
            s.get_event_type(&w, &m.event_type_id).await
        })
        .await
    }

    async fn list_event_types(
        &self,
        request: Request<ListEventTypesRequest>,
    ) -> Result<Response<ListEventTypesResponse>, Status> {
        answered(self, request, async |s, w, m| {
            s.list_event_types(&w, m).await
        })
        .await
    }

    async fn update_event_type(
        &self,
        request: Request<UpdateEventTypeRequest>,
    ) -> Result<Response<EventType>, Status> {
        answered(self, request, async |s, w, m| {
            s.update_event_type(w, m).await
        })
        .await
    }

    async fn delete_event_type(
        &self,
        request: Request<DeleteEventTypeRequest>,
    ) -> Result<Response<()>, Status> {
        answered(self, request, async |s, w, m| {
            s.delete_event_type(w, m).await
        })
        .await
    }

    async fn get_declarations(
        &self,
        request: Request<GetDeclarationsRequest>,
    ) -> Result<Response<GetDeclarationsResponse>, Status> {
        answered(self, request, async |s, w, m| {
            s.declarations(&w, m.revision).await
        })
        .await
    }

    async fn get_quality_report(
        &self,
        request: Request<GetQualityReportRequest>,
    ) -> Result<Response<QualityReport>, Status> {
        answered(self, request, async |s, w, _| s.quality_report(w).await).await
    }

    async fn list_trait_history(
        &self,
        request: Request<ListTraitHistoryRequest>,
    ) -> Result<Response<ListTraitHistoryResponse>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let asked = convert::trait_history(request.into_inner())?;
            let access = Access::of("ListTraitHistory", asked.profile_id).saying(&asked.trait_id);
            let workspace = caller.workspace.as_str();
            let listed = self.0.trait_history(workspace, asked).await?;
            self.seen(&caller, access).await?;
            Ok(listed)
        };
        answer(&caller, result.await)
    }
}
