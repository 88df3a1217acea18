//! The trace that a call belongs to, across calls: W3C `traceparent` to and from
//! headers, in process and over TCP alike. Without an exporter the ids still travel,
//! so that log lines of one request can be found together; spans then cost nothing.
//! What every call carries is read and written without the general propagator, which
//! takes a tenth of a call between services; it keeps the rare rest.

use std::sync::{
    LazyLock,
    atomic::{AtomicBool, Ordering},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::{SpanContext, TraceContextExt, TraceFlags, TraceState},
};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{IdGenerator, RandomIdGenerator},
};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::w3c;

static EXPORTING: AtomicBool = AtomicBool::new(false);
static PROPAGATOR: LazyLock<TraceContextPropagator> = LazyLock::new(TraceContextPropagator::new);

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Whether spans go anywhere. Where false, do not make any: run the work inside
/// [`server_context`]'s context instead (`opentelemetry::context::FutureExt`).
pub fn exporting() -> bool {
    EXPORTING.load(Ordering::Relaxed)
}

pub(crate) fn set_exporting() {
    EXPORTING.store(true, Ordering::Relaxed);
}

/// The context that a call arrives with. A call without one begins a new trace: as the
/// root of the server's span when exporting, else under fresh ids that only logs see.
pub fn server_context(headers: &HeaderMap) -> Context {
    if let Some(sent) = headers.get(&TRACEPARENT) {
        if let Some(ids) = w3c::read(sent).filter(|_| !headers.contains_key(&TRACESTATE)) {
            return Context::new().with_remote_span_context(ids);
        }
        let context = PROPAGATOR.extract_with_context(&Context::new(), &Incoming(headers));
        if context.has_active_span() {
            return context;
        }
    }
    if exporting() {
        return Context::new();
    }
    let ids = RandomIdGenerator::default();
    Context::new().with_remote_span_context(SpanContext::new(
        ids.new_trace_id(),
        ids.new_span_id(),
        TraceFlags::NOT_SAMPLED,
        true,
        TraceState::NONE,
    ))
}

/// Writes the current context, that of the entered span or of the attached context,
/// into the headers of an outgoing call.
pub fn inject_current(headers: &mut HeaderMap) {
    Context::map_current(|context| {
        let span = context.span();
        let ids = span.span_context();
        if !ids.is_valid() {
            return;
        }
        if *ids.trace_state() == TraceState::NONE {
            headers.insert(&TRACEPARENT, w3c::write(ids));
        } else {
            PROPAGATOR.inject_context(context, &mut Outgoing(headers));
        }
    });
}

/// The current context as W3C `traceparent`, to be kept with what outlives the call.
pub fn traceparent() -> Option<String> {
    let mut headers = HeaderMap::new();
    inject_current(&mut headers);
    let value = headers.get(&TRACEPARENT)?.to_str().ok()?;
    Some(value.to_owned())
}

/// Makes `span` a child of the context that a call arrived with.
pub fn set_parent(span: &tracing::Span, context: Context) {
    // Fails only for a span that is disabled or already started; both keep their parent.
    let _ = span.set_parent(context);
}

/// The current trace's id in hexadecimal, if there is a trace.
pub fn trace_id() -> Option<String> {
    Context::map_current(|context| {
        let span = context.span();
        let ids = span.span_context();
        ids.is_valid().then(|| ids.trace_id().to_string())
    })
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
        // The propagator's names and values are plain ASCII; an empty tracestate is left out.
        if value.is_empty() {
            return;
        }
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(key.as_bytes()),
            HeaderValue::try_from(value),
        ) {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_callers_trace_is_carried_on() {
        let mut headers = HeaderMap::new();
        headers.insert(&TRACEPARENT, HeaderValue::from_static(PARENT));
        let _entered = server_context(&headers).attach();
        let mut onward = HeaderMap::new();
        inject_current(&mut onward);
        assert_eq!(onward.get(&TRACEPARENT).unwrap(), PARENT);
        assert_eq!(traceparent().as_deref(), Some(PARENT));
        assert_eq!(
            trace_id().as_deref(),
            Some("4bf92f3577b34da6a3ce929d0e0e4736")
        );
    }

    #[test]
    fn a_call_without_a_trace_or_with_a_broken_one_begins_its_own() {
        let broken =
            HeaderMap::from_iter([(TRACEPARENT.clone(), HeaderValue::from_static("00-zz"))]);
        for headers in [HeaderMap::new(), broken] {
            let _entered = server_context(&headers).attach();
            assert_eq!(trace_id().map(|id| id.len()), Some(32));
        }
    }

    #[test]
    fn a_traces_state_is_carried_on() {
        let mut headers = HeaderMap::new();
        headers.insert(&TRACEPARENT, HeaderValue::from_static(PARENT));
        headers.insert(&TRACESTATE, HeaderValue::from_static("vendor=1"));
        let _entered = server_context(&headers).attach();
        let mut onward = HeaderMap::new();
        inject_current(&mut onward);
        assert_eq!(onward, headers);
    }

    #[test]
    fn outside_a_trace_nothing_is_written() {
        let mut headers = HeaderMap::new();
        inject_current(&mut headers);
        assert!(headers.is_empty());
        assert_eq!(trace_id(), None);
    }
}
