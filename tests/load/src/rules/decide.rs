//! `Decide` in process: the shop is loaded and the rules are saved through the public
//! API of a server of its own; then profile and rule-engine are opened here, on what it
//! left behind, and asked directly. One thread, so that a figure is one core's.

use std::{
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use attune_api::{
    events::v1::event_log_service_server::EventLogServiceServer,
    profile::v1::{GetSnapshotRequest, profile_service_client::ProfileServiceClient},
    rules::v1::{DecideRequest, DecideResponse, PlacementRequest},
    r#type::v1::{Subject, subject},
};
use attune_events::{LogServer, LogSource};
use attune_profile::Profile;
use attune_rpc::{Caller, Channel, Internal, PeerToken, Peers, Tasks, Workspace};
use attune_rule_engine::{
    RuleEngine,
    domain::decide::{Stage, Stages},
};
use attune_storage::{Database, Migrations};
use attune_vault::Masters;
use prost::Message;
use tonic::service::RoutesBuilder;

use crate::{drive::quantile, gateway, home, server::Server, shop};

const PLACEMENTS: [&str; 3] = ["home", "second", "third"];
/// Beside those that the server needs to leave in order.
const LEAVE_WITHIN: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Deciding {
    pub per_second: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    /// Mean microseconds of each stage, of decisions apart from the others.
    pub stages: Vec<(Stage, f64)>,
}

pub async fn measure(data: Option<&Path>, time: Duration) -> Result<Deciding> {
    let scratch = tempfile::tempdir()?;
    let server = Server::attune(scratch.path())?;
    let customers = shop::load(&server, data).await?;
    home::put(&server, &PLACEMENTS, home::many_rules()).await?;
    server.leave()?;

    let opened = Opened::at(scratch.path()).await?;
    let requests = opened.requests(&customers).await?;
    // Not a server's work: it may have the thread.
    let deciding = tokio::task::block_in_place(|| time_all(&opened.engine, &requests, time))?;
    opened.close().await?;
    Ok(deciding)
}

fn time_all(engine: &RuleEngine, requests: &[DecideRequest], time: Duration) -> Result<Deciding> {
    let workspace = Workspace::default();
    for request in requests {
        let answer = engine.decide_encoded(&workspace, request, &mut ())?;
        let answer = DecideResponse::decode(answer.as_slice())?;
        let are_full = answer.placements.iter().all(|p| p.slots.len() == 10);
        ensure!(
            are_full && answer.placements.len() == PLACEMENTS.len(),
            "not ten slots in each placement: {answer:?}"
        );
    }
    let mut latencies_us = Vec::with_capacity(1 << 16);
    let begin = Instant::now();
    for request in requests.iter().cycle() {
        let started = Instant::now();
        black_box(engine.decide_encoded(&workspace, request, &mut ())?);
        latencies_us.push(started.elapsed().as_secs_f64() * 1e6);
        if begin.elapsed() > 2 * time {
            break;
        }
    }
    let per_second = latencies_us.len() as f64 / begin.elapsed().as_secs_f64();
    latencies_us.sort_by(f64::total_cmp);
    Ok(Deciding {
        per_second,
        p50_us: quantile(&latencies_us, 0.50),
        p99_us: quantile(&latencies_us, 0.99),
        stages: time_stages(engine, requests, time)?,
    })
}

fn time_stages(
    engine: &RuleEngine,
    requests: &[DecideRequest],
    time: Duration,
) -> Result<Vec<(Stage, f64)>> {
    let workspace = Workspace::default();
    let mut clock = Clock::new();
    let (begin, mut decisions) = (Instant::now(), 0);
    for request in requests.iter().cycle() {
        clock.last = Instant::now();
        black_box(engine.decide_encoded(&workspace, request, &mut clock)?);
        decisions += 1;
        if begin.elapsed() > time {
            break;
        }
    }
    let mean_us = |spent: Duration| spent.as_secs_f64() * 1e6 / f64::from(decisions);
    let spent = Stage::ALL.into_iter().zip(clock.spent);
    Ok(spent
        .map(|(stage, spent)| (stage, mean_us(spent)))
        .collect())
}

/// Adds up the time of each stage.
struct Clock {
    last: Instant,
    spent: [Duration; Stage::ALL.len()],
}

impl Clock {
    fn new() -> Self {
        Self {
            last: Instant::now(),
            spent: Default::default(),
        }
    }
}

impl Stages for Clock {
    fn done(&mut self, stage: Stage) {
        let now = Instant::now();
        self.spent[stage as usize] += now - self.last;
        self.last = now;
    }
}

/// What a server left behind, opened again in this process.
struct Opened {
    engine: RuleEngine,
    profile: ProfileServiceClient<Channel>,
    tasks: Tasks,
    databases: [Database; 3],
}

impl Opened {
    async fn at(folder: &Path) -> Result<Self> {
        let open = async |name: &str, migrations: &Migrations| {
            let url = format!("sqlite://{}/{name}.db", folder.display());
            Database::open(&url, migrations).await
        };
        let databases = [
            open("profile", &attune_profile::MIGRATIONS).await?,
            // Only its log is read.
            open("catalog", &attune_catalog::MIGRATIONS).await?,
            open("rule-engine", &attune_rule_engine::MIGRATIONS).await?,
        ];
        let [profiles, catalog, rules] = &databases;
        let internal = Internal::new(PeerToken::random());
        let tasks = Tasks::new();

        let profile = {
            // Those that the server made.
            let file = folder.join("master.key");
            let masters = Masters::load(&attune_vault::Config::default(), Some(&file))?;
            Profile::open(attune_profile::Config::default(), profiles.clone(), masters).await?
        };
        let mut routes = RoutesBuilder::default();
        profile.register(&mut routes);
        routes.add_service(log("profile", profiles));
        let profile = Channel::in_process("profile", routes.routes(), &internal);
        let mut routes = RoutesBuilder::default();
        routes.add_service(log("catalog", catalog));
        let catalog = Channel::in_process("catalog", routes.routes(), &internal);

        let config = attune_rule_engine::Config::default();
        let engine = RuleEngine::open(config, rules.clone()).await?;
        let peers = Peers {
            profile: profile.clone(),
            catalog: catalog.clone(),
            // Deciding calls nobody.
            rule_engine: catalog.clone(),
            messaging: catalog,
        };
        engine.start(&tasks, &peers);
        engine.caught_up().await;
        Ok(Self {
            engine,
            profile: ProfileServiceClient::new(profile),
            tasks,
            databases,
        })
    }

    /// One request for each customer, with what the profile service knows of them.
    async fn requests(&self, customers: &[String]) -> Result<Vec<DecideRequest>> {
        let caller = Caller::new(Workspace::default());
        let mut profile = self.profile.clone();
        let mut requests = Vec::with_capacity(customers.len());
        for customer in customers {
            let asked = GetSnapshotRequest {
                subject: Some(Subject {
                    id: Some(subject::Id::UserId(customer.clone())),
                }),
                ..GetSnapshotRequest::default()
            };
            let known = profile.get_snapshot(caller.request(asked)).await?;
            requests.push(DecideRequest {
                snapshot: known.into_inner().snapshot,
                channel: "web".into(),
                context: Some(gateway::context()),
                placements: PLACEMENTS.map(placement).to_vec(),
                ..Default::default()
            });
        }
        Ok(requests)
    }

    async fn close(self) -> Result<()> {
        self.tasks.shutdown(LEAVE_WITHIN).await?;
        for database in self.databases {
            database.close().await;
        }
        Ok(())
    }
}

fn log(name: &'static str, database: &Database) -> EventLogServiceServer<LogServer> {
    EventLogServiceServer::new(LogServer::new(vec![LogSource::new(name, database.clone())]))
}

fn placement(id: &str) -> PlacementRequest {
    PlacementRequest {
        placement: id.into(),
        count: 10,
        ..Default::default()
    }
}
