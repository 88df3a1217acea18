//! A rule-engine behind its real client, following logs that the test writes; and
//! short ways to say what tests send. Knows the contract only.

#![allow(dead_code, clippy::unwrap_used)] // Each test binary uses its own part of it.

mod edits;
mod people;

use attune_api::{
    catalog::v1::{Item, ItemState, ItemType},
    events::v1::{
        EventRecorded, ItemDeleted, ItemTypeChanged, ItemUpserted, LogEntry, ProfileErased,
        ProfilesMerged, ProfilesUnmerged, event_log_service_server::EventLogServiceServer,
        log_entry::Change,
    },
    json,
    profile::v1::{
        Basis, Event, EventItem, RecentEvent, Snapshot,
        profile_service_server::ProfileServiceServer,
    },
    rules::v1::{
        Action, Boost, CreatePlacementRequest, CreateRuleRequest, CreateStrategyRequest,
        DecideRequest, DecideResponse, Pin, Placement, PlacementDecision, PlacementRequest, Rule,
        Source, SourceKind, Strategy, action, analysis_service_client::AnalysisServiceClient,
        decision_service_client::DecisionServiceClient, rule_service_client::RuleServiceClient,
    },
    time,
};
use attune_errors::{Reason, reason_of, violations_of};
use attune_events::{LogServer, LogSource};
use attune_rpc::{Caller, Channel, Internal, PeerToken, Peers, Tasks, Workspace};
use attune_rule_engine::{Config, MIGRATIONS, RuleEngine};
use attune_storage::{Database, LogRecord, Migrations, Tx};
use attune_testkit::{PATIENCE, TestDatabase, test_database_urls};
pub use people::People;
use prost::Message as _;
use serde_json::Value as Json;
use tonic::{Request, Status, service::RoutesBuilder};

pub struct Running {
    pub engine: RuleEngine,
    pub rules: RuleServiceClient<Channel>,
    pub decisions: DecisionServiceClient<Channel>,
    pub analysis: AnalysisServiceClient<Channel>,
    pub database: Database,
    pub caller: Caller,
    pub system: &'static str,
    pub url: String,
    pub logs: Logs,
    tasks: Tasks,
}

/// The logs of the other services.
#[derive(Clone)]
pub struct Logs {
    pub profile: Database,
    pub catalog: Database,
    /// Whom the profile service knows.
    pub people: People,
}

/// Runs a test on a fresh rule-engine on each database.
pub async fn on_both(name: &str, test: impl AsyncFn(Running)) {
    for database in test_database_urls(name).await {
        let logs = TestDatabase::sqlite("logs");
        let logs = Logs::open(&logs).await;
        test(Running::open(database.url(), database.system, logs).await).await;
    }
}

/// Settings under which tests need not wait.
pub fn config() -> Config {
    Config {
        decision_flush_ms: 20,
        ..Config::default()
    }
}

impl Logs {
    pub async fn open(database: &TestDatabase) -> Self {
        const NONE: Migrations = Migrations::new(&[]);
        Self {
            profile: Database::open(&database.url_of("profile"), &NONE)
                .await
                .unwrap(),
            catalog: Database::open(&database.url_of("catalog"), &NONE)
                .await
                .unwrap(),
            people: People::default(),
        }
    }
}

impl Running {
    pub async fn open(url: &str, system: &'static str, logs: Logs) -> Self {
        Self::open_with(url, system, logs, config()).await
    }

