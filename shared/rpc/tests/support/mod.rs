//! A service that misbehaves on request, reached in process and over TCP.

#![allow(dead_code)] // Each test binary uses its part of it.

use std::{pin::Pin, sync::Arc};

use attune_api::{
    events::v1::{
        ReadLogRequest, ReadLogResponse,
        event_log_service_client::EventLogServiceClient,
        event_log_service_server::{EventLogService, EventLogServiceServer},
    },
    rules::v1::{
        DecideRequest, DecideResponse, Decision, GetDecisionRequest, PlacementDecision,
        RecordOutcomesRequest, RecordOutcomesResponse, Slot,
        decision_service_client::DecisionServiceClient,
        decision_service_server::{DecisionService, DecisionServiceServer},
    },
};
use attune_errors::{Fault, Violations};
use attune_rpc::{
    Caller, Channel, Health, Internal, MESSAGE_BYTES_MAX, PeerToken, ServeOptions, internal_router,
    serve,
};
use attune_testkit::PATIENCE;
use futures::{Stream, StreamExt, stream};
use tokio::{net::TcpListener, sync::Notify};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, service::Routes};

pub const TOKEN: &str = "a-token-of-32-visible-characters";

/// What [`DecideRequest::channel`] and [`ReadLogRequest::source`] ask for.
#[derive(Clone, Default)]
pub struct Probe {
    /// Told whenever a call has begun to hang.
    pub hanging: Arc<Notify>,
    /// Lets the calls go that wait at the gate.
    pub gate: CancellationToken,
}

struct NotifyOnDrop(Arc<Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tonic::async_trait]
impl DecisionService for Probe {
    async fn decide(
        &self,
        request: Request<DecideRequest>,
    ) -> Result<Response<DecideResponse>, Status> {
        match request.get_ref().channel.as_str() {
            "describe" => describe(&request),
            "violate" => {
                let mut violations = Violations::new();
                violations.push("a", "must be");
                violations.push("b", "must be");
                Err(violations.into())
            }
            "panic" => panic!("on purpose"),
            "hang" => {
                let _dropped = NotifyOnDrop(self.hanging.clone());
                std::future::pending().await
            }
            "wait" => {
                self.hanging.notify_one();
                self.gate.cancelled().await;
                Ok(Response::new(Default::default()))
            }
            _ => Ok(Response::new(Default::default())),
        }
    }

    async fn record_outcomes(
        &self,
        _: Request<RecordOutcomesRequest>,
    ) -> Result<Response<RecordOutcomesResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn get_decision(
        &self,
        _: Request<GetDecisionRequest>,
    ) -> Result<Response<Decision>, Status> {
        Err(Fault::not_found("decision", "1").into())
    }
}

/// Answers with the caller as the handler sees it.
fn describe(request: &Request<DecideRequest>) -> Result<Response<DecideResponse>, Status> {
    let caller = Caller::of(request)?;
    let left_ms = caller
        .time_left()
        .map_or(-1, |left| left.as_millis() as i64);
    let actor = caller.actor.as_ref();
    let asked = Slot {
        item_id: actor.map(ToString::to_string).unwrap_or_default(),
        ..Default::default()
    };
    let seen = PlacementDecision {
        slots: vec![asked],
        placement: caller.workspace.to_string(),
        decision_id: caller.request_id.to_string(),
        strategy: left_ms.to_string(),
        template: attune_telemetry::trace_id().unwrap_or_default(),
        ..Default::default()
    };
    let placements = vec![seen];
    Ok(Response::new(DecideResponse { placements }))
}

type Log = Pin<Box<dyn Stream<Item = Result<ReadLogResponse, Status>> + Send>>;

#[tonic::async_trait]
impl EventLogService for Probe {
    type ReadLogStream = Log;

    async fn read_log(&self, request: Request<ReadLogRequest>) -> Result<Response<Log>, Status> {
        let first = stream::once(async { Ok(ReadLogResponse::default()) });
        let rest: Log = match request.get_ref().source.as_str() {
            // After a pause, in which the first message leaves the encoder's buffer.
            "panic" => Box::pin(stream::once(async {
                tokio::task::yield_now().await;
                panic!("on purpose")
            })),
            "end" => Box::pin(stream::empty()),
            _ => Box::pin(stream::pending()),
        };
        Ok(Response::new(Box::pin(first.chain(rest))))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    InProcess,
    Tcp,
}

/// The probe and a way to it.
pub struct Rig {
    pub probe: Probe,
    pub channel: Channel,
    pub health: Health,
    pub stop: CancellationToken,
    pub server: Option<tokio::task::JoinHandle<std::io::Result<()>>>,
    pub address: Option<std::net::SocketAddr>,
}

impl Rig {
    pub async fn new(topology: Topology) -> Self {
        Self::with(topology, TOKEN, |_| {}).await
    }

    /// With the token that the client shows, and the server's terms.
    pub async fn with(topology: Topology, shown: &str, terms: impl Fn(&mut Internal)) -> Self {
        let health = Health::new();
        let mut server_terms = Internal::new(PeerToken::new(TOKEN).unwrap());
        server_terms.draining = health.draining();
        terms(&mut server_terms);
        let mut client_terms = server_terms.clone();
        client_terms.token = PeerToken::new(shown).unwrap();

        let probe = Probe::default();
        let routes = Routes::new(
            DecisionServiceServer::new(probe.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX),
        )
        .add_service(EventLogServiceServer::new(probe.clone()));
        let stop = CancellationToken::new();
        health.ready(&["attune.rules.v1.DecisionService"]).await;
        let (channel, server, address) = match topology {
            Topology::InProcess => {
                let channel = in_process(routes, &server_terms, client_terms);
                (channel, None, None)
            }
            Topology::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                let router = internal_router(routes, &server_terms, &health);
                let options = ServeOptions {
                    health: health.clone(),
                    tls: server_terms.tls.clone(),
                    ..Default::default()
                };
                let stopped = stop.clone().cancelled_owned();
                let server = tokio::spawn(serve(listener, router, options, stopped));
                let scheme = if client_terms.tls.is_some() {
                    "https"
                } else {
                    "http"
                };
                let endpoint = format!("{scheme}://localhost:{}", address.port());
                let channel = Channel::tcp("probe", &endpoint, &client_terms).unwrap();
                (channel, Some(server), Some(address))
            }
        };
        Self {
            probe,
            channel,
            health,
            stop,
            server,
            address,
        }
    }

    pub fn decisions(&self) -> DecisionServiceClient<Channel> {
        DecisionServiceClient::new(self.channel.clone())
            .max_encoding_message_size(MESSAGE_BYTES_MAX * 2)
    }

    pub fn log(&self) -> EventLogServiceClient<Channel> {
        EventLogServiceClient::new(self.channel.clone())
    }
}

fn in_process(routes: Routes, server: &Internal, client: Internal) -> Channel {
    Channel::in_process_as("probe", routes, server, client.token)
}

pub fn ask(behaviour: &str) -> DecideRequest {
    DecideRequest {
        channel: behaviour.to_owned(),
        ..Default::default()
    }
}

pub fn read(behaviour: &str) -> ReadLogRequest {
    ReadLogRequest {
        source: behaviour.to_owned(),
        ..Default::default()
    }
}

/// Fails the test instead of hanging it.
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    let waited = tokio::time::timeout(PATIENCE, future).await;
    waited.unwrap_or_else(|_| panic!("{what} took longer than {PATIENCE:?}"))
}
