//! The shape of a layer that cuts a call off when something happens first: answers with
//! a failure if there is no answer yet, else ends the stream with it. The alarm is armed
//! only once the call has to wait, so that an answer from memory never touches a timer.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use attune_errors::Fault;
use bytes::Bytes;
use futures::{
    FutureExt,
    future::{BoxFuture, select},
};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Status;
use tower::{Layer, Service};

use super::refuse;

/// The reason of an [`Until`].
pub trait Limit: Clone {
    type Alarm: Alarm;
    fn of<B>(&self, request: &Request<B>) -> Self::Alarm;
}

/// What may come before the end of a call.
pub trait Alarm {
    /// Completes when the call is to be cut off; none when that can never happen.
    fn arm(&self) -> Option<BoxFuture<'static, Fault>>;
}

/// Two limits are one: whichever comes first.
impl<L1: Limit, L2: Limit> Limit for (L1, L2) {
    type Alarm = (L1::Alarm, L2::Alarm);

    fn of<B>(&self, request: &Request<B>) -> Self::Alarm {
        (self.0.of(request), self.1.of(request))
    }
}

impl<A1: Alarm, A2: Alarm> Alarm for (A1, A2) {
    fn arm(&self) -> Option<BoxFuture<'static, Fault>> {
        match (self.0.arm(), self.1.arm()) {
            (Some(one), Some(two)) => Some(select(one, two).map(|e| e.factor_first().0).boxed()),
            (one, two) => one.or(two),
        }
    }
}

/// Puts a [`Limit`] on a service's calls.
#[derive(Debug, Clone)]
pub struct UntilLayer<L>(pub L);

impl<L: Limit, I> Layer<I> for UntilLayer<L> {
    type Service = Until<L, I>;
    fn layer(&self, inner: I) -> Self::Service {
        let limit = self.0.clone();
        Until { limit, inner }
    }
}

#[derive(Debug, Clone)]
pub struct Until<L, I> {
    limit: L,
    inner: I,
}

impl<L, I, A, B> Service<Request<A>> for Until<L, I>
where
    L: Limit,
    I: Service<Request<A>, Response = Response<B>, Error = Infallible>,
    B: Default,
{
    type Response = Response<UntilBody<B, L::Alarm>>;
    type Error = Infallible;
    type Future = UntilFuture<I::Future, L::Alarm>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let armed = Some(Armed::new(self.limit.of(&request)));
        let future = self.inner.call(request);
        UntilFuture { future, armed }
    }
}

/// An alarm and its future, once it was needed.
struct Armed<A> {
    alarm: A,
    ringing: Option<BoxFuture<'static, Fault>>,
}

impl<A: Alarm> Armed<A> {
    fn new(alarm: A) -> Self {
        let ringing = None;
        Self { alarm, ringing }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        if self.ringing.is_none() {
            self.ringing = self.alarm.arm();
        }
        match &mut self.ringing {
            Some(ringing) => ringing.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

pin_project! {
    pub struct UntilFuture<F, A> {
        #[pin]
        future: F,
        armed: Option<Armed<A>>,
    }
}

impl<F, A, B> Future for UntilFuture<F, A>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    A: Alarm,
    B: Default,
{
    type Output = Result<Response<UntilBody<B, A>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(Ok(response)) = this.future.poll(cx) {
            let armed = this.armed.take();
            return Poll::Ready(Ok(response.map(|inner| UntilBody { inner, armed })));
        }
        let Some(armed) = this.armed else {
            return Poll::Pending;
        };
        let fault = ready!(armed.poll(cx));
        Poll::Ready(Ok(refuse(fault)))
    }
}

pin_project! {
    /// The answer, for as long as the alarm is silent.
    pub struct UntilBody<B, A> {
        #[pin]
        inner: B,
        armed: Option<Armed<A>>,
    }
}

impl<B: Default, A> Default for UntilBody<B, A> {
    fn default() -> Self {
        let inner = B::default();
        Self { inner, armed: None }
    }
}

impl<B: Body<Data = Bytes>, A: Alarm> Body for UntilBody<B, A> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.project();
        if let Poll::Ready(frame) = this.inner.poll_frame(cx) {
            return Poll::Ready(frame);
        }
        let Some(armed) = this.armed else {
            return Poll::Pending;
        };
        let status = Status::from(ready!(armed.poll(cx)));
        *this.armed = None;
        let headers = status.into_http::<()>().into_parts().0.headers;
        Poll::Ready(Some(Ok(Frame::trailers(headers))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