    pub async fn open_with(url: &str, system: &'static str, logs: Logs, config: Config) -> Self {
        let database = Database::open(url, &MIGRATIONS).await.unwrap();
        let engine = RuleEngine::open(config, database.clone()).await.unwrap();
        let internal = Internal::new(PeerToken::random());
        let mut routes = RoutesBuilder::default();
        engine.register(&mut routes);
        let channel = Channel::in_process("rule-engine", routes.routes(), &internal);
        let peers = Peers {
            profile: profile_channel(&logs, &internal),
            catalog: log_channel("catalog", &logs.catalog, &internal),
            rule_engine: channel.clone(),
            messaging: channel.clone(),
        };
        let tasks = Tasks::new();
        engine.start(&tasks, &peers);
        Self {
            engine,
            rules: RuleServiceClient::new(channel.clone()),
            decisions: DecisionServiceClient::new(channel.clone()),
            analysis: AnalysisServiceClient::new(channel),
            database,
            caller: Caller::new(Workspace::default()),
            system,
            url: url.to_owned(),
            logs,
            tasks,
        }
    }

    /// Another process on the same database and logs.
    pub async fn replica(&self) -> Self {
        let replica = Self::open(&self.url, self.system, self.logs.clone()).await;
        replica.caught_up().await;
        replica
    }

    pub async fn stop(&self) {
        self.tasks.shutdown(PATIENCE).await.unwrap();
        self.database.close().await;
    }

    pub fn in_workspace(&self, name: &str) -> Self {
        Self {
            engine: self.engine.clone(),
            rules: self.rules.clone(),
            decisions: self.decisions.clone(),
            analysis: self.analysis.clone(),
            database: self.database.clone(),
            caller: Caller::new(Workspace::new(name).unwrap()),
            system: self.system,
            url: self.url.clone(),
            logs: self.logs.clone(),
            tasks: self.tasks.clone(),
        }
    }

    pub fn request<M>(&self, message: M) -> Request<M> {
        self.caller.request(message)
    }

    /// Everything that was published is taken in.
    pub async fn caught_up(&self) {
        let profile = self.logs.profile.log_head().await.unwrap();
        let catalog = self.logs.catalog.log_head().await.unwrap();
        let both = async {
            self.engine.has_handled("profile", profile).await;
            self.engine.has_handled("catalog", catalog).await;
        };
        tokio::time::timeout(PATIENCE, both).await.unwrap();
    }

    pub async fn publish_items(&self, items: Vec<Item>) {
        let changes = items.into_iter().map(|item| {
            let key = item.item_id.clone();
            let upserted = ItemUpserted {
                item: Some(item),
                previous_item: None,
            };
            (key, Change::ItemUpserted(upserted))
        });
        self.publish(&self.logs.catalog, changes.collect()).await;
    }

    pub async fn publish_type(&self, item_type: ItemType) {
        let key = item_type.item_type_id.clone();
        let changed = ItemTypeChanged {
            item_type_id: key.clone(),
            item_type: Some(item_type),
        };
        let changes = vec![(key, Change::ItemTypeChanged(changed))];
        self.publish(&self.logs.catalog, changes).await;
    }

    pub async fn delete_item(&self, item_id: &str) {
        let deleted = ItemDeleted {
            item_id: item_id.into(),
        };
        let changes = vec![(item_id.to_owned(), Change::ItemDeleted(deleted))];
        self.publish(&self.logs.catalog, changes).await;
    }

    pub async fn publish_events(&self, events: Vec<EventRecorded>) {
        let changes = events
            .into_iter()
            .map(|event| (event.profile_id.clone(), Change::EventRecorded(event)));
        self.publish(&self.logs.profile, changes.collect()).await;
    }

    pub async fn publish_merge(&self, kept: &str, merged: &str) {
        let change = Change::ProfilesMerged(ProfilesMerged {
            profile_id: kept.into(),
            merged_profile_id: merged.into(),
        });
        self.publish(&self.logs.profile, vec![(kept.to_owned(), change)])
            .await;
    }

    pub async fn publish_erasure(&self, profile_ids: &[&str]) {
        let ids = profile_ids.iter().map(ToString::to_string).collect();
        let change = Change::ProfileErased(ProfileErased {
            profile_ids: ids,
            ..ProfileErased::default()
        });
        self.publish(
            &self.logs.profile,
            vec![(profile_ids[0].to_owned(), change)],
        )
        .await;
    }

