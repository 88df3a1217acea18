//! The use cases of the profile service. Each begins with valid input and ends with an
//! answer or an [`Error`]; SQL is the store's and decisions are the domain's.

mod addresses;
mod ahead;
pub mod audiences;
pub mod audit;
pub mod backfill;
pub mod consent;
pub mod declarations;
mod derive;
pub mod due;
pub mod erase;
mod estimate;
pub mod events;
mod export;
pub mod follow;
pub mod history;
mod imports;
pub mod ingest;
mod lookup;
pub mod members;
pub mod merges;
pub mod obstacles;
pub mod pipeline;
pub mod preferences;
mod presumption;
pub mod purposes;
pub mod quality;
pub mod read;
mod remember;
pub mod retention;
pub mod schema;
mod sealing;
mod segments;
pub mod snapshot;
pub mod windows;
pub mod write;

use std::sync::Arc;

use attune_api::profile::v1::Segment;
use attune_storage::{Database, resources::Table};
use attune_vault::Masters;
use tokio::sync::{Notify, Semaphore};

use crate::{
    Clock, Error,
    config::Config,
    convert::Rules,
    domain::identity::Namespaces,
    histories::HeldHistories,
    memory::{Key, Memory},
    metrics::Metrics,
    store::codec::Codec,
};
use pipeline::{Pipeline, Writer};

/// What all use cases share.
pub struct Shared {
    pub config: Config,
    pub database: Database,
    pub codec: Codec,
    pub clock: Clock,
    pub memory: Memory,
    pub histories: HeldHistories,
    pub settled: obstacles::Settled,
    pub presumption: presumption::Presumption,
    pub metrics: Metrics,
    pub follower: follow::Follower,
    pub turns: Turns,
    pub declared: declarations::Declared,
    pub audit_log: audit::Log,
    pub quality: quality::Quality,
    /// Compiled from the settings.
    pub namespaces: Namespaces,
    pub fills: backfill::Fills,
    pub alarm: due::Alarm,
    /// Tells whoever delivers audiences that there is something to do.
    pub deliveries: Notify,
}

/// Locks by which readers of the same profile take turns.
pub struct Turns(Box<[tokio::sync::Mutex<()>]>);

impl Turns {
    const COUNT: usize = 1_024;

    fn new() -> Self {
        Self(
            (0..Self::COUNT)
                .map(|_| tokio::sync::Mutex::new(()))
                .collect(),
        )
    }

    pub fn of(&self, key: Key) -> &tokio::sync::Mutex<()> {
        &self.0[key.shard(Self::COUNT)]
    }
}

impl Shared {
    pub fn rules<'a>(&'a self, schema: &'a schema::Schema) -> Rules<'a> {
        Rules {
            config: &self.config,
            namespaces: &self.namespaces,
            schema,
        }
    }
}

/// The use cases.
pub struct Service {
    pub shared: Arc<Shared>,
    pub writer: Writer,
    /// Messages that may still be taken in.
    pub room: Arc<Semaphore>,
    pub schema: schema::Tables,
    pub segments: Table<Segment>,
}

impl Service {
    pub async fn open(
        config: Config,
        database: Database,
        masters: Masters,
        clock: Clock,
    ) -> Result<Self, Error> {
        // A key takes a sixteenth of the profile it is needed for.
        let keys_bytes_max = (config.hot_profiles_mib << 20) / 16;
        let codec = Codec::open(&database, masters, keys_bytes_max).await?;
        sealing::seal_all(&database, &codec).await?;
        let follower = follow::Follower::since(database.log_head().await?);
        let room = usize::try_from(config.messages_waiting_max).unwrap_or(usize::MAX);
        let revision = crate::store::revision(&database).await?;
        let shared = Arc::new(Shared {
            memory: Memory::new(&config),
            histories: HeldHistories::new(config.hot_histories_mib << 20),
            settled: obstacles::Settled::default(),
            presumption: presumption::Presumption::default(),
            metrics: Metrics::new(),
            follower,
            turns: Turns::new(),
            declared: declarations::Declared::new(config.default_consent.into()),
            audit_log: audit::Log::new(database.clone()),
            deliveries: Notify::new(),
            quality: quality::Quality::default(),
            namespaces: config.identity.namespaces(),
            fills: backfill::Fills::default(),
            alarm: due::Alarm::default(),
            config,
            codec,
            database,
            clock,
        });
        shared.declared.raise(revision);
        Ok(Self {
            segments: segments::table(&shared),
            writer: Pipeline::spawn(shared.clone()),
            room: Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS))),
            schema: schema::Tables::new(&shared),
            shared,
        })
    }
}
