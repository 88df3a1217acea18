//! A profile service behind its real client, on a fresh database; and short ways to say
//! what tests send. Knows the contract only.

#![allow(dead_code)] // Each test binary uses its own part of it.

use attune_api::{
    json::{from_struct, to_struct},
    profile::v1::{
        AliasMessage, EventMessage, GetProfileRequest, GetSnapshotRequest, GetSnapshotResponse,
        GroupMessage, IdentifyMessage, IngestMessage, IngestRequest, IngestResult, IngestStatus,
        ListEventsRequest, Profile as ProfileMessage, Snapshot, ingest_message::Kind,
        privacy_service_client::PrivacyServiceClient, profile_service_client::ProfileServiceClient,
    },
    time::from_ms,
    r#type::v1::{Identity, Subject, subject::Id},
};
use attune_profile::{Clock, Config, MIGRATIONS, Profile};
use attune_rpc::{Actor, Caller, Channel, Internal, PeerToken, Peers, Tasks, Workspace};
use attune_storage::Database;
use attune_testkit::{PATIENCE, TestDatabase, test_database_urls};
use attune_vault::Masters;
use prost::Message as _;
use serde_json::Value as Json;
use tonic::{Request, Status, service::RoutesBuilder};

pub mod segments;

/// 2026-01-01T00:00:00Z
pub const T0: i64 = 1_767_225_600_000;

/// Of every service in these tests.
pub const MASTER_KEY: &str = "5eaf00d5eaf00d5eaf00d5eaf00d5eaf00d5eaf00d5eaf00d5eaf00d5eaf00d5";

pub struct Running {
    pub clock: Clock,
    pub client: ProfileServiceClient<Channel>,
    pub privacy: PrivacyServiceClient<Channel>,
    /// To all of its gRPC services.
    pub channel: Channel,
    pub database: Database,
    pub caller: Caller,
    tasks: Tasks,
    pub system: &'static str,
}

impl Running {
    pub async fn open(url: &str, system: &'static str, config: Config) -> Self {
        Self::open_with(url, system, config, Clock::system()).await
    }

    pub async fn open_with(url: &str, system: &'static str, config: Config, clock: Clock) -> Self {
        let database = Database::open(url, &MIGRATIONS).await.unwrap();
        let masters = Masters::parse(MASTER_KEY).unwrap();
        let profile = Profile::open_with(config, database.clone(), masters, clock.clone())
            .await
            .unwrap();
        let mut routes = RoutesBuilder::default();
        profile.register(&mut routes);
        let internal = Internal::new(PeerToken::random());
        let channel = Channel::in_process("profile", routes.routes(), &internal);
        let tasks = Tasks::new();
        let peers = Peers {
            profile: channel.clone(),
            catalog: channel.clone(),
            rule_engine: channel.clone(),
            messaging: channel.clone(),
        };
        profile.start(&tasks, &peers);
        Self {
            clock,
            client: ProfileServiceClient::new(channel.clone()),
            privacy: PrivacyServiceClient::new(channel.clone()),
            channel,
            database,
            caller: Caller::new(Workspace::default()),
            tasks,
            system,
        }
    }

    pub async fn stop(self) {
        self.tasks.shutdown(PATIENCE).await.unwrap();
        self.database.close().await;
    }

    /// The same service for another tenant.
    pub fn in_workspace(&self, name: &str) -> Self {
        Self {
            clock: self.clock.clone(),
            client: self.client.clone(),
            privacy: self.privacy.clone(),
            channel: self.channel.clone(),
            database: self.database.clone(),
            caller: Caller::new(Workspace::new(name).unwrap()),
            tasks: self.tasks.clone(),
            system: self.system,
        }
    }

    /// The same service for the bearer of a key.
    pub fn on_behalf_of(&self, api_key_id: &str) -> Self {
        let mut other = self.in_workspace(self.caller.workspace.as_str());
        other.caller.actor = Some(Actor::key(api_key_id).unwrap());
        other
    }

    pub fn request<M>(&self, message: M) -> Request<M> {
        self.caller.request(message)
    }

    pub async fn try_send(
        &self,
        messages: Vec<IngestMessage>,
    ) -> Result<Vec<IngestResult>, Status> {
        let request = self.request(IngestRequest { messages });
        let answer = self.client.clone().ingest(request).await?;
        Ok(answer.into_inner().results)
    }

    pub async fn send(&self, messages: Vec<IngestMessage>) -> Vec<IngestResult> {
        self.try_send(messages).await.unwrap()
    }

    /// Sends one and says whose it is.
    pub async fn one(&self, message: IngestMessage) -> String {
        self.send(vec![message]).await.remove(0).profile_id
    }

    pub async fn raw_snapshot(&self, id: Id) -> Result<GetSnapshotResponse, Status> {
        self.snapshot_from(id, "", false).await
    }

