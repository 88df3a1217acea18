//! The OTLP exporters: traces and metrics over gRPC. Built only when there is an
//! endpoint; everything else in the product sees OpenTelemetry's no-op otherwise.

use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, SdkMeterProvider},
    trace::{Sampler, SdkTracerProvider},
};
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, filter::FilterFn, registry::LookupSpan};

use crate::TelemetryConfig;

/// A collector that does not answer must not hold the shutdown up for longer.
pub const FLUSH_MAX: Duration = Duration::from_secs(5);
const EXPORT_MAX: Duration = Duration::from_secs(10);

pub fn traces(
    config: &TelemetryConfig,
    endpoint: &str,
    service: &str,
) -> Result<SdkTracerProvider, ExporterBuildError> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(EXPORT_MAX)
        .build()?;
    let ratio = Sampler::TraceIdRatioBased(config.trace_sample_ratio);
    Ok(SdkTracerProvider::builder()
        .with_resource(resource(service))
        .with_sampler(Sampler::ParentBased(Box::new(ratio)))
        .with_batch_exporter(exporter)
        .build())
}

pub fn metrics(
    config: &TelemetryConfig,
    endpoint: &str,
    service: &str,
) -> Result<SdkMeterProvider, ExporterBuildError> {
    let exporter = MetricExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(EXPORT_MAX)
        .build()?;
    let reader = PeriodicReader::builder(exporter)
        .with_interval(Duration::from_millis(config.metric_interval_ms))
        .build();
    Ok(SdkMeterProvider::builder()
        .with_resource(resource(service))
        .with_reader(reader)
        .build())
}

/// Turns our own spans into OpenTelemetry's. Others' are left out: the exporter's own
/// HTTP/2 client would otherwise trace its exports without end.
pub fn layer<S>(traces: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let ours = FilterFn::new(|metadata| {
        metadata.target().starts_with("attune") && *metadata.level() <= LevelFilter::INFO
    })
    .with_max_level_hint(LevelFilter::INFO);
    tracing_opentelemetry::layer()
        .with_tracer(traces.tracer("attune"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(ours)
}

/// Adds what OTEL_RESOURCE_ATTRIBUTES says.
fn resource(service: &str) -> Resource {
    Resource::builder()
        .with_service_name(service.to_owned())
        .with_attribute(opentelemetry::KeyValue::new(
            "service.version",
            env!("CARGO_PKG_VERSION"),
        ))
        .build()
}
