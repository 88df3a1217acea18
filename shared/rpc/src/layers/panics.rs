//! Server: a bug in one call costs that call. The caller gets INTERNAL and the request
//! id, the log gets the panic; the connection and everybody else's calls live on.

use std::{
    any::Any,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use attune_errors::Fault;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Status;
use tower::{Layer, Service};

use super::refuse;
use crate::{Call, RequestId};

/// Turns panics into answers.
#[derive(Debug, Clone, Copy)]
pub struct CatchPanicsLayer;

impl<I> Layer<I> for CatchPanicsLayer {
    type Service = CatchPanics<I>;
    fn layer(&self, inner: I) -> Self::Service {
        CatchPanics { inner }
    }
}

#[derive(Debug, Clone)]
pub struct CatchPanics<I> {
    inner: I,
}

/// What a panic said.
#[derive(Debug, thiserror::Error)]
#[error("panicked: {0}")]
struct Panicked(String);

/// Runs `work`, which is not touched again after it panicked.
fn caught<R>(request_id: &Option<RequestId>, work: impl FnOnce() -> R) -> Result<R, Fault> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let id = request_id
            .as_ref()
            .map(RequestId::as_str)
            .unwrap_or_default();
        Fault::internal(&Panicked(words_of(&*payload)), id)
    })
}

fn words_of(payload: &(dyn Any + Send)) -> String {
    let literal = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let formatted = || payload.downcast_ref::<String>().cloned();
    literal
        .or_else(formatted)
        .unwrap_or_else(|| "without words".to_owned())
}

impl<I, A, B> Service<Request<A>> for CatchPanics<I>
where
    I: Service<Request<A>, Response = Response<B>, Error = Infallible>,
    B: Default,
{
    type Response = Response<CaughtBody<B>>;
    type Error = Infallible;
    type Future = Caught<I::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let request_id = Call::of(request.extensions()).map(|call| call.request_id.clone());
        let (future, fault) = match caught(&request_id, || self.inner.call(request)) {
            Ok(future) => (Some(future), None),
            Err(fault) => (None, Some(fault)),
        };
        Caught {
            future,
            fault,
            request_id,
        }
    }
}

pin_project! {
    pub struct Caught<F> {
        #[pin]
        future: Option<F>,
        fault: Option<Fault>,
        request_id: Option<RequestId>,
    }
}

impl<F, B> Future for Caught<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Default,
{
    type Output = Result<Response<CaughtBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(fault) = this.fault.take() {
            return Poll::Ready(Ok(refuse(fault)));
        }
        let Some(future) = this.future.as_pin_mut() else {
            return Poll::Pending;
        };
        match caught(this.request_id, || future.poll(cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Ok(response))) => {
                let request_id = this.request_id.take();
                let body = |inner| CaughtBody {
                    inner: Some(inner),
                    request_id,
                };
                Poll::Ready(Ok(response.map(body)))
            }
            Err(fault) => Poll::Ready(Ok(refuse(fault))),
        }
    }
}

pin_project! {
    /// The answer; ends with INTERNAL where producing it panics.
    pub struct CaughtBody<B> {
        #[pin]
        inner: Option<B>,
        request_id: Option<RequestId>,
    }
}

impl<B: Default> Default for CaughtBody<B> {
    fn default() -> Self {
        Self {
            inner: Some(B::default()),
            request_id: None,
        }
    }
}

impl<B: Body<Data = Bytes>> Body for CaughtBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        caught(this.request_id, || inner.poll_frame(cx)).unwrap_or_else(|fault| {
            this.inner.set(None);
            let headers = Status::from(fault).into_http::<()>().into_parts().0.headers;
            Poll::Ready(Some(Ok(Frame::trailers(headers))))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.inner.as_ref().map(Body::size_hint);
        hint.unwrap_or_else(|| SizeHint::with_exact(0))
    }
}
