//! A service, or two replicas on one database that take turns; declared on them what is
//! to be kept up to date. Opens, waits and closes; takes no step.

use std::collections::BTreeMap;

use attune_api::profile::v1::{
    CreateEventTypeRequest, CreateTraitRequest, EventType, ListProfilesRequest, Profile, Trait,
    TraitType, schema_service_client::SchemaServiceClient,
};
use attune_profile::{Clock, Config};
use attune_storage::{Value, args};
use attune_testkit::{PATIENCE, TestDatabase, wait_until};

use crate::{
    ledger::Ledger,
    model::{EVENT_DAYS, HOUR, PLAN_DAYS, SEGMENTS, START, TRAITS, VIEW_DAYS},
    support::*,
};

pub struct Played {
    pub shops: Vec<Running>,
    /// Steps that were taken, of which messages are named.
    pub step: usize,
    pub ledger: Ledger,
    clock: Clock,
    database: TestDatabase,
}

impl Played {
    pub async fn begin(database: TestDatabase) -> Self {
        let count = if database.system == "sqlite" { 1 } else { 2 };
        let mut played = Self {
            shops: Vec::new(),
            step: 0,
            ledger: Ledger::default(),
            clock: Clock::standing_at(START),
            database,
        };
        for _ in 0..count {
            let shop = played.open().await;
            played.shops.push(shop);
        }
        played.declare_what_is_said().await;
        played.declare("").await;
        played.settled().await;
        played
    }

    async fn open(&self) -> Running {
        let (url, system) = (self.database.url(), self.database.system);
        Running::open_with(url, system, config(), self.clock.clone()).await
    }

    /// Stops one of them and opens it again on what it left.
    pub async fn restart(&mut self, n: usize) {
        let place = n % self.shops.len();
        self.shops.remove(place).stop().await;
        let again = self.open().await;
        self.shops.insert(place, again);
    }

    pub async fn restart_all(&mut self) {
        for n in 0..self.shops.len() {
            self.restart(n).await;
        }
    }

    /// Whose turn it is.
    pub fn shop(&self) -> &Running {
        self.turn(0)
    }

    /// Whose turn it is so many turns from now.
    pub fn turn(&self, ahead: usize) -> &Running {
        &self.shops[(self.step + ahead) % self.shops.len()]
    }

    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Time never goes back.
    pub async fn pass_to(&mut self, ms: i64) {
        self.clock.set(ms.max(self.now_ms()));
        self.settled().await;
    }

    /// The plan, how long it and events are kept, and the list of those who were picked.
    async fn declare_what_is_said(&self) {
        let shop = self.shop();
        let mut client = SchemaServiceClient::new(shop.channel.clone());
        let plan = Trait {
            r#type: TraitType::TraitText.into(),
            retention_class: "plans".into(),
            ..Trait::default()
        };
        let request = shop.request(CreateTraitRequest {
            trait_id: "plan".into(),
            r#trait: Some(plan),
        });
        client.create_trait(request).await.unwrap();
        let view = EventType {
            retention_class: "views".into(),
            ..EventType::default()
        };
        let request = shop.request(CreateEventTypeRequest {
            event_type_id: "view".into(),
            event_type: Some(view),
        });
        client.create_event_type(request).await.unwrap();
        shop.declare("vip", "").await;
    }

    /// A set of what is derived, by how the names of the set end.
    pub async fn declare(&self, end: &str) {
        for (id, expression) in TRAITS {
            self.shop()
                .compute(&id.replace('~', end), &expression.replace('~', end))
                .await;
        }
        for (id, expression) in SEGMENTS {
            self.shop()
                .upsert(&id.replace('~', end), &expression.replace('~', end))
                .await
                .unwrap();
        }
        const LEFT: &str = "select count(*) from fills where workspace = $1";
        self.until_none(LEFT, args![self.workspace()]).await;
    }

    fn workspace(&self) -> &str {
        self.shop().caller.workspace.as_str()
    }

    /// Waits until what this moment asks for is done: what is too old is dropped, and
    /// nobody is due.
    async fn settled(&mut self) {
        const PASS: &str = "select begin_ms from retention where done and begin_ms > $1";
        let now_ms = self.now_ms();
        // A pass is made when an hour has gone by since the one before.
        let since_ms = now_ms - HOUR;
        wait_until("what is too old is dropped", PATIENCE, async || {
            self.fetch(PASS, args![since_ms]).await.is_some()
        })
        .await;
        let pass_ms = self.fetch(PASS, args![since_ms]).await.unwrap();
        self.ledger.dropped_at(pass_ms);
        const DUE: &str = "select count(*) from due where workspace = $1 and due_ms <= $2";
        self.until_none(DUE, args![self.workspace(), now_ms]).await;
    }

    async fn until_none(&self, count: &'static str, arguments: Vec<Value>) {
        wait_until("nothing is left to do", PATIENCE, async || {
            self.fetch(count, arguments.clone()).await == Some(0)
        })
        .await;
    }

    /// The number that a query finds.
    pub async fn fetch(&self, sql: &'static str, arguments: Vec<Value>) -> Option<i64> {
        let row = self.shop().database.fetch_optional(sql, arguments).await;
        row.unwrap().map(|row| row.get(0).unwrap())
    }

    pub async fn people(&self) -> Vec<Profile> {
        let request = self.shop().request(ListProfilesRequest {
            page_size: 1_000,
            ..ListProfilesRequest::default()
        });
        let listed = self.shop().client.clone().list_profiles(request).await;
        listed.unwrap().into_inner().profiles
    }

    pub async fn end(self) {
        for shop in self.shops {
            shop.stop().await;
        }
    }
}

fn config() -> Config {
    let days = [
        ("events", EVENT_DAYS),
        ("views", VIEW_DAYS),
        ("plans", PLAN_DAYS),
    ];
    let days = days.map(|(class, days)| (class.to_owned(), days.try_into().unwrap()));
    let mut config = Config {
        // The history that decisions see is short, so that windows reach beyond it.
        recent_events_max: 3,
        ..Config::default()
    };
    config.retention.days = BTreeMap::from(days);
    config.retention.every_hours = 1;
    config
}
