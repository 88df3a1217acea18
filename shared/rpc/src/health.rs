//! Whether this process lives, and whether it wants calls: as gRPC health checking and
//! as `/livez` and `/readyz`. Says what it was told; checks nothing itself.

use std::sync::Arc;

use axum::{Router, routing::get};
use http::StatusCode;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::{ServingStatus, pb::health_server::HealthServer, server::HealthReporter};

use crate::layers::{Drain, UntilLayer};

/// The state of one process. Clones share it.
#[derive(Debug, Clone)]
pub struct Health {
    reporter: HealthReporter,
    services: Arc<Mutex<Vec<String>>>,
    ready: CancellationToken,
    draining: CancellationToken,
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// Alive, and not ready yet.
    pub fn new() -> Self {
        Self {
            reporter: HealthReporter::new(),
            services: Arc::default(),
            ready: CancellationToken::new(),
            draining: CancellationToken::new(),
        }
    }

    /// From now on this process wants calls, to these services by their full names and
    /// to itself under the empty name.
    pub async fn ready(&self, services: &[&str]) {
        let names = services.iter().copied().chain([""]);
        let names: Vec<String> = names.map(str::to_owned).collect();
        for name in &names {
            self.reporter
                .set_service_status(name, ServingStatus::Serving)
                .await;
        }
        *self.services.lock() = names;
        self.ready.cancel();
    }

    /// From now on it does not: load balancers look elsewhere while it finishes.
    pub async fn drain(&self) {
        let names = self.services.lock().clone();
        for name in &names {
            self.reporter
                .set_service_status(name, ServingStatus::NotServing)
                .await;
        }
        self.draining.cancel();
    }

    /// Cancelled when draining begins.
    pub fn draining(&self) -> CancellationToken {
        self.draining.clone()
    }

    pub fn is_ready(&self) -> bool {
        self.ready.is_cancelled() && !self.draining.is_cancelled()
    }

    /// The health service, `/livez` and `/readyz`, which need no credential and are
    /// never shed.
    pub fn router(&self) -> Router {
        let server = HealthServer::new(tonic_health::server::HealthService::from_health_reporter(
            self.reporter.clone(),
        ));
        let this = self.clone();
        let routes = Routes::new(server).into_axum_router().reset_fallback();
        routes
            .layer(UntilLayer(Drain::new(self.draining())))
            .route("/livez", get(async || "ok"))
            .route("/readyz", get(async move || this.readiness()))
    }

    fn readiness(&self) -> (StatusCode, &'static str) {
        if self.is_ready() {
            (StatusCode::OK, "ok")
        } else if self.draining.is_cancelled() {
            (StatusCode::SERVICE_UNAVAILABLE, "draining")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "starting")
        }
    }
}