    /// With merged profiles that are part of either.
    pub async fn publish_unmerge(
        &self,
        (kept, staying): (&str, &[&str]),
        (unmerged, leaving): (&str, &[&str]),
    ) {
        let ids = |ids: &[&str]| ids.iter().map(ToString::to_string).collect();
        let change = Change::ProfilesUnmerged(ProfilesUnmerged {
            profile_id: kept.into(),
            unmerged_profile_id: unmerged.into(),
            staying_profile_ids: ids(staying),
            leaving_profile_ids: ids(leaving),
        });
        self.publish(&self.logs.profile, vec![(kept.to_owned(), change)])
            .await;
    }

    /// Returns when the engine has taken it in.
    async fn publish(&self, log: &Database, changes: Vec<(String, Change)>) {
        let workspace: std::sync::Arc<str> = self.caller.workspace.as_str().into();
        let records: Vec<LogRecord> = changes
            .into_iter()
            .map(|(key, change)| LogRecord {
                workspace: workspace.clone(),
                key,
                entry: LogEntry {
                    change: Some(change),
                    ..LogEntry::default()
                }
                .encode_to_vec()
                .into(),
            })
            .collect();
        let written: Result<(), attune_storage::Error> = log
            .write(move |tx: &mut Tx| {
                let records = records.clone();
                Box::pin(async move {
                    for record in records {
                        tx.publish(record).await?;
                    }
                    Ok(())
                })
            })
            .await;
        written.unwrap();
        self.caught_up().await;
    }

    pub async fn put_placement(&self, placement: Placement) -> Result<Placement, Status> {
        let request = self.request(CreatePlacementRequest {
            placement: Some(placement),
            ..Default::default()
        });
        Ok(self
            .rules
            .clone()
            .create_placement(request)
            .await?
            .into_inner())
    }

    pub async fn put_strategy(&self, strategy: Strategy) -> Result<Strategy, Status> {
        let request = self.request(CreateStrategyRequest {
            strategy: Some(strategy),
            ..Default::default()
        });
        Ok(self
            .rules
            .clone()
            .create_strategy(request)
            .await?
            .into_inner())
    }

    pub async fn put_rule(&self, rule: Rule) -> Result<Rule, Status> {
        let request = self.request(CreateRuleRequest {
            rule: Some(rule),
            ..Default::default()
        });
        Ok(self.rules.clone().create_rule(request).await?.into_inner())
    }

    pub async fn decide(&self, request: DecideRequest) -> Result<DecideResponse, Status> {
        let request = self.request(request);
        Ok(self.decisions.clone().decide(request).await?.into_inner())
    }

    /// The first placement's part of the answer.
    pub async fn decide_one(&self, request: DecideRequest) -> PlacementDecision {
        self.decide(request).await.unwrap().placements.remove(0)
    }

    /// Item ids of placement `home`, for this person.
    pub async fn home(&self, snapshot: &Snapshot) -> Vec<String> {
        shown(&self.decide_one(ask("home", snapshot)).await)
    }
}

fn profile_channel(logs: &Logs, internal: &Internal) -> Channel {
    let source = LogSource::new("profile", logs.profile.clone());
    let server = LogServer::new(vec![source]);
    let mut routes = RoutesBuilder::default();
    routes.add_service(EventLogServiceServer::new(server));
    routes.add_service(ProfileServiceServer::new(logs.people.clone()));
    Channel::in_process("profile", routes.routes(), internal)
}

fn log_channel(name: &'static str, database: &Database, internal: &Internal) -> Channel {
    let server = LogServer::new(vec![LogSource::new(name, database.clone())]);
    let mut routes = RoutesBuilder::default();
    routes.add_service(EventLogServiceServer::new(server));
    Channel::in_process(name, routes.routes(), internal)
}

