//! The last step of a client's call: into the server's stack in this process, or onto a
//! connection. A peer that cannot be reached is UNAVAILABLE with its name, whatever the
//! socket said.

use std::{
    convert::Infallible,
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
};

use attune_errors::Fault;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use pin_project_lite::pin_project;
use tonic::{Status, body::Body, client::GrpcService, service::Routes, transport::Channel};
use tower::{Service, ServiceExt};

use crate::{dial::Dial, stack::InternalStack};

/// Where the calls go.
#[derive(Clone)]
pub enum Transport {
    InProcess {
        server: InternalStack<Routes>,
    },
    Tcp {
        service: &'static str,
        channel: Channel,
    },
}

type LocalFuture = <InternalStack<Routes> as Service<Request<Body>>>::Future;
type LocalBody = <InternalStack<Routes> as GrpcService<Body>>::ResponseBody;

impl Service<Request<Body>> for Transport {
    type Response = Response<TransportBody>;
    type Error = Infallible;
    type Future = TransportFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Routes are always ready, and a socket's readiness is part of the call, where
        // the deadline sees it.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> TransportFuture {
        match self {
            Self::InProcess { server } => TransportFuture::InProcess {
                future: Service::call(server, request),
            },
            Self::Tcp { service, channel } => TransportFuture::Tcp {
                future: Box::pin(call_remote(channel.clone(), service, request)),
            },
        }
    }
}

pin_project! {
    #[project = TransportFutureProjected]
    pub enum TransportFuture {
        InProcess { #[pin] future: LocalFuture },
        Tcp { future: BoxFuture<'static, Response<Body>> },
    }
}

impl Future for TransportFuture {
    type Output = Result<Response<TransportBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(match self.project() {
            TransportFutureProjected::InProcess { future } => {
                let Ok(response) = ready!(future.poll(cx));
                response.map(|body| TransportBody::InProcess { body })
            }
            TransportFutureProjected::Tcp { future } => {
                ready!(future.as_mut().poll(cx)).map(|body| TransportBody::Tcp { body })
            }
        }))
    }
}

pin_project! {
    #[project = TransportBodyProjected]
    pub enum TransportBody {
        InProcess { #[pin] body: LocalBody },
        Tcp { #[pin] body: Body },
    }
}

impl Default for TransportBody {
    fn default() -> Self {
        let body = Body::default();
        Self::Tcp { body }
    }
}

impl http_body::Body for TransportBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.project() {
            TransportBodyProjected::InProcess { body } => body.poll_frame(cx),
            TransportBodyProjected::Tcp { body } => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::InProcess { body } => body.is_end_stream(),
            Self::Tcp { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::InProcess { body } => body.size_hint(),
            Self::Tcp { body } => body.size_hint(),
        }
    }
}

async fn call_remote(
    mut channel: Channel,
    service: &'static str,
    request: Request<Body>,
) -> Response<Body> {
    let answer = match ServiceExt::ready(&mut channel).await {
        Ok(channel) => Service::call(channel, request).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(response) => {
            response.map(|body| Body::new(body.map_err(move |e| broken_off(service, e))))
        }
        Err(error) => failed(service, &error).into_http(),
    }
}

/// What breaks off in the middle is as unavailable as what never answered.
fn broken_off(service: &'static str, error: Status) -> Status {
    tracing::debug!(service, %error, "answer broke off");
    unavailable(service)
}

fn failed(service: &'static str, error: &(dyn Error + 'static)) -> Status {
    let mut causes = std::iter::successors(Some(error), |&e| e.source());
    // tonic keeps the deadline on sockets as well, and may be first to notice.
    if causes.any(|cause| cause.is::<tonic::TimeoutExpired>()) {
        return Fault::deadline_exceeded().into();
    }
    tracing::debug!(service, error, "call failed");
    unavailable(service)
}

fn unavailable(service: &'static str) -> Status {
    Fault::unavailable(service, Dial::DELAY_MIN).into()
}
