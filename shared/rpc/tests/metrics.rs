//! RPC metrics by OpenTelemetry's conventions, the same on both topologies. Alone in
//! its file because the meter provider is one per process.

#![allow(clippy::unwrap_used, clippy::panic)] // Tests fail by panicking.

mod support;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use attune_rpc::{Caller, Workspace};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{
        PeriodicReader, SdkMeterProvider, Temporality,
        data::{AggregatedMetrics, MetricData, ResourceMetrics},
        exporter::PushMetricExporter,
    },
};
use support::{Rig, Topology, ask};

/// Metric, method and status of everything exported.
type Seen = BTreeSet<(String, String, String)>;

#[derive(Clone, Default)]
struct Exporter(Arc<Mutex<Seen>>);

impl PushMetricExporter for Exporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let mut seen = self.0.lock().unwrap();
        for metric in metrics.scope_metrics().flat_map(|scope| scope.metrics()) {
            let AggregatedMetrics::F64(MetricData::Histogram(histogram)) = metric.data() else {
                continue;
            };
            assert_eq!(metric.unit(), "s");
            for point in histogram.data_points() {
                let attribute = |key: &str| {
                    let mut all = point.attributes();
                    let found = all.find(|a| a.key.as_str() == key);
                    found.map(|a| a.value.to_string()).unwrap_or_default()
                };
                assert_eq!(attribute("rpc.system.name"), "grpc");
                let (method, status) = (
                    attribute("rpc.method"),
                    attribute("rpc.response.status_code"),
                );
                seen.insert((metric.name().to_owned(), method, status));
            }
        }
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Delta
    }
}

#[tokio::test]
async fn calls_are_measured_on_both_sides_whichever_way_they_end() {
    let exporter = Exporter::default();
    let provider = SdkMeterProvider::builder()
        .with_reader(PeriodicReader::builder(exporter.clone()).build())
        .build();
    opentelemetry::global::set_meter_provider(provider.clone());

    for topology in [Topology::InProcess, Topology::Tcp] {
        let rig = Rig::new(topology).await;
        let caller = Caller::new(Workspace::default());
        rig.decisions()
            .decide(caller.request(ask("echo")))
            .await
            .unwrap();
        rig.decisions()
            .decide(caller.request(ask("violate")))
            .await
            .unwrap_err();
        rig.decisions()
            .decide(caller.request(ask("panic")))
            .await
            .unwrap_err();
        provider.force_flush().unwrap();

        let decide = "attune.rules.v1.DecisionService/Decide";
        let mut expected = Seen::new();
        for metric in ["rpc.client.call.duration", "rpc.server.call.duration"] {
            for status in ["OK", "INVALID_ARGUMENT", "INTERNAL"] {
                expected.insert((metric.to_owned(), decide.to_owned(), status.to_owned()));
            }
        }
        let seen = std::mem::take(&mut *exporter.0.lock().unwrap());
        assert_eq!(seen, expected, "{topology:?}");
    }
}
