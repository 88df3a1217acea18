//! Server: ends the streams that would never end by themselves once the process drains,
//! so that a reader of the event log moves on to another replica and shutting down does
//! not wait for it. Calls that finish are left to finish.

use std::{sync::Arc, time::Duration};

use attune_errors::Fault;
use futures::{FutureExt, future::BoxFuture};
use http::Request;
use tokio_util::sync::CancellationToken;

use super::until::{Alarm, Limit};
use crate::Method;

/// The beginning of draining, for endless streams.
#[derive(Debug, Clone)]
pub struct Drain(Arc<CancellationToken>);

impl Drain {
    /// How long a reader is asked to wait before it looks for another replica.
    const RETRY_AFTER: Duration = Duration::from_secs(1);

    /// Shared, because cloning a token takes a lock and a stack is cloned per call.
    pub fn new(draining: CancellationToken) -> Self {
        Self(Arc::new(draining))
    }
}

impl Limit for Drain {
    type Alarm = DrainAlarm;

    fn of<B>(&self, request: &Request<B>) -> DrainAlarm {
        let endless = Method::of(request).endless;
        DrainAlarm(endless.then(|| self.0.clone()))
    }
}

pub struct DrainAlarm(Option<Arc<CancellationToken>>);

impl Alarm for DrainAlarm {
    fn arm(&self) -> Option<BoxFuture<'static, Fault>> {
        let draining = CancellationToken::clone(self.0.as_ref()?).cancelled_owned();
        Some(
            draining
                .map(|()| Fault::shutting_down(Drain::RETRY_AFTER))
                .boxed(),
        )
    }
}
