//! The gateway: the only public door. It knows workspaces and keys, composes the four
//! other services into one personalized answer, takes in behaviour, and passes
//! management calls on. It never decides what is right for a person, and never answers
//! with an error because a peer is down.

mod access;
mod clients;
mod collection;
mod config;
mod convert;
mod domain;
mod door;
mod error;
mod http;
mod methods;
mod personalization;
mod preferences;
mod store;

use std::{sync::Arc, time::Duration};

use attune_rpc::{Health, Peers, Tasks, stack};
use attune_storage::{Database, Migrations};
use axum::Router;
use tower::ServiceExt;

use crate::{
    access::{Access, Keyring},
    clients::Clients,
    collection::Collection,
    door::Door,
    http::Routes,
    methods::Methods,
    personalization::Personalization,
    preferences::Preferences,
    store::Store,
};

pub use config::{Config, Cors, Personalize};
pub use error::Error;

/// To be given to [`Database::open`].
pub static MIGRATIONS: Migrations =
    attune_storage::migrations!["0001_access.sql", "0002_secrets.sql"];

/// The gateway of one process. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    config: Arc<Config>,
    keyring: Arc<Keyring>,
    personalization: Arc<Personalization>,
    routes: Arc<Routes>,
    door: Door,
}

impl Gateway {
    /// Makes the first admin key if there is to be one, and reads the others.
    pub async fn open(config: Config, database: Database, peers: Peers) -> Result<Self, Error> {
        config.check().map_err(Error::Config)?;
        let store = Store::new(database);
        Access::bootstrap(&store, &config.bootstrap_admin_key).await?;
        let rate = config.key_requests_per_second_max;
        let keyring = Arc::new(Keyring::open(store.clone(), rate).await?);
        let subject_key = preferences::subject_key(&store, &config.subject_token_key).await?;
        let clients = Clients::new(&peers);
        let personalization = Arc::new(Personalization::new(&config, clients.clone()));
        let preferences = Preferences::new(clients.clone(), subject_key, personalization.clone());
        let door = Door::new(
            keyring.clone(),
            Access::new(store, keyring.clone()),
            Collection::new(clients, config.email_identity),
            personalization.clone(),
            preferences,
            peers,
        );
        Ok(Self {
            config: Arc::new(config),
            keyring,
            personalization,
            routes: Arc::new(Routes::read(&Methods::read())?),
            door,
        })
    }

    /// Everything that the public port serves: gRPC with health and reflection,
    /// gRPC-Web, HTTP/JSON, `/openapi.json`, `/livez` and `/readyz`.
    pub fn router(&self, health: &Health) -> Result<Router, Error> {
        let limits = &self.config.limits;
        let door = self.door.clone().map_response(door::tell_malformed);
        let door = stack::public(door, limits, health.draining());
        let (routes, cors) = (self.routes.clone(), &self.config.cors);
        http::router(door, routes, health, cors, limits.message_bytes_max)
    }

    /// Full names of the services that the public may call, for health checks.
    pub fn services() -> Vec<String> {
        Methods::read().services()
    }

    /// Follows keys that other replicas change, and learns the placements' fallbacks.
    pub fn start(&self, tasks: &Tasks) {
        let every = Duration::from_millis(self.config.key_refresh_ms);
        self.keyring.follow(tasks, every);
        self.personalization.start(tasks);
    }
}
