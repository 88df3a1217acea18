//! One span per call and side, tied into one trace by W3C context in the metadata.
//! Where nobody records spans, a call pays for one check.

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use opentelemetry::{
    global,
    propagation::{Extractor, Injector},
};
use tonic::Code;
use tracing::{Span, field::Empty, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

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
        let method = Method::at(request.uri().path());
        let span = match self {
            Self::Client => client_span(method),
            Self::Server => server_span(method, request),
        };
        if !span.is_disabled() {
            match self {
                Self::Client => send_context(&span, request.headers_mut()),
                Self::Server => adopt_context(&span, request.headers()),
            }
        }
        SpanWatch { side: *self, span }
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

fn send_context(span: &Span, headers: &mut HeaderMap) {
    let context = span.context();
    global::get_text_map_propagator(|p| p.inject_context(&context, &mut Outgoing(headers)));
}

fn adopt_context(span: &Span, headers: &HeaderMap) {
    let parent = global::get_text_map_propagator(|p| p.extract(&Incoming(headers)));
    // Fails only where no layer exports spans, and then there is no trace to join.
    let _ = span.set_parent(parent);
}

pub struct SpanWatch {
    side: Spans,
    span: Span,
}

impl Observation for SpanWatch {
    fn within<R>(&self, work: impl FnOnce() -> R) -> R {
        self.span.in_scope(work)
    }

    fn end(self, code: Code) {
        if self.span.is_disabled() {
            return;
        }
        let name = code_name(code);
        self.span.record("rpc.response.status_code", name);
        if self.is_error(code) {
            self.span.record("otel.status_code", "ERROR");
            self.span.record("error.type", name);
        }
    }
}

impl SpanWatch {
    /// By the conventions a caller's mistake is no error of the server.
    fn is_error(&self, code: Code) -> bool {
        match self.side {
            Spans::Client => code != Code::Ok,
            Spans::Server => matches!(
                code,
                Code::Unknown
                    | Code::DeadlineExceeded
                    | Code::Unimplemented
                    | Code::Internal
                    | Code::Unavailable
                    | Code::DataLoss
            ),
        }
    }
}

struct Incoming<'a>(&'a HeaderMap);

impl Extractor for Incoming<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct Outgoing<'a>(&'a mut HeaderMap);

impl Injector for Outgoing<'_> {
    fn set(&mut self, key: &str, value: String) {
        let name = HeaderName::from_bytes(key.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
            self.0.insert(name, value);
        }
    }
}
