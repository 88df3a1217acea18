//! What is right for this person here, and why: the rule base, the models that learn
//! from behaviour, decisions and their outcomes. Decides from memory alone; asks the
//! other services only for their logs, and the catalog and the profile service for what
//! is declared when an expression is saved.

mod config;
mod convert;
// Public for the crate's own benchmark and property tests.
pub mod domain;
mod error;
mod rpc;
mod service;
mod store;

use std::{sync::Arc, time::Duration};

use attune_api::rules::v1::{
    DecideRequest, DecideResponse, analysis_service_server::AnalysisServiceServer,
    rule_service_server::RuleServiceServer,
};
use attune_events::{AccessRecord, Consumer, LogSource};
use attune_rpc::{MESSAGE_BYTES_MAX, Peers, Tasks, Workspace};
use attune_storage::{Database, Migrations};
use parking_lot::Mutex;
use prost::Message;
use tonic::service::RoutesBuilder;

pub use config::Config;
pub use error::{Error, SERVICE};

use domain::{attribution::Windows, decide::Stages, token::TokenKey};
use service::{
    analysis::Analysis,
    decide::Decider,
    decision_log::DecisionLog,
    erasures, exposures, filters,
    follow::{self, Learning},
    metrics::Metrics,
    outcomes::Outcomes,
    replicas,
    reports::Reports,
    retention,
    rules::Rules,
    simulate::Simulator,
    snapshots,
    workspace::Workspaces,
};

/// The schema of this service's database.
pub static MIGRATIONS: Migrations = attune_storage::migrations![
    "0001_rule_engine.sql",
    "0002_rules.sql",
    "0003_exposures.sql",
    "0004_reports.sql",
    "0005_item_history.sql",
    "0006_parted_people.sql",
    "0007_erased.sql",
];

/// The rule-engine. Cheap to clone.
#[derive(Clone)]
pub struct RuleEngine(Arc<Inner>);

struct Inner {
    config: Config,
    database: Database,
    workspaces: Arc<Workspaces>,
    learning: Arc<Learning>,
    /// Position in the catalog's log that was read at the start.
    projected: i64,
    /// Outcomes that were read at the start.
    known: exposures::Known,
    rules: Arc<Rules>,
    decider: Arc<Decider>,
    outcomes: Arc<Outcomes>,
    decision_log: Arc<DecisionLog>,
    analysis: Arc<Analysis>,
    simulator: Arc<Simulator>,
    record: Arc<AccessRecord>,
    reports: Arc<Reports>,
    /// By the name of the log.
    following: Mutex<Vec<(&'static str, attune_events::Progress)>>,
}

impl RuleEngine {
    /// Reads what is stored into memory. Nothing is followed before `start`.
    pub async fn open(config: Config, database: Database) -> Result<Self, Error> {
        let token_key = token_key(&config, &database).await?;
        let workspaces = Arc::new(Workspaces::new(config.clone()));
        let learning = Arc::new(Learning::default());
        // Before the rows: what others store meanwhile is then taken in again.
        let projected = database.position(SERVICE, store::items::CATALOG).await?;
        snapshots::load(&database, &workspaces, &learning, &config).await?;
        let rules = Arc::new(Rules::new(&database, &workspaces));
        replicas::load(&database, &rules, &workspaces).await?;
        let known = exposures::load(&database, &workspaces).await?;
        let metrics = Arc::new(Metrics::new());
        let reports = Arc::new(Reports::new(&database, config.report_rows_per_day_max));
        let decision_log = Arc::new(DecisionLog::new(
            &database,
            config.decision_queue_max,
            Duration::from_millis(config.decision_flush_ms),
            &metrics,
            &reports,
        ));
        let analysis = Arc::new(Analysis {
            database: database.clone(),
            decision_log: Arc::clone(&decision_log),
        });
        let decider = Arc::new(Decider {
            workspaces: Arc::clone(&workspaces),
            token_key: token_key.clone(),
            decision_log: Arc::clone(&decision_log),
            metrics: Arc::clone(&metrics),
        });
        let outcomes = Arc::new(Outcomes {
            workspaces: Arc::clone(&workspaces),
            database: database.clone(),
            token_key,
            windows: Windows::of_hours(
                config.attribution_click_hours,
                config.attribution_conversion_hours,
                config.outcome_grace_hours,
            ),
            decision_log: Arc::clone(&decision_log),
            metrics,
        });
        let simulator = Arc::new(Simulator::new(&workspaces, &rules, &analysis));
        Ok(Self(Arc::new(Inner {
            config,
            database,
            workspaces,
            learning,
            projected,
            known,
            rules,
            decider,
            outcomes,
            decision_log,
            analysis,
            simulator,
            record: Arc::default(),
            reports,
            following: Mutex::default(),
        })))
    }

    /// Adds this service's gRPC servers.
    pub fn register(&self, routes: &mut RoutesBuilder) {
        let rules = rpc::RuleBase {
            rules: Arc::clone(&self.0.rules),
        };
        let decisions = rpc::Decisions {
            decider: Arc::clone(&self.0.decider),
            outcomes: Arc::clone(&self.0.outcomes),
            record: Arc::clone(&self.0.record),
        };
        routes.add_service(
            RuleServiceServer::new(rules).max_decoding_message_size(MESSAGE_BYTES_MAX),
        );
        routes.add_service(decisions);
        let looking_back = rpc::LookingBack {
            analysis: Arc::clone(&self.0.analysis),
            simulator: Arc::clone(&self.0.simulator),
            record: Arc::clone(&self.0.record),
        };
        routes.add_service(
            AnalysisServiceServer::new(looking_back).max_decoding_message_size(MESSAGE_BYTES_MAX),
        );
    }

