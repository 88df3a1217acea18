//! The catalog: item types with typed characteristics, and the items that can be
//! offered. Answers from memory what it can, checks everything before it is stored,
//! and tells every change in its log. Knows nothing of people or of deciding.

mod cache;
mod config;
mod convert;
mod domain;
mod error;
mod metrics;
mod rpc;
mod service;
mod store;

use std::sync::Arc;

use attune_api::catalog::v1::ItemType;
use attune_events::LogSource;
use attune_rpc::{Peers, Tasks};
use attune_storage::{Database, Migrations, resources::Table};
use tonic::service::RoutesBuilder;

pub use config::Config;
pub use error::Error;

use crate::{
    cache::{ItemCache, TypeCache},
    error::SERVICE,
    metrics::Metrics,
    service::follow::OwnWrites,
};

/// The schema this service expects.
pub static MIGRATIONS: Migrations = attune_storage::migrations!["0001_items.sql"];

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Catalog(Arc<Inner>);

struct Inner {
    config: Config,
    database: Database,
    item_types: Table<ItemType>,
    memory: Arc<Memory>,
}

/// What is kept in memory and must follow every commit.
struct Memory {
    items: ItemCache,
    types: TypeCache,
    own_writes: OwnWrites,
    metrics: Metrics,
    /// The log's newest position when memory was first filled.
    opened_at_position: i64,
}

impl Catalog {
    pub async fn open(config: Config, database: Database) -> Result<Self, Error> {
        let memory = Arc::new(Memory {
            items: ItemCache::new(config.cached_items_max),
            types: TypeCache::default(),
            own_writes: OwnWrites::new(database.is_shared()),
            metrics: Metrics::new(crate::store::count(&database).await?),
            opened_at_position: database.log_head().await?,
        });
        let item_types = service::types::table(&database, &memory);
        memory.types.replace(item_types.load_all().await?);
        Ok(Self(Arc::new(Inner {
            config,
            database,
            item_types,
            memory,
        })))
    }

    /// Adds this service's methods.
    pub fn register(&self, routes: &mut RoutesBuilder) {
        routes.add_service(rpc::server(self.clone()));
    }

    /// What it tells the others.
    pub fn log(&self) -> Option<LogSource> {
        let database = self.0.database.clone();
        Some(LogSource::new(SERVICE, database))
    }

    /// Background work, until the tasks are told to stop. The catalog calls nobody.
    pub fn start(&self, tasks: &Tasks, _peers: &Peers) {
        service::follow::start(self, tasks);
    }
}
