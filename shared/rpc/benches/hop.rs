//! What a hop between services costs: a generated client to a generated server, with
//! encoding and decoding, beside the same without our layers. `cargo bench -p attune-rpc`;
//! HOP_ONLY names one of the lines, HOP_CALLS sets how many calls each takes.

use std::{hint::black_box, time::Instant};

use attune_api::rules::v1::{
    DecideRequest, DecideResponse, Decision, GetDecisionRequest, PlacementDecision,
    RecordOutcomesRequest, RecordOutcomesResponse, Slot,
    decision_service_client::DecisionServiceClient,
    decision_service_server::{DecisionService, DecisionServiceServer},
};
use attune_rpc::{
    Caller, Channel, Internal, PeerToken, ServeOptions, Unary, Workspace, internal_router, serve,
};
use opentelemetry::context::FutureExt as _;
use tonic::{Request, Response, Status, body::Body, client::GrpcService, service::Routes};

/// That of the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// About 150 bytes in, 400 out.
struct Echo(DecideResponse);

#[tonic::async_trait]
impl DecisionService for Echo {
    async fn decide(&self, _: Request<DecideRequest>) -> Result<Response<DecideResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }

    async fn record_outcomes(
        &self,
        _: Request<RecordOutcomesRequest>,
    ) -> Result<Response<RecordOutcomesResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_decision(
        &self,
        _: Request<GetDecisionRequest>,
    ) -> Result<Response<Decision>, Status> {
        Err(Status::unimplemented(""))
    }
}

fn routes() -> Routes {
    let slot = Slot {
        item_id: "item-123456".into(),
        score: 0.5,
        ..Default::default()
    };
    let decision = PlacementDecision {
        placement: "home".into(),
        slots: vec![slot; 10],
        ..Default::default()
    };
    let placements = vec![decision];
    Routes::new(DecisionServiceServer::new(Echo(DecideResponse {
        placements,
    })))
    .prepare()
}

/// tonic's own client.
fn client<C>(channel: C) -> impl AsyncFn(Request<DecideRequest>) -> Result<DecideResponse, Status>
where
    C: GrpcService<Body, ResponseBody: Send + 'static> + Clone,
    C::ResponseBody: http_body::Body<Data = bytes::Bytes>,
    <C::ResponseBody as http_body::Body>::Error:
        Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let client = DecisionServiceClient::new(channel);
    async move |request| Ok(client.clone().decide(request).await?.into_inner())
}

async fn measure(
    name: &str,
    calls: u32,
    caller: Option<&Caller>,
    call: impl AsyncFn(Request<DecideRequest>) -> Result<DecideResponse, Status>,
) {
    let wanted = std::env::var("HOP_ONLY").unwrap_or_default();
    if !wanted.is_empty() && wanted != name {
        return;
    }
    let message = DecideRequest {
        snapshot: vec![7; 100].into(),
        channel: "web".into(),
        ..Default::default()
    };
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let begin = Instant::now();
        for _ in 0..calls {
            let request = match caller {
                Some(caller) => caller.request(message.clone()),
                None => Request::new(message.clone()),
            };
            match call(request).await {
                Ok(answer) => drop(black_box(answer)),
                Err(status) => return eprintln!("{name}: {status}"),
            }
        }
        best = best.min(begin.elapsed().as_secs_f64() * 1e6 / f64::from(calls));
    }
    println!("{name:<40} {best:>8.2} µs/call");
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let calls = std::env::var("HOP_CALLS").map_or(Ok(50_000), |n| n.parse())?;
    let terms = Internal::new(PeerToken::random());
    let caller = Caller::new(Workspace::default());
    let bare = client(routes());
    measure("client to routes, without layers", calls, None, bare).await;
    let local = Channel::in_process("rule-engine", routes(), &terms);
    let name = "in process";
    measure(name, calls, Some(&caller), client(local.clone())).await;
    // As within a request: the ids of its trace travel along, for the logs.
    let context = attune_telemetry::server_context(&http::HeaderMap::new());
    let name = "in process, within a trace";
    measure(name, calls, Some(&caller), client(local.clone()))
        .with_context(context.clone())
        .await;
    let unary = Unary::new(&local, "/attune.rules.v1.DecisionService/Decide");
    let name = "in process, within a trace, unary";
    measure(name, calls, Some(&caller), async |request| {
        unary.call(request).await
    })
    .with_context(context)
    .await;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let router = internal_router(routes(), &terms, &Default::default());
    tokio::spawn(serve(
        listener,
        router,
        ServeOptions::default(),
        std::future::pending(),
    ));
    let remote = Channel::tcp("rule-engine", &endpoint, &terms)?;
    let name = "loopback tcp";
    measure(name, calls / 10, Some(&caller), client(remote)).await;
    Ok(())
}
