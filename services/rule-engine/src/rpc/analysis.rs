//! `AnalysisService`, one hop from its use cases.

use std::sync::Arc;

use attune_api::rules::v1::{
    GetReportRequest, ListDecisionsRequest, ListDecisionsResponse, Report, SimulateRequest,
    SimulateResponse, analysis_service_server::AnalysisService,
};
use attune_events::{Access, AccessRecord};
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
    /// Where it is written who looked at whose decisions.
    pub record: Arc<AccessRecord>,
}

#[tonic::async_trait]
impl AnalysisService for LookingBack {
    async fn list_decisions(
        &self,
        request: Request<ListDecisionsRequest>,
    ) -> Result<Response<ListDecisionsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let listed = self.analysis.list(&caller.workspace, request.clone()).await;
        let listed = listed.map_err(|error| error.into_status(&caller))?;
        // Of one person where one was asked for, and is somebody.
        let decisions = &listed.decisions;
        let one = decisions
            .first()
            .map(|decision| decision.profile_id.clone());
        let access = Access {
            action: "ListDecisions",
            profile_id: one
                .filter(|id| *id == request.profile_id)
                .unwrap_or_default(),
            detail: format!("{} decisions", decisions.len()),
        };
        self.record.looked(&caller, access).await?;
        Ok(Response::new(listed))
    }

    async fn simulate(
        &self,
        request: Request<SimulateRequest>,
    ) -> Result<Response<SimulateResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let simulated = self.simulator.simulate(&caller, request).await;
        let simulated = simulated.map_err(|error| error.into_status(&caller))?;
        let access = Access {
            action: "Simulate",
            profile_id: String::new(),
            detail: format!("{} decisions", simulated.decision_count),
        };
        self.record.looked(&caller, access).await?;
        Ok(Response::new(simulated))
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
