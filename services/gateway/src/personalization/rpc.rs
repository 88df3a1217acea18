//! `PersonalizationService` onto its use cases. Written by hand where others use the
//! generated server, because its messages are the gateway's own view of the contract's.

use std::{convert::Infallible, sync::Arc};

use attune_api::gateway::v1::{ReportOutcomesRequest, ReportOutcomesResponse};
use attune_errors::Fault;
use attune_rpc::{Caller, answer_unary};
use futures::{Stream, StreamExt, future::BoxFuture, stream};
use http::Response;
use tonic::{Request, Status, body::Body, server::Grpc};
use tonic_prost::ProstCodec;

use super::{Personalization, wire};
use crate::{
    Error,
    convert::personalize as convert,
    door::{Signal, Who, answer, principal_of},
};

/// The server. Only ever called with a principal among the extensions.
#[derive(Clone)]
pub struct Server(pub Arc<Personalization>);

type Reply<T> = Result<tonic::Response<T>, Status>;

impl Server {
    pub fn call(
        &self,
        request: http::Request<Body>,
    ) -> BoxFuture<'static, Result<Response<Body>, Infallible>> {
        let service = self.0.clone();
        let path = request.uri().path();
        match path.rsplit('/').next() {
            Some("Personalize") => Box::pin(async move {
                Ok(answer_unary(request, |request| personalize(&service, request)).await)
            }),
            Some("BatchPersonalize") => Box::pin(async move {
                let codec = ProstCodec::<wire::BatchPersonalizeResponse, _>::default();
                let method = tower::service_fn(|r| batch(service.clone(), r));
                Ok(server(codec).server_streaming(method, request).await)
            }),
            Some("ReportOutcomes") => Box::pin(async move {
                Ok(answer_unary(request, |request| report(&service, request)).await)
            }),
            _ => {
                let unknown = Status::from(Fault::method_unknown(path)).into_http();
                Box::pin(std::future::ready(Ok(unknown)))
            }
        }
    }
}

/// The door has bounded what arrives; another limit here would only be told worse.
fn server<C: tonic::codec::Codec>(codec: C) -> Grpc<C> {
    Grpc::new(codec).max_decoding_message_size(usize::MAX)
}

async fn personalize(
    service: &Personalization,
    request: Request<wire::PersonalizeRequest>,
) -> Reply<wire::PersonalizeResponse> {
    let signal = Signal::of(&request);
    let (Who { principal, caller }, request) = principal_of(request)?;
    let result = service.personalize(&caller, principal.scopes, request, signal);
    answer(&caller, result.await)
}

async fn report(
    service: &Personalization,
    request: Request<ReportOutcomesRequest>,
) -> Reply<ReportOutcomesResponse> {
    let (Who { caller, .. }, request) = principal_of(request)?;
    let recorded = service.report(&caller, request).await;
    let recorded = recorded.map(|recorded| ReportOutcomesResponse {
        accepted_count: recorded.accepted_count,
        duplicate_count: recorded.duplicate_count,
    });
    answer(&caller, recorded)
}

async fn batch(
    service: Arc<Personalization>,
    request: Request<wire::BatchPersonalizeRequest>,
) -> Reply<impl Stream<Item = Result<wire::BatchPersonalizeResponse, Status>> + Send + 'static> {
    let (Who { caller, .. }, request) = principal_of(request)?;
    let requests = convert::batch(request).map_err(Error::from);
    let requests = match requests {
        Ok(requests) => requests,
        Err(error) => return Err(error.into_status(caller.request_id.as_str())),
    };
    let concurrency = service.batch_concurrency;
    let answers = stream::iter(requests)
        .enumerate()
        .map(move |(index, request)| one(service.clone(), caller.clone(), index, request))
        .buffered(concurrency);
    Ok(tonic::Response::new(answers))
}

async fn one(
    service: Arc<Personalization>,
    caller: Caller,
    index: usize,
    request: convert::Personalize,
) -> Result<wire::BatchPersonalizeResponse, Status> {
    let response = service.answer(service.begin(&caller), request).await;
    match response {
        Ok(response) => Ok(wire::BatchPersonalizeResponse {
            // At most a thousand.
            index: i32::try_from(index).unwrap_or(i32::MAX),
            response: Some(response),
        }),
        Err(error) => Err(error.into_status(caller.request_id.as_str())),
    }
}
