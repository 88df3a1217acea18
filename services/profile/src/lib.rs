//! The profile service: who the customers are, what they did and what may be used of it.
//! Owns identities, traits, consents and the timeline in its own database, answers
//! decisions from memory, and tells the others through its log.

mod clock;
mod config;
mod convert;
mod domain;
mod error;
mod histories;
mod memory;
mod metrics;
mod packed;
mod rpc;
mod service;
mod store;
mod webhook;

use std::sync::Arc;

use attune_api::profile::v1::{
    audience_service_server::AudienceServiceServer, import_service_server::ImportServiceServer,
    privacy_service_server::PrivacyServiceServer, schema_service_server::SchemaServiceServer,
    segment_service_server::SegmentServiceServer,
};
use attune_events::LogSource;
use attune_rpc::{MESSAGE_BYTES_MAX, Peers, Tasks};
use attune_storage::Database;
use attune_vault::Masters;

use service::audiences::Deliverer;
use webhook::Webhooks;

pub use clock::Clock;
pub use config::{Audiences, Config, Consent, Destination};
pub use error::Error;
pub use store::MIGRATIONS;

/// The name under which this service's log is read.
pub const NAME: &str = "profile";

/// The service, opened. Cheap to clone.
#[derive(Clone)]
pub struct Profile(Arc<service::Service>);

impl Profile {
    /// Needs a database that was opened with [`MIGRATIONS`], and the master keys under
    /// which the keys of its people are wrapped.
    pub async fn open(config: Config, database: Database, masters: Masters) -> Result<Self, Error> {
        Self::open_with(config, database, masters, Clock::system()).await
    }

    /// As [`Profile::open`], for whoever wants to say what time it is.
    pub async fn open_with(
        config: Config,
        database: Database,
        masters: Masters,
        clock: Clock,
    ) -> Result<Self, Error> {
        let service = service::Service::open(config, database, masters, clock).await?;
        Ok(Self(Arc::new(service)))
    }

    /// Adds what it answers to a server.
    pub fn register(&self, routes: &mut tonic::service::RoutesBuilder) {
        let rpc = rpc::Rpc(self.0.clone());
        let profile = rpc::profile_server(rpc.clone());
        let schema = SchemaServiceServer::new(rpc.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let audiences = AudienceServiceServer::new(rpc.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let imports = ImportServiceServer::new(rpc.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let privacy = PrivacyServiceServer::new(rpc.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let segments = SegmentServiceServer::new(rpc)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        routes
            .add_service(profile)
            .add_service(audiences)
            .add_service(imports)
            .add_service(schema)
            .add_service(privacy)
            .add_service(segments);
    }

    /// What it tells the others.
    pub fn log(&self) -> Option<LogSource> {
        Some(self.source())
    }

    fn source(&self) -> LogSource {
        let source = LogSource::new(NAME, self.0.shared.database.clone());
        source.keeping(store::outbox::is_erasure)
    }

    /// Background work; stops when the tasks do. What was taken in by then is written.
    pub fn start(&self, tasks: &Tasks, _peers: &Peers) {
        if let Some(age) = self.0.shared.config.log.retention() {
            self.source().trim_older_than(age, tasks);
        }
        if !self.0.shared.database.is_embedded() {
            let follow = service::follow::run(self.0.shared.clone(), tasks.clone());
            tasks.spawn("profile: own log", follow);
        }
        let retention = service::retention::run(self.0.clone(), tasks.clone());
        tasks.spawn("profile: retention", retention);
        let due = service::due::run(self.0.clone(), tasks.clone());
        tasks.spawn("profile: due", due);
        let fills = service::backfill::run(self.0.clone(), tasks.clone());
        tasks.spawn("profile: fills", fills);
        if !self.0.shared.config.audiences.destinations.is_empty() {
            match Webhooks::new() {
                Ok(webhooks) => {
                    let deliverer = Deliverer::new(self.0.shared.clone(), webhooks);
                    tasks.spawn("profile: audiences", deliverer.run(tasks.clone()));
                }
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "audiences are not delivered"
                ),
            }
        }
        let (service, token) = (self.0.clone(), tasks.token());
        tasks.spawn("profile: writer", async move {
            token.cancelled().await;
            service.writer.close().await;
            service.shared.audit_log.close().await;
            service.shared.flush_quality().await;
        });
        let quality = service::quality::keep(self.0.shared.clone(), tasks.clone());
        tasks.spawn("profile: quality", quality);
    }
}
