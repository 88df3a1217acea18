//! Server: a message that is too large is refused while it arrives, before anybody has
//! held or decoded it. Counts all that a call sends: no method of the contract takes a
//! stream.

use std::{
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

/// Refuses requests of more bytes than this.
#[derive(Debug, Clone, Copy)]
pub struct SizeLimit(pub usize);

/// gRPC's frame around a message: one flag, four bytes of length.
const FRAME_BYTES: usize = 5;

impl<I> Layer<I> for SizeLimit {
    type Service = SizeLimited<I>;
    fn layer(&self, inner: I) -> Self::Service {
        let bytes_max = self.0;
        SizeLimited { bytes_max, inner }
    }
}

#[derive(Debug, Clone)]
pub struct SizeLimited<I> {
    bytes_max: usize,
    inner: I,
}

impl<I, B> Service<Request<tonic::body::Body>> for SizeLimited<I>
where
    I: Service<Request<tonic::body::Body>, Response = Response<B>>,
{
    type Response = I::Response;
    type Error = I::Error;
    type Future = I::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), I::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> I::Future {
        let limit = self.bytes_max;
        let left = limit.saturating_add(FRAME_BYTES);
        let upper = request.body().size_hint().upper();
        if upper.is_some_and(|upper| upper <= left as u64) {
            return self.inner.call(request);
        }
        let counted = |inner| tonic::body::Body::new(Counted { inner, limit, left });
        self.inner.call(request.map(counted))
    }
}

pin_project! {
    struct Counted<B> {
        #[pin]
        inner: B,
        limit: usize,
        left: usize,
    }
}

impl<B: Body<Data = Bytes, Error = Status>> Body for Counted<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.project();
        let polled = this.inner.poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let arrived = frame.data_ref().map_or(0, Bytes::len);
            match this.left.checked_sub(arrived) {
                Some(left) => *this.left = left,
                None => {
                    return Poll::Ready(Some(Err(Fault::payload_too_large(*this.limit).into())));
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