    /// This service publishes nothing.
    pub fn log(&self) -> Option<LogSource> {
        None
    }

    /// Follows the catalog and the profile and stores what has to be stored, until the
    /// tasks shut down.
    pub fn start(&self, tasks: &Tasks, peers: &Peers) {
        let inner = &self.0;
        inner
            .rules
            .connect(peers.catalog.clone(), peers.profile.clone());
        inner.simulator.connect(peers.profile.clone());
        inner.record.connect(peers.profile.clone());
        inner.decision_log.start(tasks);
        let counting = Arc::clone(&inner.reports).follow(tasks.clone());
        tasks.spawn("report counts", counting);
        self.follow(tasks, peers);
        let (database, workspaces) = (inner.database.clone(), Arc::clone(&inner.workspaces));
        tasks.spawn(
            "model snapshots",
            snapshots::keep(
                tasks.clone(),
                database.clone(),
                Arc::clone(&workspaces),
                Arc::clone(&inner.learning),
                Duration::from_secs(inner.config.model_snapshot_interval_s),
            ),
        );
        let exposures = exposures::keep(
            tasks.clone(),
            database.clone(),
            Arc::clone(&workspaces),
            inner.known,
        );
        tasks.spawn("exposures", exposures);
        let filters = filters::keep(tasks.clone(), Arc::clone(&workspaces));
        tasks.spawn("filters", filters);
        if inner.config.decision_retention_days > 0 {
            let days = inner.config.decision_retention_days;
            let trimming = retention::keep(tasks.clone(), database.clone(), days);
            tasks.spawn("decision retention", trimming);
        }
        if database.is_shared() {
            let following = replicas::follow(tasks.clone(), database, workspaces);
            tasks.spawn("rule base revisions", following);
        }
    }

    /// Forgets a person: whose outcomes theirs were, and what they are not to see again.
    pub async fn forget(&self, workspace: &Workspace, profile_id: &str) -> Result<(), Error> {
        self.0.outcomes.forget(workspace, profile_id).await
    }

    /// What the RPC `Decide` answers, without the hop.
    pub fn decide(
        &self,
        workspace: &Workspace,
        request: &DecideRequest,
    ) -> Result<DecideResponse, Error> {
        let answer = self.decide_encoded(workspace, request, &mut ())?;
        // Written by this very process.
        Ok(DecideResponse::decode(answer.as_slice()).unwrap_or_default())
    }

    /// A `DecideResponse` as the RPC sends it; `stages` hears how far it is.
    pub fn decide_encoded(
        &self,
        workspace: &Workspace,
        request: &DecideRequest,
        stages: &mut impl Stages,
    ) -> Result<Vec<u8>, Error> {
        Ok(self.0.decider.decide(workspace, request.clone(), stages)?.0)
    }

    /// Waits until everything is taken in that the logs held when they were last read.
    pub async fn caught_up(&self) {
        let following = self.0.following.lock().clone();
        for (_, mut progress) in following {
            progress.caught_up().await;
        }
    }

    /// Waits until a position of another service's log was taken in.
    pub async fn has_handled(&self, source: &str, position: i64) {
        let following = self.0.following.lock().clone();
        for (_, mut progress) in following.into_iter().filter(|(name, _)| *name == source) {
            progress.reached(position).await;
        }
    }

    fn follow(&self, tasks: &Tasks, peers: &Peers) {
        let inner = &self.0;
        let learnt = inner.learning.0.lock().position;
        let (workspaces, learning) = (Arc::clone(&inner.workspaces), Arc::clone(&inner.learning));
        let profile = Consumer::new(peers.profile.clone(), SERVICE, store::models::PROFILE);
        let database = inner.database.clone();
        let decision_log = Arc::clone(&inner.decision_log);
        let profile = profile.follow(learnt, tasks, move |batch| {
            let (workspaces, learning) = (Arc::clone(&workspaces), Arc::clone(&learning));
            let (database, decision_log) = (database.clone(), Arc::clone(&decision_log));
            async move {
                let entries = &batch.entries;
                exposures::follow_merges(&database, &workspaces, entries).await?;
                erasures::follow(&database, &workspaces, &decision_log, entries).await?;
                // Off the reactor: a full batch is milliseconds of work.
                let learnt = tokio::task::spawn_blocking(move || {
                    follow::profile_batch(&learning, &workspaces, &batch.entries);
                });
                learnt.await.map_err(|_| attune_storage::Error::Panicked)
            }
        });
        let (workspaces, database) = (Arc::clone(&inner.workspaces), inner.database.clone());
        let projected = inner.projected;
        let catalog = Consumer::new(peers.catalog.clone(), SERVICE, store::items::CATALOG);
        let catalog = catalog.follow(projected, tasks, move |batch| {
            let (workspaces, database) = (Arc::clone(&workspaces), database.clone());
            async move { follow::catalog_batch(&database, &workspaces, batch.entries).await }
        });
        *inner.following.lock() = vec![
            (store::models::PROFILE, profile),
            (store::items::CATALOG, catalog),
        ];
    }
}

async fn token_key(config: &Config, database: &Database) -> Result<TokenKey, Error> {
    const NAME: &str = "token";
    let sent = config.token_key.expose();
    if !sent.is_empty() {
        let key = blake3::Hash::from_hex(sent.trim()).map_err(|_| Error::TokenKey)?;
        return Ok(TokenKey::new(*key.as_bytes()));
    }
    let fresh: [u8; 32] = rand::random();
    let key = store::secrets::get_or_put(database, NAME, fresh.to_vec()).await?;
    let key = key.try_into().map_err(|_| Error::Corrupt { what: "key" })?;
    Ok(TokenKey::new(key))
}
