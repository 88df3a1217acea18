//! One span per call and side, tied into one trace by W3C context in the metadata.
//! Where nobody exports spans none are made; the trace's ids still travel, for logs.

use attune_telemetry::{exporting, inject_current, server_context, set_parent};
use http::Request;
use opentelemetry::Context;
use tonic::Code;
use tracing::{Span, debug, field::Empty, info_span};

use super::{Observation, Observer, metrics::code_name};
use crate::{Call, Method};

/// Records calls on one side.
#[derive(Debug, Clone, Copy)]
pub enum Spans {
    /// The parent is the span in hand; the context is sent along.
    Client,
    /// The parent is what was sent, never the span that happens to be current: in one
    /// process that would be the client's by accident, over TCP it is none.
    Server,
}

impl Observer for Spans {
    type Watch = SpanWatch;

    fn begin<B>(&self, request: &mut Request<B>) -> SpanWatch {
        match (self, exporting()) {
            (Self::Client, true) => {
                let span = client_span(Method::of(request));
                span.in_scope(|| inject_current(request.headers_mut()));
                SpanWatch::Client(span)
            }
            (Self::Client, false) => {
                inject_current(request.headers_mut());
                SpanWatch::Nothing
            }
            (Self::Server, true) => {
                let span = server_span(Method::of(request), request);
                set_parent(&span, server_context(request.headers()));
                SpanWatch::Server(span, Method::of(request))
            }
            (Self::Server, false) => {
                SpanWatch::Ids(server_context(request.headers()), Method::of(request))
            }
        }
    }
}

fn client_span(method: &'static Method) -> Span {
    info_span!(
        "rpc.client",
        otel.name = method.name,
        otel.kind = "client",
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.method = method.name,
        rpc.response.status_code = Empty,
        error.type = Empty,
    )
}

fn server_span<B>(method: &'static Method, request: &Request<B>) -> Span {
    let request_id = Call::of(request.extensions()).map(|call| call.request_id.as_str());
    info_span!(
        parent: None,
        "rpc.server",
        otel.name = method.name,
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.method = method.name,
        rpc.response.status_code = Empty,
        error.type = Empty,
        attune.workspace = Empty,
        attune.request_id = request_id,
    )
}

/// What a call runs inside of.
pub enum SpanWatch {
    Client(Span),
    Server(Span, &'static Method),
    Ids(Context, &'static Method),
    Nothing,
}

impl Observation for SpanWatch {
    fn within<R>(&self, work: impl FnOnce() -> R) -> R {
        match self {
            Self::Client(span) | Self::Server(span, _) => span.in_scope(work),
            Self::Ids(context, _) => {
                let _attached = context.clone().attach();
                work()
            }
            Self::Nothing => work(),
        }
    }

    fn end(self, code: Code) {
        let name = code_name(code);
        if let Self::Server(_, method) | Self::Ids(_, method) = &self {
            self.within(|| debug!(method = method.name, code = name, "call answered"));
        }
        let is_error = self.is_error(code);
        let (Self::Client(span) | Self::Server(span, _)) = self else {
            return;
        };
        span.record("rpc.response.status_code", name);
        if is_error {
            span.record("otel.status_code", "ERROR");
            span.record("error.type", name);
        }
    }
}

impl SpanWatch {
    /// By the conventions a caller's mistake is no error of the server.
    fn is_error(&self, code: Code) -> bool {
        match self {
            Self::Server(..) => matches!(
                code,
                Code::Unknown
                    | Code::DeadlineExceeded
                    | Code::Unimplemented
                    | Code::Internal
                    | Code::Unavailable
                    | Code::DataLoss
            ),
            _ => code != Code::Ok,
        }
    }
}
