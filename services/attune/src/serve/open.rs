//! Opens the services of this process, each on a database of its own, and joins all
//! services by channels: in process where they are here, over TCP where they are not.

use std::path::Path;

use anyhow::Context;
use attune_api::events::v1::event_log_service_server::EventLogServiceServer;
use attune_catalog::Catalog;
use attune_events::{LogServer, LogSource};
use attune_messaging::Messaging;
use attune_profile::Profile;
use attune_rpc::{Channel, Internal, Peers, Tasks};
use attune_rule_engine::RuleEngine;
use attune_storage::{Database, Migrations};
use attune_vault::Masters;
use tokio_util::sync::CancellationToken;
use tonic::service::{Routes, RoutesBuilder};

use super::ServiceName;
use crate::settings::Settings;

/// In the data directory, beside the embedded databases.
const MASTER_KEY_FILE: &str = "master.key";

/// The services behind the door that run in this process.
pub struct Backends {
    profile: Option<Profile>,
    catalog: Option<Catalog>,
    rule_engine: Option<RuleEngine>,
    messaging: Option<Messaging>,
}

/// The databases of this process, closed after everything that writes to them.
#[derive(Default)]
pub struct Databases(parking_lot::Mutex<Vec<Database>>);

impl Databases {
    pub async fn open(
        &self,
        settings: &Settings,
        service: ServiceName,
        migrations: &Migrations,
    ) -> anyhow::Result<Database> {
        let name = service.as_str();
        let config = &settings.database;
        let url = config.url_of(name, &settings.data_dir);
        let database = Database::open_with(&url, migrations, &config.options)
            .await
            .with_context(|| format!("the database of {name} cannot be opened"))?;
        self.0.lock().push(database.clone());
        Ok(database)
    }

    /// Waits for what was queued to be committed.
    pub async fn close(&self) {
        let databases = std::mem::take(&mut *self.0.lock());
        for database in databases {
            database.close().await;
        }
    }
}

/// Makes the data directory, for its owner only: it holds personal data and keys.
pub fn data_dir(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("the data directory {} cannot be made", path.display()))
}

impl Backends {
    /// Opens all at the same time, because each waits for its own database.
    pub async fn open(settings: &Settings, databases: &Databases) -> anyhow::Result<Self> {
        let (profile, catalog, rule_engine, messaging) = tokio::try_join!(
            profile(settings, databases),
            catalog(settings, databases),
            rule_engine(settings, databases),
            messaging(settings, databases),
        )?;
        Ok(Self {
            profile,
            catalog,
            rule_engine,
            messaging,
        })
    }

    /// Channels to all four, wherever they are.
    pub fn peers(&self, settings: &Settings, internal: &Internal) -> anyhow::Result<Peers> {
        // Within the process nobody has to look for another replica when it drains: the
        // readers of a log are told to stop themselves, once nothing more is published.
        let internal = &Internal {
            draining: CancellationToken::new(),
            ..internal.clone()
        };
        let channel = |service| self.channel(service, settings, internal);
        Ok(Peers {
            profile: channel(ServiceName::Profile)?,
            catalog: channel(ServiceName::Catalog)?,
            rule_engine: channel(ServiceName::RuleEngine)?,
            messaging: channel(ServiceName::Messaging)?,
        })
    }

    fn channel(
        &self,
        service: ServiceName,
        settings: &Settings,
        internal: &Internal,
    ) -> anyhow::Result<Channel> {
        let name = service.as_str();
        match settings.remote(service) {
            Some(address) => Channel::tcp(name, address, internal)
                .with_context(|| format!("peers.{} cannot be used", service.key())),
            // Where nobody here calls it, it may be nowhere: then it has no methods.
            None => Ok(Channel::in_process(name, self.routes(&[service]), internal)),
        }
    }

