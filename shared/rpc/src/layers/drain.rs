//! Server: ends the streams that would never end by themselves once the process drains,
//! so that a reader of the event log moves on to another replica and shutting down does
//! not wait for it. Calls that finish are left to finish.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use attune_errors::Fault;
use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};

use super::until::{Alarm, Until, UntilBody};
use crate::Method;

/// Ends endless streams when the token is cancelled.
#[derive(Debug, Clone)]
pub struct DrainsLayer(Arc<CancellationToken>);

impl DrainsLayer {
    /// Shared, because cloning a token takes a lock and a stack is cloned per call.
    pub fn new(draining: CancellationToken) -> Self {
        Self(Arc::new(draining))
    }
}

impl<I> Layer<I> for DrainsLayer {
    type Service = Drains<I>;
    fn layer(&self, inner: I) -> Self::Service {
        let draining = self.0.clone();
        Drains { draining, inner }
    }
}

#[derive(Debug, Clone)]
pub struct Drains<I> {
    draining: Arc<CancellationToken>,
    inner: I,
}

impl<I, A, B> Service<Request<A>> for Drains<I>
where
    I: Service<Request<A>, Response = Response<B>, Error = Infallible>,
    B: Default,
{
    type Response = Response<UntilBody<B, DrainAlarm>>;
    type Error = Infallible;
    type Future = Until<I::Future, DrainAlarm>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let endless = Method::of(&request).endless;
        let draining = endless.then(|| self.draining.clone());
        Until::new(self.inner.call(request), DrainAlarm(draining))
    }
}

pub struct DrainAlarm(Option<Arc<CancellationToken>>);

impl Alarm for DrainAlarm {
    fn arm(&self) -> Option<BoxFuture<'static, Fault>> {
        let draining = CancellationToken::clone(self.0.as_ref()?).cancelled_owned();
        let retry_after = Duration::from_secs(1);
        Some(
            draining
                .map(move |()| Fault::shutting_down(retry_after))
                .boxed(),
        )
    }
}
