//! Segments and their members.

use attune_api::profile::v1::{
    ChangeSegmentMembersRequest, ChangeSegmentMembersResponse, CreateSegmentRequest,
    DeleteSegmentRequest, EstimateSegmentRequest, EstimateSegmentResponse, GetSegmentRequest,
    ListSegmentMembersRequest, ListSegmentMembersResponse, ListSegmentSizesRequest,
    ListSegmentSizesResponse, ListSegmentsRequest, ListSegmentsResponse, Segment, SegmentMember,
    StreamSegmentMembersRequest, UpdateSegmentRequest, segment_service_server::SegmentService,
};
use attune_rpc::Caller;
use attune_storage::resources::PageRequest;
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use tonic::{Request, Response, Status};

use super::{Rpc, answer, traceparent};
use crate::{
    convert::segments as convert,
    service::{audit::Access, members::Listing},
};

#[tonic::async_trait]
impl SegmentService for Rpc {
    async fn create_segment(
        &self,
        request: Request<CreateSegmentRequest>,
    ) -> Result<Response<Segment>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let segment = convert::create(request.into_inner())?;
            let workspace = caller.workspace.as_str().into();
            self.0.create_segment(&workspace, segment).await
        };
        answer(&caller, result.await)
    }

    async fn get_segment(
        &self,
        request: Request<GetSegmentRequest>,
    ) -> Result<Response<Segment>, Status> {
        let caller = Caller::of(&request)?;
        let id = &request.get_ref().segment_id;
        let segment = self.0.segment(caller.workspace.as_str(), id).await;
        answer(&caller, segment)
    }

    async fn list_segments(
        &self,
        request: Request<ListSegmentsRequest>,
    ) -> Result<Response<ListSegmentsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let page = PageRequest {
            page_size: request.page_size,
            page_token: request.page_token,
        };
        let segments = self.0.list_segments(caller.workspace.as_str(), &page).await;
        answer(&caller, segments)
    }

    async fn update_segment(
        &self,
        request: Request<UpdateSegmentRequest>,
    ) -> Result<Response<Segment>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let (segment, mask, missing) = convert::update(request.into_inner())?;
            let workspace = caller.workspace.as_str().into();
            let update = self.0.update_segment(&workspace, segment, mask, missing);
            update.await
        };
        answer(&caller, result.await)
    }

    async fn delete_segment(
        &self,
        request: Request<DeleteSegmentRequest>,
    ) -> Result<Response<()>, Status> {
        let caller = Caller::of(&request)?;
        let DeleteSegmentRequest { segment_id, etag } = request.into_inner();
        let workspace = caller.workspace.as_str().into();
        let deleted = self.0.delete_segment(&workspace, segment_id, etag).await;
        answer(&caller, deleted)
    }

    async fn list_segment_members(
        &self,
        request: Request<ListSegmentMembersRequest>,
    ) -> Result<Response<ListSegmentMembersResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let page = PageRequest {
            page_size: request.page_size,
            page_token: request.page_token,
        };
        let result = async {
            let (workspace, id) = (caller.workspace.as_str(), &request.segment_id);
            let listed = self.0.members(workspace, id, &page).await?;
            let count = listed.members.len();
            let access = Access::of_members("ListSegmentMembers", id, count);
            self.seen(&caller, access).await?;
            Ok(listed)
        };
        answer(&caller, result.await)
    }

    type StreamSegmentMembersStream = BoxStream<'static, Result<SegmentMember, Status>>;

    async fn stream_segment_members(
        &self,
        request: Request<StreamSegmentMembersRequest>,
    ) -> Result<Response<Self::StreamSegmentMembersStream>, Status> {
        let caller = Caller::of(&request)?;
        let segment_id = request.into_inner().segment_id;
        let members = self.0.stream_members(&caller, segment_id).await;
        let request_id = caller.request_id.clone();
        let members = members.map(|members| {
            members
                .map_err(move |error| error.into_status(request_id.as_str()))
                .boxed()
        });
        answer(&caller, members)
    }

    async fn change_segment_members(
        &self,
        request: Request<ChangeSegmentMembersRequest>,
    ) -> Result<Response<ChangeSegmentMembersResponse>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let listing = Listing {
                workspace: caller.workspace.as_str().into(),
                change: convert::change_members(request.into_inner(), &self.0.shared.namespaces)?,
                traceparent: traceparent(),
            };
            let listed = self.0.change_list(&caller, listing).await?;
            Ok(ChangeSegmentMembersResponse {
                added_count: listed.added,
                removed_count: listed.removed,
            })
        };
        answer(&caller, result.await)
    }

    async fn estimate_segment(
        &self,
        request: Request<EstimateSegmentRequest>,
    ) -> Result<Response<EstimateSegmentResponse>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let workspace = caller.workspace.as_str().into();
            let estimate = self.0.estimate(&workspace, request.into_inner()).await?;
            // What holds of few people is told of them, in how many there are.
            let count = usize::try_from(estimate.size).unwrap_or(usize::MAX);
            self.seen(&caller, Access::of_many("EstimateSegment", count))
                .await?;
            Ok(estimate)
        };
        answer(&caller, result.await)
    }

    async fn list_segment_sizes(
        &self,
        request: Request<ListSegmentSizesRequest>,
    ) -> Result<Response<ListSegmentSizesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let (start_ms, end_ms) = convert::sizes(request.get_ref())?;
            let workspace = caller.workspace.as_str();
            let id = &request.get_ref().segment_id;
            self.0.segment_sizes(workspace, id, start_ms, end_ms).await
        };
        answer(&caller, result.await)
    }
}
