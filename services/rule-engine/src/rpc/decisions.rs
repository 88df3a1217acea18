//! `DecisionService`, one hop from its use cases.

use std::sync::Arc;

use attune_api::rules::v1::{
    DecideRequest, DecideResponse, Decision, GetDecisionRequest, RecordOutcomesRequest,
    RecordOutcomesResponse, decision_service_server::DecisionService,
};
use attune_rpc::Caller;
use tonic::{Request, Response, Status};

use crate::service::{decide::Decider, outcomes::Outcomes};

#[derive(Clone)]
pub struct Decisions {
    pub decider: Arc<Decider>,
    pub outcomes: Arc<Outcomes>,
}

#[tonic::async_trait]
impl DecisionService for Decisions {
    async fn decide(
        &self,
        request: Request<DecideRequest>,
    ) -> Result<Response<DecideResponse>, Status> {
        let caller = Caller::of(&request)?;
        let answer = self.decider.decide(&caller.workspace, request.get_ref());
        answer
            .map(Response::new)
            .map_err(|error| error.into_status(&caller))
    }

    async fn record_outcomes(
        &self,
        request: Request<RecordOutcomesRequest>,
    ) -> Result<Response<RecordOutcomesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let outcomes = &request.get_ref().outcomes;
        let recorded = self.outcomes.record(&caller.workspace, outcomes).await;
        recorded
            .map(Response::new)
            .map_err(|error| error.into_status(&caller))
    }

    async fn get_decision(
        &self,
        request: Request<GetDecisionRequest>,
    ) -> Result<Response<Decision>, Status> {
        let caller = Caller::of(&request)?;
        let id = &request.get_ref().decision_id;
        let decision = self.outcomes.decision(&caller.workspace, id).await;
        decision
            .map(Response::new)
            .map_err(|error| error.into_status(&caller))
    }
}