    /// As someone in a region asks, with or without Global Privacy Control.
    pub async fn snapshot_from(
        &self,
        id: Id,
        region: &str,
        gpc: bool,
    ) -> Result<GetSnapshotResponse, Status> {
        let request = self.request(GetSnapshotRequest {
            subject: Some(Subject { id: Some(id) }),
            region: region.to_owned(),
            gpc,
        });
        Ok(self
            .client
            .clone()
            .get_snapshot(request)
            .await?
            .into_inner())
    }

    /// None if nobody is found.
    pub async fn snapshot(&self, id: Id) -> Option<Snapshot> {
        let answer = self.raw_snapshot(id).await.unwrap();
        let snapshot = Snapshot::decode(answer.snapshot).unwrap();
        assert_eq!(snapshot.profile_id, answer.profile_id);
        answer.found.then_some(snapshot)
    }

    pub async fn profile(&self, profile_id: &str) -> Result<ProfileMessage, Status> {
        let profile_id = profile_id.to_owned();
        let request = self.request(GetProfileRequest { profile_id });
        Ok(self.client.clone().get_profile(request).await?.into_inner())
    }

    /// Ids of all events, newest first, by pages of two.
    pub async fn timeline(&self, profile_id: &str) -> Vec<String> {
        let mut ids = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = self.request(ListEventsRequest {
                profile_id: profile_id.to_owned(),
                page_size: 2,
                page_token,
                ..ListEventsRequest::default()
            });
            let page = self.client.clone().list_events(request).await.unwrap();
            let page = page.into_inner();
            ids.extend(page.events.into_iter().map(|e| e.event_id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return ids;
            }
        }
    }
}

/// Runs a test on a fresh database of each system.
pub async fn on_both<F>(name: &str, test: F)
where
    F: AsyncFn(Running),
{
    on_both_with(name, Config::default(), test).await;
}

pub async fn on_both_with<F>(name: &str, config: Config, test: F)
where
    F: AsyncFn(Running),
{
    for database in test_database_urls(name).await {
        let running = Running::open(database.url(), database.system, config.clone()).await;
        test(running).await;
    }
}

/// As [`on_both`], for tests that open the database themselves.
pub async fn databases(name: &str) -> Vec<TestDatabase> {
    test_database_urls(name).await.into_iter().collect()
}

/// `u:ann` is a user id, `a:x` an anonymous id, anything else a namespace of its own.
pub fn identity(text: &str) -> Identity {
    let (namespace, value) = text.split_once(':').unwrap();
    let namespace = match namespace {
        "u" => "user_id",
        "a" => "anonymous_id",
        other => other,
    };
    Identity {
        namespace: namespace.into(),
        value: value.into(),
    }
}

pub fn message(id: &str, who: &[&str], at: i64, kind: Kind) -> IngestMessage {
    IngestMessage {
        message_id: id.into(),
        identities: who.iter().map(|w| identity(w)).collect(),
        time: Some(from_ms(T0 + at)),
        kind: Some(kind),
        ..IngestMessage::default()
    }
}

pub fn identify(id: &str, who: &[&str], at: i64, traits: Json) -> IngestMessage {
    let traits = to_struct(traits);
    message(id, who, at, Kind::Identify(IdentifyMessage { traits }))
}

pub fn event(id: &str, who: &[&str], at: i64, name: &str, properties: Json) -> IngestMessage {
    let properties = to_struct(properties);
    let name = name.to_owned();
    message(id, who, at, Kind::Event(EventMessage { name, properties }))
}

pub fn view(id: &str, who: &[&str], at: i64, item: &str) -> IngestMessage {
    let properties = serde_json::json!({ "product_id": item });
    event(id, who, at, "Product Viewed", properties)
}

pub fn alias(id: &str, who: &[&str], previous: &str) -> IngestMessage {
    let previous = Some(identity(previous));
    message(id, who, 0, Kind::Alias(AliasMessage { previous }))
}

pub fn group(id: &str, who: &[&str], group_id: &str, traits: Json) -> IngestMessage {
    let (group_id, traits) = (group_id.to_owned(), to_struct(traits));
    message(id, who, 0, Kind::Group(GroupMessage { group_id, traits }))
}

pub fn user(id: &str) -> Id {
    Id::UserId(id.into())
}

pub fn anonymous(id: &str) -> Id {
    Id::AnonymousId(id.into())
}

pub fn traits_of(snapshot: &Snapshot) -> Json {
    snapshot.traits.as_ref().map_or(Json::Null, from_struct)
}

pub fn items_of(snapshot: &Snapshot) -> Vec<String> {
    let events = snapshot.recent_events.iter();
    events.flat_map(|e| e.item_ids.clone()).collect()
}

pub fn statuses(results: &[IngestResult]) -> Vec<IngestStatus> {
    results.iter().map(IngestResult::status).collect()
}

/// Somebody by the id that Attune gave them.
pub fn subject(profile_id: &str) -> Subject {
    Subject {
        id: Some(Id::ProfileId(profile_id.into())),
    }
}
