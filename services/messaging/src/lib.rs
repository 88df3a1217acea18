//! Messaging: says it, once, to someone who wants to hear it. Owns templates, the
//! durable queue of messages and their delivery by e-mail; knows nobody else's data
//! and decides for nobody what to say.

mod config;
mod convert;
mod delivery;
pub mod domain;
mod error;
mod metrics;
mod rpc;
mod service;
mod smtp;
mod store;

use std::sync::Arc;

use attune_api::messaging::v1::messaging_service_server::MessagingServiceServer;
use attune_events::{Consumer, LogSource};
use attune_rpc::{MESSAGE_BYTES_MAX, Peers, Tasks};
use attune_storage::{Database, Migrations};
use attune_vault::{KeyRing, Masters};
use parking_lot::Mutex;
use tonic::service::RoutesBuilder;

pub use config::{Config, Delivery, Email, Smtp, Templates, Tls};
pub use error::Error;

use delivery::Worker;
use service::{UseCases, follow::Following};
use store::erasure::{CONSUMER, PROFILE};

/// Memory for keys of those who are written to.
const KEYS_BYTES_MAX: u64 = 4 << 20;

/// The tables of this service.
pub static MIGRATIONS: Migrations =
    attune_storage::migrations!["0001_messages.sql", "0002_privacy.sql", "0003_erasure.sql"];

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Messaging {
    /// In the profile's log, from which it is followed.
    position: i64,
    use_cases: Arc<UseCases>,
    /// Until it is started; None from the start where no mail server is set.
    worker: Arc<Mutex<Option<Worker>>>,
}

impl Messaging {
    /// Checks the settings. Connects to the mail server when there is something to send.
    /// `masters` wrap the keys of those who are written to.
    pub async fn open(config: Config, database: Database, masters: Masters) -> Result<Self, Error> {
        if let Some((key, problem)) = config.problems().into_iter().next() {
            return Err(Error::Config { key, problem });
        }
        let keys = KeyRing::open(&database, masters, KEYS_BYTES_MAX).await?;
        let use_cases = Arc::new(UseCases::new(&config, &database, keys));
        use_cases.store.seal_all().await?;
        let position = use_cases.store.position().await?;
        let worker = if use_cases.can_send {
            Some(worker(config, &use_cases).await?)
        } else {
            None
        };
        Ok(Self {
            position,
            use_cases,
            worker: Arc::new(Mutex::new(worker)),
        })
    }

    /// Adds this service's gRPC server.
    pub fn register(&self, routes: &mut RoutesBuilder) {
        let server = MessagingServiceServer::new(rpc::Rpc(Arc::clone(&self.use_cases)))
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        routes.add_service(server);
    }

    /// Nobody follows messaging yet, so it keeps no log.
    pub fn log(&self) -> Option<LogSource> {
        None
    }

    /// Delivers what is queued, and forgets who is erased, until the tasks are told to
    /// stop.
    pub fn start(&self, tasks: &Tasks, peers: &Peers) {
        let profile = Consumer::new(peers.profile.clone(), CONSUMER, PROFILE);
        self.use_cases.record.connect(peers.profile.clone());
        let store = self.use_cases.store.clone();
        let following = Following::new(store, peers.profile.clone(), self.position);
        let following = Arc::new(following);
        profile.follow(self.position, tasks, move |batch| {
            let following = Arc::clone(&following);
            async move { following.take(batch).await }
        });
        if let Some(worker) = self.worker.lock().take() {
            let worker = Arc::new(worker);
            tasks.spawn("message delivery", worker.run(tasks.token()));
        }
    }
}

async fn worker(config: Config, use_cases: &UseCases) -> Result<Worker, Error> {
    let from = domain::address::parse_mailbox(&config.email.from);
    let from = from.map_err(|rule| Error::Config {
        key: "email.from",
        problem: rule.to_owned(),
    })?;
    let smtp = config.email.smtp;
    // Reads the certificates that the system trusts.
    let pool = tokio::task::spawn_blocking(move || smtp::Pool::open(&smtp)).await??;
    Ok(Worker {
        store: use_cases.store.clone(),
        pool,
        from,
        settings: config.delivery,
        wake: Arc::clone(&use_cases.wake),
        metrics: use_cases.metrics.clone(),
    })
}
