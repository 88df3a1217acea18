//! Serves `BatchGetItems` without decoding what it sends: items lie in memory as they
//! go over the wire. Every personalized answer makes this call, and decoding and
//! encoding ten items again would cost it more than everything else the catalog does.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use attune_api::{
    catalog::v1::{BatchGetItemsRequest, catalog_service_server::CatalogServiceServer},
    raw::BatchGetItemsResponse,
};
use futures::future::BoxFuture;
use http::Request;
use tonic::{
    Response, Status,
    body::Body,
    server::{Grpc, NamedService, UnaryService},
};
use tonic_prost::ProstCodec;
use tower::Service;

use super::answer;
use crate::Catalog;

const BATCH_GET: &str = "/attune.catalog.v1.CatalogService/BatchGetItems";

/// The generated server, but for one method.
#[derive(Clone)]
pub(crate) struct Server {
    catalog: Catalog,
    generated: CatalogServiceServer<Catalog>,
}

pub(crate) fn server(catalog: Catalog) -> Server {
    let generated = CatalogServiceServer::new(catalog.clone())
        .max_decoding_message_size(attune_rpc::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(usize::MAX);
    Server { catalog, generated }
}

impl NamedService for Server {
    const NAME: &'static str = <CatalogServiceServer<Catalog> as NamedService>::NAME;
}

impl Service<Request<Body>> for Server {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path() != BATCH_GET {
            return self.generated.call(request);
        }
        let method = BatchGet(self.catalog.clone());
        Box::pin(async move {
            let codec = ProstCodec::<BatchGetItemsResponse, BatchGetItemsRequest>::default();
            Ok(Grpc::new(codec).unary(method, request).await)
        })
    }
}

struct BatchGet(Catalog);

impl UnaryService<BatchGetItemsRequest> for BatchGet {
    type Response = BatchGetItemsResponse;
    type Future = BoxFuture<'static, Result<Response<BatchGetItemsResponse>, Status>>;

    fn call(&mut self, request: tonic::Request<BatchGetItemsRequest>) -> Self::Future {
        let catalog = self.0.clone();
        Box::pin(async move { answer(request, async |w, m| catalog.batch_get(&w, m).await).await })
    }
}
