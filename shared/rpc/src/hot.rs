//! A generated server of which one method is answered by hand: the one that every
//! personalized answer waits for, and that [`answer_unary`](crate::answer_unary) spares
//! what tonic keeps for streams. Knows nothing of either.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::{body::Body, server::NamedService};
use tower::Service;

/// The answer of a server, generated or not.
pub type Answer = BoxFuture<'static, Result<Response<Body>, Infallible>>;

/// A server with a method of it that is answered otherwise.
#[derive(Clone)]
pub struct Hot<S, H> {
    server: S,
    path: &'static str,
    handle: H,
}

impl<S, H> Hot<S, H>
where
    H: Fn(Request<Body>) -> Answer,
{
    /// `handle` answers calls to `path`, such as
    /// `/attune.catalog.v1.CatalogService/BatchGetItems`.
    pub fn new(server: S, path: &'static str, handle: H) -> Self {
        Self {
            server,
            path,
            handle,
        }
    }
}

impl<S: NamedService, H> NamedService for Hot<S, H> {
    const NAME: &'static str = S::NAME;
}

impl<S, H> Service<Request<Body>> for Hot<S, H>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answer>,
    H: Fn(Request<Body>) -> Answer,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.server.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        if request.uri().path() == self.path {
            (self.handle)(request)
        } else {
            self.server.call(request)
        }
    }
}
