//! `AnalysisService`, one hop from its use cases.

use std::sync::Arc;

use attune_api::rules::v1::{
    GetReportRequest, ListDecisionsRequest, ListDecisionsResponse, Report, SimulateRequest,
    SimulateResponse, analysis_service_server::AnalysisService,
};
use attune_rpc::Caller;
use tonic::{Request, Response, Status};

use crate::{
    error::Error,
    service::{analysis::Analysis, simulate::Simulator},
};

#[derive(Clone)]
pub struct LookingBack {
    pub analysis: Arc<Analysis>,
    pub simulator: Arc<Simulator>,
}

#[tonic::async_trait]
impl AnalysisService for LookingBack {
    async fn list_decisions(
        &self,
        request: Request<ListDecisionsRequest>,
    ) -> Result<Response<ListDecisionsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        answer(
            &caller,
            self.analysis.list(&caller.workspace, request).await,
        )
    }

    async fn simulate(
        &self,
        request: Request<SimulateRequest>,
    ) -> Result<Response<SimulateResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        answer(&caller, self.simulator.simulate(&caller, request).await)
    }

    async fn get_report(
        &self,
        request: Request<GetReportRequest>,
    ) -> Result<Response<Report>, Status> {
        let caller = Caller::of(&request)?;
        let report = self.analysis.report(&caller.workspace, request.get_ref());
        answer(&caller, report.await)
    }
}

fn answer<T>(caller: &Caller, result: Result<T, Error>) -> Result<Response<T>, Status> {
    result
        .map(Response::new)
        .map_err(|error| error.into_status(caller))
}
