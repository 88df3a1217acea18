//! The generated trait of audiences, one line of conversion per call. Decides nothing.

use std::pin::Pin;

use attune_api::profile::v1::{
    AudienceDelivery, CancelAudienceDeliveryRequest, CreateAudienceDeliveryRequest,
    ExportAudienceRequest, ExportAudienceResponse, GetAudienceDeliveryRequest,
    ListAudienceDeliveriesRequest, ListAudienceDeliveriesResponse,
    audience_service_server::AudienceService,
};
use attune_rpc::Caller;
use futures::{Stream, TryStreamExt as _};
use tonic::{Request, Response, Status};

use super::{Rpc, answer};
use crate::convert::audiences as convert;

type Lines = Pin<Box<dyn Stream<Item = Result<ExportAudienceResponse, Status>> + Send>>;

#[tonic::async_trait]
impl AudienceService for Rpc {
    type ExportAudienceStream = Lines;

    async fn export_audience(
        &self,
        request: Request<ExportAudienceRequest>,
    ) -> Result<Response<Lines>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let (wanted, format) = convert::export(request.into_inner())?;
            let lines = self.0.export_audience(&caller, wanted, format).await?;
            let id = caller.request_id.clone();
            let lines = lines.map_err(move |error| error.into_status(id.as_str()));
            Ok(Box::pin(lines) as Lines)
        };
        answer(&caller, result.await)
    }

    async fn create_audience_delivery(
        &self,
        request: Request<CreateAudienceDeliveryRequest>,
    ) -> Result<Response<AudienceDelivery>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let order = convert::create(request.into_inner())?;
            self.0.create_delivery(&caller, order).await
        };
        answer(&caller, result.await)
    }

    async fn get_audience_delivery(
        &self,
        request: Request<GetAudienceDeliveryRequest>,
    ) -> Result<Response<AudienceDelivery>, Status> {
        let caller = Caller::of(&request)?;
        let (workspace, asked) = (caller.workspace.as_str(), request.get_ref());
        let found = self.0.delivery(workspace, &asked.audience_delivery_id);
        answer(&caller, found.await)
    }

    async fn list_audience_deliveries(
        &self,
        request: Request<ListAudienceDeliveriesRequest>,
    ) -> Result<Response<ListAudienceDeliveriesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let asked = convert::list(request.get_ref())?;
            self.0.deliveries(caller.workspace.as_str(), asked).await
        };
        answer(&caller, result.await)
    }

    async fn cancel_audience_delivery(
        &self,
        request: Request<CancelAudienceDeliveryRequest>,
    ) -> Result<Response<AudienceDelivery>, Status> {
        let caller = Caller::of(&request)?;
        let id = &request.get_ref().audience_delivery_id;
        answer(&caller, self.0.cancel_delivery(&caller, id).await)
    }
}
