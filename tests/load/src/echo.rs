//! The yardstick: a bare tonic server with one unary method that answers any
//! request with a message of a fixed size. Nothing else: no auth, no tracing, no
//! limits.

use std::{convert::Infallible, net::SocketAddr, task::Poll};

use anyhow::Result;
use bytes::Bytes;
use futures::future::{BoxFuture, Ready, ready};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::Service,
    server::{NamedService, UnaryService},
    transport::server::TcpIncoming,
};
use tonic_prost::ProstCodec;

pub const PATH: &str = "/bench.Echo/Echo";

#[derive(Clone)]
struct Echo {
    answer: Bytes,
}

impl NamedService for Echo {
    const NAME: &'static str = "bench.Echo";
}

// Messages are `google.protobuf.BytesValue`, which prost implements for `Bytes`.
impl UnaryService<Bytes> for Echo {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        ready(Ok(Response::new(self.answer.clone())))
    }
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = self.clone();
        Box::pin(async move {
            let codec: ProstCodec<Bytes, Bytes> = ProstCodec::default();
            Ok(tonic::server::Grpc::new(codec).unary(method, request).await)
        })
    }
}

/// Serves until the process ends; prints its address first.
pub async fn serve(answer_bytes: usize) -> Result<()> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    println!("{}", listener.local_addr()?);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let echo = Echo {
        answer: vec![b'x'; answer_bytes].into(),
    };
    tonic::transport::Server::builder()
        .add_service(echo)
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}
