//! A gateway with fake peers, in process on SQLite or over TCP on PostgreSQL, and ways
//! to call it.

use std::time::Duration;

use attune_api::gateway::v1::{
    access_service_client::AccessServiceClient, collection_service_client::CollectionServiceClient,
    personalization_service_client::PersonalizationServiceClient,
};
use attune_gateway::{Config, Gateway, MIGRATIONS};
use attune_rpc::{
    Channel, Health, Internal, PeerToken, ServeOptions, Tasks, internal_router, serve,
};
use attune_storage::Database;
use attune_testkit::{TestDatabase, test_database_urls};
use axum::Router;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tonic::{body::Body, codegen::StdError, metadata::MetadataValue};
use tower::{ServiceExt, util::BoxCloneSyncService};

use crate::peers::Peers;

pub const ADMIN: &str = "bootstrap-admin-key";

/// What a generated client calls, whichever way it goes.
pub type Public = BoxCloneSyncService<Request<Body>, Response<Body>, StdError>;

/// Names and values.
pub type Headers<'a> = &'a [(&'a str, &'a str)];

pub struct Rig {
    pub peers: Peers,
    pub database: TestDatabase,
    pub config: Config,
    public: Public,
    router: Router,
    port: Option<u16>,
    _tasks: Tasks,
}

/// Both rigs.
pub async fn rigs(name: &str) -> Vec<Rig> {
    rigs_with(name, |_| {}).await
}

pub async fn rigs_with(name: &str, configure: impl Fn(&mut Config)) -> Vec<Rig> {
    let mut rigs = Vec::new();
    for database in test_database_urls(name).await {
        let mut config = Config {
            bootstrap_admin_key: ADMIN.to_owned().into(),
            ..Config::default()
        };
        // On a busy machine only who hangs takes longer than their slice.
        config.personalize.deadline_default_ms = 4_000;
        configure(&mut config);
        rigs.push(Rig::new(database, config).await);
    }
    rigs
}

impl Rig {
    async fn new(database: TestDatabase, config: Config) -> Self {
        let remote = database.system == "postgres";
        let peers = Peers::default();
        let channels = attune_rpc::Peers {
            profile: channel(&peers, "profile", remote).await,
            catalog: channel(&peers, "catalog", remote).await,
            rule_engine: channel(&peers, "rule-engine", remote).await,
            messaging: channel(&peers, "messaging", remote).await,
        };
        let store = Database::open(database.url(), &MIGRATIONS).await.unwrap();
        let gateway = Gateway::open(config.clone(), store, channels)
            .await
            .unwrap();
        let tasks = Tasks::new();
        gateway.start(&tasks);
        let health = Health::new();
        let services = Gateway::services();
        let services: Vec<_> = services.iter().map(String::as_str).collect();
        health.ready(&services).await;
        let router = gateway.router(&health).unwrap();
        let (public, port) = if remote {
            let port = listen(router.clone()).await;
            let address = format!("http://127.0.0.1:{port}");
            let channel = tonic::transport::Endpoint::from_shared(address).unwrap();
            let channel = channel.http2_max_header_list_size(1 << 20).connect_lazy();
            let channel = channel.map_err(StdError::from);
            (BoxCloneSyncService::new(channel), Some(port))
        } else {
            let router = router
                .clone()
                .map_request(|r: Request<Body>| r.map(axum::body::Body::new))
                .map_response(|r: Response<_>| r.map(Body::new))
                .map_err(StdError::from);
            (BoxCloneSyncService::new(router), None)
        };
        Self {
            peers,
            database,
            config,
            public,
            router,
            port,
            _tasks: tasks,
        }
    }

    /// Another replica on the same database.
    pub async fn replica(&self) -> Router {
        let store = Database::open(self.database.url(), &MIGRATIONS)
            .await
            .unwrap();
        let channels = attune_rpc::Peers {
            profile: channel(&self.peers, "profile", false).await,
            catalog: channel(&self.peers, "catalog", false).await,
            rule_engine: channel(&self.peers, "rule-engine", false).await,
            messaging: channel(&self.peers, "messaging", false).await,
        };
        let gateway = Gateway::open(self.config.clone(), store, channels)
            .await
            .unwrap();
        gateway.start(&self._tasks);
        gateway.router(&Health::new()).unwrap()
    }

