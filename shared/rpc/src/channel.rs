//! One type of channel for both topologies: a generated client over [`Channel`] neither
//! knows nor can tell whether the service answers from this process or from another.

use std::{
    convert::Infallible,
    fmt,
    task::{Context, Poll},
    time::Duration,
};

use http::Request;
use tonic::{body::Body, service::Routes, transport::Endpoint};
use tower::Service;

use crate::{
    Internal, PeerToken, Tls,
    dial::Dial,
    serve::served,
    stack::{self, ClientStack},
    transport::Transport,
};

/// How the other services are reached, whichever process they are in.
#[derive(Debug, Clone)]
pub struct Peers {
    pub profile: Channel,
    pub catalog: Channel,
    pub rule_engine: Channel,
    pub messaging: Channel,
}

/// Why an address is none of a service's.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    #[error("\"{endpoint}\" is no address such as http://catalog:7700")]
    Malformed { endpoint: String },
    #[error("\"{endpoint}\" needs https to go with the certificates, or http without them")]
    SchemeMismatch { endpoint: String },
    #[error("the certificates cannot be used")]
    Tls(#[source] tonic::transport::Error),
}

/// A way to one service. Cheap to clone; connects when first used, and again whenever
/// the connection is lost.
#[derive(Clone)]
pub struct Channel {
    stack: ClientStack<Transport>,
    service: &'static str,
}

impl Channel {
    /// To a service of this process. The call runs on the caller's own task, through
    /// the same layers as one from the network.
    pub fn in_process(service: &'static str, routes: Routes, with: &Internal) -> Self {
        Self::in_process_as(service, routes, with, with.token.clone())
    }

    /// As [`Channel::in_process`], for a caller that shows a credential of its own.
    pub fn in_process_as(
        service: &'static str,
        routes: Routes,
        with: &Internal,
        token: PeerToken,
    ) -> Self {
        let server = stack::internal(served(routes), with);
        Self::over(service, Transport::InProcess { server }, token)
    }

    /// To a service at `http://host:port`, or `https://` with certificates. Needs a
    /// running tokio runtime, but nobody at the other end yet.
    pub fn tcp(
        service: &'static str,
        endpoint: &str,
        with: &Internal,
    ) -> Result<Self, EndpointError> {
        let channel = connect_lazily(endpoint, with.tls.as_ref())?;
        let transport = Transport::Tcp { service, channel };
        Ok(Self::over(service, transport, with.token.clone()))
    }

    fn over(service: &'static str, transport: Transport, token: PeerToken) -> Self {
        let stack = stack::client(transport, token);
        Self { stack, service }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({})", self.service)
    }
}

impl Service<Request<Body>> for Channel {
    type Response = <ClientStack<Transport> as Service<Request<Body>>>::Response;
    type Error = Infallible;
    type Future = <ClientStack<Transport> as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.stack.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.stack.call(request)
    }
}

fn connect_lazily(
    endpoint: &str,
    tls: Option<&Tls>,
) -> Result<tonic::transport::Channel, EndpointError> {
    let malformed = |_| EndpointError::Malformed {
        endpoint: endpoint.to_owned(),
    };
    let mut target = Endpoint::from_shared(endpoint.to_owned()).map_err(malformed)?;
    let encrypted = target.uri().scheme() == Some(&http::uri::Scheme::HTTPS);
    if encrypted != tls.is_some() {
        let endpoint = endpoint.to_owned();
        return Err(EndpointError::SchemeMismatch { endpoint });
    }
    if let Some(tls) = tls {
        target = target
            .tls_config(tls.client())
            .map_err(EndpointError::Tls)?;
    }
    let target = target
        // A peer that vanished without a word is noticed, also while nothing is said.
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
        // A thousand field violations travel in the trailers.
        .http2_max_header_list_size(1 << 20);
    Ok(target.connect_with_connector_lazy(Dial::default()))
}
