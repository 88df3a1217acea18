//! The shape of a layer that looks at a request once: lets it pass, changed or with
//! something to hold until the answer is over, or refuses it. Knows no reasons itself.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use attune_errors::Fault;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::refuse;

/// The reason of a [`Gate`].
pub trait Step: Clone {
    /// Dropped when the answer's last byte is read, or when nobody reads on.
    type Held;

    fn admit<B>(&self, request: &mut Request<B>) -> Result<Self::Held, Fault>;
}

/// Steps in a row are a step: taken from left to right, until one refuses.
macro_rules! steps_in_a_row {
    ($($step:ident),+) => {
        impl<$($step: Step),+> Step for ($($step,)+) {
            type Held = ($($step::Held,)+);

            #[allow(non_snake_case)] // The steps' types name them here as well.
            fn admit<B>(&self, request: &mut Request<B>) -> Result<Self::Held, Fault> {
                let ($($step,)+) = self;
                Ok(($($step.admit(request)?,)+))
            }
        }
    };
}

steps_in_a_row!(S1, S2);
steps_in_a_row!(S1, S2, S3, S4);

/// Puts a [`Step`] in front of a service.
#[derive(Debug, Clone)]
pub struct GateLayer<S>(pub S);

impl<S: Step, I> Layer<I> for GateLayer<S> {
    type Service = Gate<S, I>;
    fn layer(&self, inner: I) -> Self::Service {
        let step = self.0.clone();
        Gate { step, inner }
    }
}

#[derive(Debug, Clone)]
pub struct Gate<S, I> {
    step: S,
    inner: I,
}

impl<S, I, A, B> Service<Request<A>> for Gate<S, I>
where
    S: Step,
    I: Service<Request<A>, Response = Response<B>, Error = Infallible>,
    B: Default,
{
    type Response = Response<GateBody<B, S::Held>>;
    type Error = Infallible;
    type Future = GateFuture<I::Future, S::Held>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        match self.step.admit(&mut request) {
            Ok(held) => GateFuture::Admitted {
                future: self.inner.call(request),
                held: Some(held),
            },
            Err(fault) => GateFuture::Refused { fault },
        }
    }
}

pin_project! {
    #[project = GateFutureProjected]
    pub enum GateFuture<F, H> {
        Admitted { #[pin] future: F, held: Option<H> },
        Refused { fault: Fault },
    }
}

impl<F, H, B> Future for GateFuture<F, H>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Default,
{
    type Output = Result<Response<GateBody<B, H>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (response, held) = match self.project() {
            GateFutureProjected::Admitted { future, held } => {
                let Ok(response) = ready!(future.poll(cx));
                (response, held.take())
            }
            GateFutureProjected::Refused { fault } => (refuse(fault.clone()), None),
        };
        Poll::Ready(Ok(response.map(|inner| GateBody { inner, held })))
    }
}

pin_project! {
    /// The answer, holding what the step wanted held.
    pub struct GateBody<B, H> {
        #[pin]
        inner: B,
        held: Option<H>,
    }
}

impl<B: Default, H> Default for GateBody<B, H> {
    fn default() -> Self {
        let inner = B::default();
        Self { inner, held: None }
    }
}

impl<B: Body<Data = Bytes>, H> Body for GateBody<B, H> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
