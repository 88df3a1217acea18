//! One listener: HTTP/1.1 and HTTP/2 on the same port, until told to stop, and then
//! until what was begun is finished. Knows connections; never what is asked on them.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use attune_errors::Fault;
use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tonic::{Status, body::Body, service::Routes};
use tower::ServiceExt;

use crate::{Health, Internal, Tls, stack};

/// How a listener is run.
#[derive(Debug, Clone, Default)]
pub struct ServeOptions {
    pub health: Health,
    pub draining: Draining,
    pub tls: Option<Tls>,
}

/// How a process leaves.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Draining {
    /// How long to go on taking calls after saying NOT_SERVING, so that load balancers
    /// can notice. Milliseconds.
    pub announce_ms: u64,
    /// How long calls that were begun may take to finish. Milliseconds.
    pub finish_ms: u64,
}

impl Default for Draining {
    fn default() -> Self {
        Self {
            announce_ms: 0,
            finish_ms: 10_000,
        }
    }
}

/// Connections at the same time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 16_384;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// What a slow client may take to send its headers.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(30);

/// The router of a process that serves only our own services: their methods behind the
/// internal stack, and health.
pub fn internal_router(routes: Routes, with: &Internal, health: &Health) -> Router {
    let stack = stack::internal(served(routes), with)
        .map_request(|request: http::Request<axum::body::Body>| request.map(Body::new))
        .map_response(|response| response.map(axum::body::Body::new));
    health.router().fallback_service(stack)
}

/// Ready to be called, with our own answer to methods that are not here.
pub(crate) fn served(routes: Routes) -> Routes {
    Routes::from(routes.into_axum_router().fallback(method_unknown)).prepare()
}

async fn method_unknown(uri: http::Uri) -> http::Response<axum::body::Body> {
    Status::from(Fault::method_unknown(uri.path())).into_http()
}

/// Serves until `stop` completes; then says NOT_SERVING, accepts no more, finishes
/// what is in flight and returns.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: ServeOptions,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut server = Server::new(listener, router, &options);
    server.accept_until(stop).await;
    options.health.drain().await;
    let announce = Duration::from_millis(options.draining.announce_ms);
    server.accept_until(tokio::time::sleep(announce)).await;
    server
        .finish(Duration::from_millis(options.draining.finish_ms))
        .await;
    Ok(())
}

struct Server {
    listener: TcpListener,
    router: Router,
    tls: Option<TlsAcceptor>,
    graceful: GracefulShutdown,
    connections: JoinSet<()>,
    places: Arc<Semaphore>,
}

impl Server {
    fn new(listener: TcpListener, router: Router, options: &ServeOptions) -> Self {
        Self {
            listener,
            // Once now instead of for every request.
            router: router.with_state(()),
            tls: options.tls.as_ref().map(|tls| tls.server().into()),
            graceful: GracefulShutdown::new(),
            connections: JoinSet::new(),
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        }
    }

    async fn accept_until(&mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return,
                Some(_) = self.connections.join_next() => {}
                stream = accept(&self.listener) => self.converse(stream),
            }
        }
    }

    fn converse(&mut self, (stream, address): (TcpStream, SocketAddr)) {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            tracing::warn!(%address, "connection refused, there are too many");
            return;
        };
        let (router, watcher) = (self.router.clone(), self.graceful.watcher());
        let tls = self.tls.clone();
        self.connections.spawn(async move {
            let _place = place;
            match tls {
                None => talk(stream, router, watcher).await,
                Some(tls) => match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                    Ok(Ok(stream)) => talk(stream, router, watcher).await,
                    Ok(Err(error)) => tracing::debug!(%address, %error, "handshake failed"),
                    Err(_) => tracing::debug!(%address, "handshake timed out"),
                },
            }
        });
    }

    async fn finish(mut self, at_most: Duration) {
        drop(self.listener);
        if timeout(at_most, self.graceful.shutdown()).await.is_err() {
            let unfinished = self.connections.len();
            tracing::warn!(unfinished, "connections cut off at the end of draining");
        }
        self.connections.shutdown().await;
    }
}

/// The next connection. Running out of file descriptors passes; giving up would not.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // An answer is a few small writes; see the other end in `dial`.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "connection lost before it was used");
                    continue;
                }
                return (stream, address);
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn talk<S>(stream: S, router: Router, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let builder = builder();
    let service = TowerToHyperService::new(router);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        tracing::debug!(error = &*error, "connection ended early");
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
        .max_concurrent_streams(1024);
    builder
}
