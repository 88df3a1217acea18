//! A collector of OpenTelemetry data that remembers what it was sent, behind the real
//! OTLP services.

use std::{collections::BTreeSet, sync::Arc};

use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{KeyValue, any_value},
    resource::v1::Resource,
};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// One span, as far as tests look at it.
#[derive(Debug, Clone)]
pub struct Span {
    /// `service.name` of the process.
    pub process: String,
    pub trace_id: String,
    pub id: String,
    /// Empty for a root.
    pub parent_id: String,
    pub name: String,
    pub kind: i32,
}

/// `SPAN_KIND_SERVER` and `SPAN_KIND_CLIENT` of the protocol.
pub const SERVER: i32 = 2;
pub const CLIENT: i32 = 3;

#[derive(Clone, Default)]
pub struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    /// Process and metric.
    metrics: Arc<Mutex<BTreeSet<(String, String)>>>,
    url: String,
}

impl Collector {
    /// Serves until the test ends.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let collector = Self {
            url: format!("http://{address}"),
            ..Self::default()
        };
        let served = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(collector.clone()))
            .add_service(MetricsServiceServer::new(collector.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(served);
        collector
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The spans of one trace so far.
    pub fn trace(&self, trace_id: &str) -> Vec<Span> {
        let spans = self.spans.lock();
        spans
            .iter()
            .filter(|s| s.trace_id == trace_id)
            .cloned()
            .collect()
    }

    /// Names of the metrics so far, with the process that sent them.
    pub fn metrics(&self) -> BTreeSet<(String, String)> {
        self.metrics.lock().clone()
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for group in request.into_inner().resource_spans {
            let process = service_name(group.resource.as_ref());
            let spans = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.spans.lock().extend(spans.map(|span| Span {
                process: process.clone(),
                trace_id: hexadecimal(&span.trace_id),
                id: hexadecimal(&span.span_id),
                parent_id: hexadecimal(&span.parent_span_id),
                name: span.name,
                kind: span.kind,
            }));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        for group in request.into_inner().resource_metrics {
            let process = service_name(group.resource.as_ref());
            let metrics = group
                .scope_metrics
                .into_iter()
                .flat_map(|scope| scope.metrics);
            let named = metrics.map(|metric| (process.clone(), metric.name));
            self.metrics.lock().extend(named);
        }
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

fn service_name(resource: Option<&Resource>) -> String {
    let attributes = resource
        .map(|r| r.attributes.as_slice())
        .unwrap_or_default();
    let name = attributes.iter().find(|a| a.key == "service.name");
    name.and_then(text).unwrap_or_default()
}

fn text(attribute: &KeyValue) -> Option<String> {
    match attribute.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