pub fn shown(decision: &PlacementDecision) -> Vec<String> {
    decision.slots.iter().map(|s| s.item_id.clone()).collect()
}

pub fn ask(placement: &str, snapshot: &Snapshot) -> DecideRequest {
    DecideRequest {
        snapshot: snapshot.encode_to_vec().into(),
        channel: "web".into(),
        placements: vec![PlacementRequest {
            placement: placement.into(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub fn placement(id: &str, strategy: &str) -> Placement {
    Placement {
        placement_id: id.into(),
        strategy: strategy.into(),
        ..Default::default()
    }
}

pub fn strategy(id: &str, sources: &[(SourceKind, Json)]) -> Strategy {
    Strategy {
        strategy_id: id.into(),
        sources: sources
            .iter()
            .map(|(kind, params)| Source {
                kind: (*kind).into(),
                weight: 1.0,
                params: json::to_struct(params.clone()),
            })
            .collect(),
        ..Default::default()
    }
}

/// A published item `id`, titled `Item id`.
pub fn item(id: &str, leaf: &str, brand: &str) -> Item {
    let characteristics = serde_json::json!({ "brand": brand });
    Item {
        item_id: id.into(),
        item_type: "product".into(),
        title: [(String::new(), format!("Item {id}"))].into(),
        categories: vec!["All".into(), leaf.into()],
        characteristics: json::to_struct(characteristics).unwrap().fields,
        state: ItemState::Published.into(),
        create_time: Some(time::from_ms(time::now_ms() - 1000 * DAY_MS)),
        ..Default::default()
    }
}

pub const DAY_MS: i64 = 86_400_000;

pub fn event(profile_id: &str, kind: &str, items: &[&str], time_ms: i64) -> EventRecorded {
    EventRecorded {
        profile_id: profile_id.into(),
        personalization_allowed: true,
        segments: vec![],
        event: Some(Event {
            event_id: format!("{profile_id}-{kind}-{time_ms}-{}", items.join("-")),
            r#type: kind.into(),
            time: Some(time::from_ms(time_ms)),
            items: items
                .iter()
                .map(|id| EventItem {
                    item_id: (*id).into(),
                    quantity: 1.0,
                    price: 1.0,
                })
                .collect(),
            ..Default::default()
        }),
    }
}

/// A known person who did this, the newest first.
pub fn person(recent: &[(&str, &str)]) -> Snapshot {
    Snapshot {
        profile_id: "0190c0de-0000-7000-8000-000000000001".into(),
        basis: Basis::Full.into(),
        recent_events: recent
            .iter()
            .map(|(kind, item)| RecentEvent {
                r#type: (*kind).into(),
                time_ms: time::now_ms(),
                item_ids: vec![(*item).into()],
                revenue: 0.0,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

pub fn stranger() -> Snapshot {
    Snapshot::default()
}

pub fn fields(status: &Status) -> Vec<String> {
    let known = [
        Some(Reason::InvalidFields),
        Some(Reason::TokenInvalid),
        Some(Reason::TokenExpired),
    ];
    assert!(known.contains(&reason_of(status)), "{status:?}");
    violations_of(status)
        .into_iter()
        .map(|(field, _)| field)
        .collect()
}

pub fn reason<T: std::fmt::Debug>(result: Result<T, Status>) -> Reason {
    reason_of(&result.unwrap_err()).unwrap()
}

pub fn rule(id: &str, r#where: &str, kind: action::Kind) -> Rule {
    Rule {
        rule_id: id.into(),
        r#where: r#where.into(),
        action: Some(Action { kind: Some(kind) }),
        ..Default::default()
    }
}

pub fn boost(factor: f64) -> action::Kind {
    action::Kind::Boost(Boost { factor })
}

pub fn pin(position: i32, items: &[&str]) -> action::Kind {
    let item_ids = items.iter().map(ToString::to_string).collect();
    action::Kind::Pin(Pin { position, item_ids })
}
