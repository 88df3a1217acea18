//! Cuts a call off when something happens first: answers with a failure if there is no
//! answer yet, else ends the stream with it. The alarm is armed only once the call has
//! to wait, so that an answer from memory never touches the timer.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use attune_errors::Fault;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Status;

use super::refuse;

/// What may come first.
pub trait Alarm {
    /// Completes when the call is to be cut off; none when that can never happen.
    fn arm(&self) -> Option<BoxFuture<'static, Fault>>;
}

/// An alarm and its future, once it was needed.
pub(super) struct Armed<A> {
    alarm: A,
    ringing: Option<BoxFuture<'static, Fault>>,
}

impl<A: Alarm> Armed<A> {
    pub(super) fn new(alarm: A) -> Self {
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
    pub struct Until<F, A> {
        #[pin]
        future: F,
        armed: Option<Armed<A>>,
    }
}

impl<F, A: Alarm> Until<F, A> {
    pub(super) fn new(future: F, alarm: A) -> Self {
        let armed = Some(Armed::new(alarm));
        Self { future, armed }
    }
}

impl<F, A, B> Future for Until<F, A>
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
