//! The shape of a layer that watches a call from its first byte to its last: told when
//! it begins and with which code it ends. Changes nothing about the call.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Code;
use tower::{Layer, Service};

use super::code_in;

/// The reason of an [`Observe`].
pub trait Observer: Clone {
    type Watch: Observation;
    fn begin<B>(&self, request: &mut Request<B>) -> Self::Watch;
}

/// One call under observation.
pub trait Observation {
    /// Around every piece of work for the call.
    fn within<R>(&self, work: impl FnOnce() -> R) -> R {
        work()
    }

    /// Once, at the end; CANCELLED when nobody waited for it.
    fn end(self, code: Code);
}

/// Two observers are one: the second inside of the first.
impl<O1: Observer, O2: Observer> Observer for (O1, O2) {
    type Watch = (O1::Watch, O2::Watch);

    fn begin<B>(&self, request: &mut Request<B>) -> Self::Watch {
        let first = self.0.begin(request);
        let second = first.within(|| self.1.begin(request));
        (first, second)
    }
}

impl<W1: Observation, W2: Observation> Observation for (W1, W2) {
    fn within<R>(&self, work: impl FnOnce() -> R) -> R {
        self.0.within(|| self.1.within(work))
    }

    fn end(self, code: Code) {
        let (first, second) = self;
        first.within(|| second.end(code));
        first.end(code);
    }
}

/// Ends its observation exactly once, at the latest when dropped.
struct Open<W: Observation>(Option<W>);

impl<W: Observation> Open<W> {
    fn within<R>(&self, work: impl FnOnce() -> R) -> R {
        match &self.0 {
            Some(watch) => watch.within(work),
            None => work(),
        }
    }

    fn end(&mut self, code: Code) {
        if let Some(watch) = self.0.take() {
            watch.end(code);
        }
    }
}

impl<W: Observation> Drop for Open<W> {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// Puts an [`Observer`] around a service.
#[derive(Debug, Clone)]
pub struct ObserveLayer<O>(pub O);

impl<O: Observer, I> Layer<I> for ObserveLayer<O> {
    type Service = Observe<O, I>;
    fn layer(&self, inner: I) -> Self::Service {
        let observer = self.0.clone();
        Observe { observer, inner }
    }
}

#[derive(Debug, Clone)]
pub struct Observe<O, I> {
    observer: O,
    inner: I,
}

impl<O, I, A, B> Service<Request<A>> for Observe<O, I>
where
    O: Observer,
    I: Service<Request<A>, Response = Response<B>, Error = Infallible>,
{
    type Response = Response<ObservedBody<B, O::Watch>>;
    type Error = Infallible;
    type Future = ObservedFuture<I::Future, O::Watch>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let open = Open(Some(self.observer.begin(&mut request)));
        let future = open.within(|| self.inner.call(request));
        ObservedFuture {
            future,
            open: Some(open),
        }
    }
}

pin_project! {
    pub struct ObservedFuture<F, W: Observation> {
        #[pin]
        future: F,
        open: Option<Open<W>>,
    }
}

impl<F, W, B> Future for ObservedFuture<F, W>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    W: Observation,
{
    type Output = Result<Response<ObservedBody<B, W>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(response) = ready!(match this.open {
            Some(open) => open.within(|| this.future.poll(cx)),
            None => this.future.poll(cx),
        });
        let mut open = this.open.take().unwrap_or(Open(None));
        if let Some(code) = code_in(response.headers()) {
            open.end(code);
        }
        Poll::Ready(Ok(response.map(|inner| ObservedBody { inner, open })))
    }
}

pin_project! {
    /// The answer, watched to its end.
    pub struct ObservedBody<B, W: Observation> {
        #[pin]
        inner: B,
        open: Open<W>,
    }
}

impl<B: Default, W: Observation> Default for ObservedBody<B, W> {
    fn default() -> Self {
        Self {
            inner: B::default(),
            open: Open(None),
        }
    }
}

impl<B: Body<Data = Bytes>, W: Observation> Body for ObservedBody<B, W> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.project();
        let frame = ready!(this.open.within(|| this.inner.poll_frame(cx)));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(code) = frame.trailers_ref().and_then(code_in) {
                    this.open.end(code);
                }
            }
            Some(Err(_)) | None => this.open.end(Code::Unknown),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
