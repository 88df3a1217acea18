//! The keys below `telemetry`.

use serde::{Deserialize, Serialize};

/// What is logged, and where traces and metrics go.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Which log lines are written, as a list of `target=level`; a level alone is the default for all.
    pub log_filter: String,
    /// How log lines look: `text` for people, `json` for machines. Both go to standard error.
    pub log_format: LogFormat,
    /// Where traces and metrics go, as OTLP over gRPC (`http://127.0.0.1:4317`). Without it, and without `OTEL_EXPORTER_OTLP_ENDPOINT` in the environment, nothing is exported.
    pub otlp_endpoint: String,
    /// The share of traces that begin here and are kept. A trace that begins elsewhere follows its caller's choice.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub trace_sample_ratio: f64,
    /// The time between two exports of the metrics, in milliseconds.
    #[schemars(range(min = 100, max = 3_600_000))]
    pub metric_interval_ms: u64,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Text,
    Json,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            log_filter: "info,opentelemetry=warn".to_owned(),
            log_format: LogFormat::Text,
            otlp_endpoint: String::new(),
            trace_sample_ratio: 1.0,
            metric_interval_ms: 10_000,
        }
    }
}

impl TelemetryConfig {
    /// What is wrong with the filter, if anything.
    pub fn filter_fault(&self) -> Option<String> {
        let parsed = tracing_subscriber::EnvFilter::builder().parse(&self.log_filter);
        parsed.err().map(|error| error.to_string())
    }

    /// The configured endpoint, or that of OpenTelemetry's own variable.
    pub(crate) fn endpoint(&self) -> Option<String> {
        let configured = Some(self.otlp_endpoint.clone()).filter(|e| !e.is_empty());
        configured.or_else(|| {
            std::env::var(opentelemetry_otlp::OTEL_EXPORTER_OTLP_ENDPOINT)
                .ok()
                .filter(|e| !e.is_empty())
        })
    }
}
