//! Without an endpoint nothing is recorded and nothing is sent.

use attune_telemetry::{TelemetryConfig, exporting, init};

#[tokio::test]
async fn without_an_endpoint_spans_are_not_even_made() {
    let guard = init(&TelemetryConfig::default(), "attune-under-test").unwrap();
    assert!(!exporting());
    assert!(tracing::error_span!(target: "attune::rpc", "rpc").is_disabled());
    assert!(tracing::enabled!(tracing::Level::INFO));
    assert!(!tracing::enabled!(tracing::Level::DEBUG));
    guard.shutdown().await;
}

#[tokio::test]
async fn a_filter_that_is_none_is_refused() {
    let config = TelemetryConfig {
        log_filter: "attune=loud".to_owned(),
        ..TelemetryConfig::default()
    };
    assert!(init(&config, "attune-under-test").is_err());
}