    pub fn public(&self) -> Public {
        self.public.clone()
    }

    pub fn personalization(&self) -> PersonalizationServiceClient<Public> {
        PersonalizationServiceClient::new(self.public())
    }

    pub fn collection(&self) -> CollectionServiceClient<Public> {
        CollectionServiceClient::new(self.public())
    }

    pub fn access(&self) -> AccessServiceClient<Public> {
        AccessServiceClient::new(self.public())
    }

    /// A call over HTTP with the admin key.
    pub async fn http(&self, verb: &str, uri: &str, body: &str) -> Answer {
        let key = format!("Bearer {ADMIN}");
        self.http_with(verb, uri, &[("authorization", &key)], body.as_bytes())
            .await
    }

    pub async fn http_with(
        &self,
        verb: &str,
        uri: &str,
        headers: Headers<'_>,
        body: &[u8],
    ) -> Answer {
        match self.port {
            Some(port) => over_socket(port, verb, uri, headers, body).await,
            None => in_process(self.router.clone(), verb, uri, headers, body).await,
        }
    }
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    pub fn reason(&self) -> String {
        let json = self.json();
        let reason = json["details"][0]["reason"].as_str();
        reason.unwrap_or_else(|| panic!("{}", self.text)).to_owned()
    }

    /// Fields of the violations.
    pub fn fields(&self) -> Vec<String> {
        let json = self.json();
        let violations = json["details"][1]["fieldViolations"].as_array();
        let violations = violations.unwrap_or_else(|| panic!("{}", self.text));
        let field = |v: &Value| v["field"].as_str().unwrap_or_default().to_owned();
        violations.iter().map(field).collect()
    }
}

pub async fn in_process(
    router: Router,
    verb: &str,
    uri: &str,
    headers: Headers<'_>,
    body: &[u8],
) -> Answer {
    let mut request = Request::builder().method(verb).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = axum::body::Body::new(Full::new(bytes::Bytes::copy_from_slice(body)));
    let response = router.oneshot(request.body(body).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let text = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8_lossy(&text).into_owned(),
    }
}

/// HTTP/1.1 as any client would speak it.
async fn over_socket(
    port: u16,
    verb: &str,
    uri: &str,
    headers: Headers<'_>,
    body: &[u8],
) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut head = format!("{verb} {uri} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server may refuse before it has read all.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    parse(&String::from_utf8_lossy(&answer))
}

fn parse(answer: &str) -> Answer {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name: http::HeaderName = name.parse().unwrap();
        headers.append(name, value.parse().unwrap());
    }
    let chunked = headers.get("transfer-encoding").is_some();
    Answer {
        status: status.parse().unwrap(),
        headers,
        text: if chunked {
            unchunk(body)
        } else {
            body.to_owned()
        },
    }
}

fn unchunk(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        text.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    text
}

async fn listen(router: Router) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = ServeOptions::default();
    tokio::spawn(serve(listener, router, options, std::future::pending()));
    port
}

async fn channel(peers: &Peers, service: &'static str, remote: bool) -> Channel {
    let with = Internal::new(PeerToken::new("a-token-for-the-tests").unwrap());
    let routes = peers.routes(service);
    if !remote {
        return Channel::in_process(service, routes, &with);
    }
    let port = listen(internal_router(routes, &with, &Health::new())).await;
    Channel::tcp(service, &format!("http://127.0.0.1:{port}"), &with).unwrap()
}

/// A gRPC request with a key.
pub fn with_key<M>(key: &str, message: M) -> tonic::Request<M> {
    let mut request = tonic::Request::new(message);
    let value: MetadataValue<_> = format!("Bearer {key}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// The same, with a deadline.
pub fn within<M>(timeout: Duration, message: M) -> tonic::Request<M> {
    let mut request = with_key(ADMIN, message);
    request.set_timeout(timeout);
    request
}
