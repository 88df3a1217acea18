//! Serves `BatchGetItems` without decoding what it sends: items lie in memory as they
//! go over the wire. Every personalized answer makes this call, and decoding and
//! encoding ten items again would cost it more than everything else the catalog does.

use attune_api::catalog::v1::{BatchGetItemsRequest, catalog_service_server::CatalogServiceServer};
use attune_rpc::{Answer, Hot, answer_unary};
use http::Request;
use tonic::body::Body;

use super::answer;
use crate::Catalog;

const BATCH_GET: &str = "/attune.catalog.v1.CatalogService/BatchGetItems";

/// The generated server, but for one method.
pub(crate) fn server(
    catalog: Catalog,
) -> Hot<CatalogServiceServer<Catalog>, impl Fn(Request<Body>) -> Answer + Clone> {
    let generated = CatalogServiceServer::new(catalog.clone())
        .max_decoding_message_size(attune_rpc::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(usize::MAX);
    Hot::new(generated, BATCH_GET, move |request| {
        let catalog = catalog.clone();
        Box::pin(async move { Ok(batch_get(&catalog, request).await) })
    })
}

async fn batch_get(catalog: &Catalog, request: Request<Body>) -> http::Response<Body> {
    answer_unary(request, |request: tonic::Request<BatchGetItemsRequest>| {
        answer(request, async |w, m| catalog.batch_get(&w, m).await)
    })
    .await
}
