//! `DecisionService`, one hop from its use cases. Written by hand where others use the
//! generated server, because the answer to `Decide` is bytes already.

use std::{
    convert::Infallible,
    future::ready,
    sync::Arc,
    task::{Context, Poll},
};

use attune_api::rules::v1::{
    DecideRequest, Decision, GetDecisionRequest, RecordOutcomesRequest, RecordOutcomesResponse,
    decision_service_server::SERVICE_NAME,
};
use attune_errors::Fault;
use attune_events::{Access, AccessRecord};
use attune_rpc::{Caller, answer_unary};
use tokio::task::spawn_blocking;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{BoxFuture, Service},
    server::NamedService,
};

use crate::{
    convert::wire::Written,
    service::{decide::Decider, outcomes::Outcomes},
};

#[derive(Clone)]
pub struct Decisions {
    pub decider: Arc<Decider>,
    pub outcomes: Arc<Outcomes>,
    /// Where it is written who looked at whose decisions.
    pub record: Arc<AccessRecord>,
}

impl NamedService for Decisions {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<http::Request<Body>> for Decisions {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        let path = request.uri().path();
        match path.rsplit('/').next() {
            Some("Decide") => Box::pin(async move {
                Ok(answer_unary(request, |request| decide(&service.decider, request)).await)
            }),
            Some("RecordOutcomes") => Box::pin(async move {
                Ok(answer_unary(request, |request| record(&service.outcomes, request)).await)
            }),
            Some("GetDecision") => Box::pin(async move {
                Ok(answer_unary(request, |request| get(&service, request)).await)
            }),
            _ => {
                let unknown = Status::from(Fault::method_unknown(path)).into_http();
                Box::pin(ready(Ok(unknown)))
            }
        }
    }
}

async fn decide(
    decider: &Arc<Decider>,
    request: Request<DecideRequest>,
) -> Result<Response<Written>, Status> {
    let caller = Caller::of(&request)?;
    let request = request.into_inner();
    let answer = if decider.is_ready_for(&caller.workspace, &request) {
        decider.decide(&caller.workspace, request, &mut ())
    } else {
        let (decider, workspace) = (Arc::clone(decider), caller.workspace.clone());
        let decided = spawn_blocking(move || decider.decide(&workspace, request, &mut ()));
        let lost = |_| Err(attune_storage::Error::Panicked.into());
        decided.await.unwrap_or_else(lost)
    };
    answer
        .map(Response::new)
        .map_err(|error| error.into_status(&caller))
}

async fn record(
    outcomes: &Outcomes,
    request: Request<RecordOutcomesRequest>,
) -> Result<Response<RecordOutcomesResponse>, Status> {
    let caller = Caller::of(&request)?;
    let sent = &request.get_ref().outcomes;
    let recorded = outcomes.record(&caller.workspace, sent).await;
    recorded
        .map(Response::new)
        .map_err(|error| error.into_status(&caller))
}

async fn get(
    service: &Decisions,
    request: Request<GetDecisionRequest>,
) -> Result<Response<Decision>, Status> {
    let caller = Caller::of(&request)?;
    let id = &request.get_ref().decision_id;
    let decision = service.outcomes.decision(&caller.workspace, id).await;
    let decision = decision.map_err(|error| error.into_status(&caller))?;
    let access = Access {
        action: "GetDecision",
        profile_id: decision.profile_id.clone(),
        detail: format!("decision {}", decision.decision_id),
    };
    service.record.looked(&caller, access).await?;
    Ok(Response::new(decision))
}
