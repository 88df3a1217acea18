//! What a collector receives from a process: one span in its caller's trace, one
//! metric, both under the service's name, and complete when the process shuts down.

#![allow(clippy::unwrap_used)] // Helpers outside test functions fail the test just the same.

use std::sync::Arc;

use attune_telemetry::{TelemetryConfig, exporting, init, server_context, set_parent};
use opentelemetry_proto::tonic::collector::{
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use parking_lot::Mutex;
use tonic::{Request, Response, Status};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[derive(Clone, Default)]
struct Collector {
    traces: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    metrics: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.traces.lock().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.metrics.lock().push(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

impl Collector {
    /// Listens on a free port and answers its address.
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(self.clone()))
            .add_service(MetricsServiceServer::new(self.clone()));
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        tokio::spawn(server.serve_with_incoming(incoming));
        format!("http://{address}")
    }

    fn span_names_by_trace(&self) -> Vec<(String, String)> {
        let requests = self.traces.lock();
        let spans = requests
            .iter()
            .flat_map(|r| &r.resource_spans)
            .flat_map(|r| &r.scope_spans)
            .flat_map(|s| &s.spans);
        spans.map(|s| (hex(&s.trace_id), s.name.clone())).collect()
    }

    fn metric_names(&self) -> Vec<String> {
        let requests = self.metrics.lock();
        let metrics = requests
            .iter()
            .flat_map(|r| &r.resource_metrics)
            .flat_map(|r| &r.scope_metrics)
            .flat_map(|s| &s.metrics);
        metrics.map(|m| m.name.clone()).collect()
    }

    fn resource(&self) -> String {
        format!("{:?}", self.traces.lock()[0].resource_spans[0].resource)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// One test, since telemetry starts once in a process.
#[tokio::test]
async fn a_collector_gets_spans_in_their_callers_trace_and_metrics() {
    let collector = Collector::default();
    let config = TelemetryConfig {
        otlp_endpoint: collector.start().await,
        ..TelemetryConfig::default()
    };
    let guard = init(&config, "attune-under-test").unwrap();
    assert!(exporting());

    let headers = http::HeaderMap::from_iter([(
        http::HeaderName::from_static("traceparent"),
        http::HeaderValue::from_static(PARENT),
    )]);
    let span = tracing::info_span!(target: "attune::rpc", "rpc", otel.name = "profile/Get");
    set_parent(&span, server_context(&headers));
    let trace_id = span.in_scope(|| {
        let foreign = tracing::info_span!(target: "h2", "frame");
        foreign.in_scope(attune_telemetry::trace_id)
    });
    drop(span);
    assert_eq!(trace_id.as_deref(), Some(TRACE_ID));
    let meter = opentelemetry::global::meter("attune");
    meter.u64_counter("attune.decisions").build().add(1, &[]);

    guard.shutdown().await;
    assert_eq!(
        collector.span_names_by_trace(),
        [(TRACE_ID.to_owned(), "profile/Get".to_owned())]
    );
    assert_eq!(collector.metric_names(), ["attune.decisions"]);
    assert!(collector.resource().contains("attune-under-test"));
    assert!(init(&config, "again").is_err());
}
