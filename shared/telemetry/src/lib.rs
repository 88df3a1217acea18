//! Logs, traces and metrics of one process: log lines on standard error that carry
//! the trace they belong to, and OTLP export when, and only when, an endpoint is set.
//! Never decides what is worth telling, and never touches a personal attribute.

mod config;
mod export;
mod logs;
pub mod propagation;
mod w3c;

pub use config::{LogFormat, TelemetryConfig};
pub use propagation::{
    exporting, inject_current, server_context, set_parent, trace_id, traceparent,
};

use opentelemetry_sdk::{
    metrics::SdkMeterProvider, propagation::TraceContextPropagator, trace::SdkTracerProvider,
};
use tracing_subscriber::{
    EnvFilter, Layer, filter::FilterExt, layer::SubscriberExt, util::SubscriberInitExt,
};

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("telemetry.log_filter is not a filter")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("telemetry.otlp_endpoint cannot be exported to")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    #[error("telemetry was started twice in one process")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Keeps the exporters; shut it down last, after all work that could still tell.
#[must_use = "without shutdown() the last spans and metrics are lost"]
pub struct Guard {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
}

/// Starts telemetry for the process, once, inside its Tokio runtime. `service` is the
/// `service.name` of everything exported.
pub fn init(config: &TelemetryConfig, service: &str) -> Result<Guard, Error> {
    let filter = EnvFilter::builder().parse(&config.log_filter)?;
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let Some(endpoint) = config.endpoint() else {
        tracing_subscriber::registry()
            .with(filter)
            // Nobody records spans here, so that making one must cost no more than a look.
            .with(logs::no_spans())
            .with(logs::layer(config.log_format))
            .try_init()?;
        return Ok(Guard {
            traces: None,
            metrics: None,
        });
    };
    let traces = export::traces(config, &endpoint, service)?;
    let metrics = export::metrics(config, &endpoint, service)?;
    tracing_subscriber::registry()
        .with(export::layer(&traces))
        .with(logs::layer(config.log_format).with_filter(filter.and(logs::no_spans())))
        .try_init()?;
    opentelemetry::global::set_meter_provider(metrics.clone());
    propagation::set_exporting();
    Ok(Guard {
        traces: Some(traces),
        metrics: Some(metrics),
    })
}

impl Guard {
    /// Sends what is still held. On a blocking thread, because the exporters wait for
    /// the very runtime that would be blocked.
    pub async fn shutdown(self) {
        let flushed = tokio::task::spawn_blocking(move || {
            if let Some(traces) = self.traces {
                warn_of("traces", traces.shutdown_with_timeout(export::FLUSH_MAX));
            }
            if let Some(metrics) = self.metrics {
                warn_of("metrics", metrics.shutdown_with_timeout(export::FLUSH_MAX));
            }
        });
        if flushed.await.is_err() {
            tracing::warn!("telemetry did not shut down in order");
        }
    }
}

fn warn_of(what: &'static str, result: opentelemetry_sdk::error::OTelSdkResult) {
    if let Err(error) = result {
        tracing::warn!(what, %error, "the last telemetry was not exported");
    }
}