    /// The methods of those of the services that run here, and their logs.
    pub fn routes(&self, services: &[ServiceName]) -> Routes {
        let mut routes = RoutesBuilder::default();
        let mut logs: Vec<LogSource> = Vec::new();
        for service in services {
            match service {
                ServiceName::Profile => self.profile.iter().for_each(|profile| {
                    profile.register(&mut routes);
                    logs.extend(profile.log());
                }),
                ServiceName::Catalog => self.catalog.iter().for_each(|catalog| {
                    catalog.register(&mut routes);
                    logs.extend(catalog.log());
                }),
                ServiceName::RuleEngine => self.rule_engine.iter().for_each(|rule_engine| {
                    rule_engine.register(&mut routes);
                    logs.extend(rule_engine.log());
                }),
                ServiceName::Messaging => {
                    self.messaging.iter().for_each(|s| s.register(&mut routes));
                }
                ServiceName::Gateway => {}
            }
        }
        if !logs.is_empty() {
            routes.add_service(EventLogServiceServer::new(LogServer::new(logs)));
        }
        routes.routes()
    }

    /// Waits until what the other services had published before is taken in.
    pub async fn caught_up(&self) {
        if let Some(rule_engine) = &self.rule_engine {
            rule_engine.caught_up().await;
        }
    }

    pub fn start(&self, tasks: &Tasks, peers: &Peers) {
        self.profile.iter().for_each(|s| s.start(tasks, peers));
        self.catalog.iter().for_each(|s| s.start(tasks, peers));
        self.rule_engine.iter().for_each(|s| s.start(tasks, peers));
        self.messaging.iter().for_each(|s| s.start(tasks, peers));
    }
}

/// The master keys, made at the first start where the databases are embedded.
pub fn masters(settings: &Settings) -> anyhow::Result<Masters> {
    let file = settings.data_dir.join(MASTER_KEY_FILE);
    let is_embedded = settings.database.url.is_empty();
    Masters::load(&settings.encryption, is_embedded.then_some(&*file))
        .context("encryption.master_keys")
}

async fn profile(settings: &Settings, databases: &Databases) -> anyhow::Result<Option<Profile>> {
    let name = ServiceName::Profile;
    if !settings.has(name) {
        return Ok(None);
    }
    let migrations = &attune_profile::MIGRATIONS;
    let database = databases.open(settings, name, migrations).await?;
    let opened = Profile::open(settings.profile.clone(), database, masters(settings)?).await;
    opened.map(Some).context("profile cannot be opened")
}

async fn catalog(settings: &Settings, databases: &Databases) -> anyhow::Result<Option<Catalog>> {
    let name = ServiceName::Catalog;
    if !settings.has(name) {
        return Ok(None);
    }
    let migrations = &attune_catalog::MIGRATIONS;
    let database = databases.open(settings, name, migrations).await?;
    let opened = Catalog::open(settings.catalog.clone(), database).await;
    opened.map(Some).context("catalog cannot be opened")
}

async fn rule_engine(
    settings: &Settings,
    databases: &Databases,
) -> anyhow::Result<Option<RuleEngine>> {
    let name = ServiceName::RuleEngine;
    if !settings.has(name) {
        return Ok(None);
    }
    let migrations = &attune_rule_engine::MIGRATIONS;
    let database = databases.open(settings, name, migrations).await?;
    let opened = RuleEngine::open(settings.rule_engine.clone(), database).await;
    opened.map(Some).context("rule-engine cannot be opened")
}

async fn messaging(
    settings: &Settings,
    databases: &Databases,
) -> anyhow::Result<Option<Messaging>> {
    let name = ServiceName::Messaging;
    if !settings.has(name) {
        return Ok(None);
    }
    let migrations = &attune_messaging::MIGRATIONS;
    let database = databases.open(settings, name, migrations).await?;
    let opened = Messaging::open(settings.messaging.clone(), database, masters(settings)?).await;
    opened.map(Some).context("messaging cannot be opened")
}
