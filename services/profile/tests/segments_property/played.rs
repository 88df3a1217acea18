//! Carries out steps on a service, or on two that share a database and take turns.

use std::{collections::BTreeSet, time::Duration};

use attune_api::{
    profile::v1::{
        CreateTraitRequest, IngestMessage, ListMergesRequest, ListProfilesRequest,
        LookupProfileRequest, MergeProfilesRequest, Profile, SetConsentRequest, Trait, TraitType,
        UnmergeProfilesRequest, schema_service_client::SchemaServiceClient,
    },
    r#type::v1::subject::Id,
};
use attune_errors::{Reason, reason_of};
use attune_profile::{Clock, Config as ServiceConfig};
use attune_storage::args;
use attune_testkit::{TestDatabase, wait_until};
use serde_json::{Value as Json, json};

use crate::{
    model::{DAY, HOUR, SEGMENTS, START, TRAITS},
    steps::{Op, PURPOSES, Said, WHO},
    support::*,
};

pub const DEADLINE: Duration = Duration::from_secs(10);

/// A service, or two on one database that take turns, in a workspace of its own.
pub struct Played {
    shops: Vec<Running>,
    /// Steps that were taken, of which messages are named.
    step: usize,
}

impl Played {
    pub async fn begin(database: &TestDatabase, case: usize) -> Self {
        let clock = Clock::standing_at(START);
        // The history that decisions see is short, so that windows reach beyond it.
        let config = ServiceConfig {
            recent_events_max: 3,
            ..ServiceConfig::default()
        };
        let count = if database.system == "sqlite" { 1 } else { 2 };
        let mut shops = Vec::new();
        for _ in 0..count {
            let (config, clock) = (config.clone(), clock.clone());
            let shop = Running::open_with(database.url(), database.system, config, clock).await;
            shops.push(shop.in_workspace(&format!("case{case}")));
        }
        let played = Self { shops, step: 0 };
        let shop = played.shop();
        let plan = Trait {
            r#type: TraitType::TraitText.into(),
            ..Trait::default()
        };
        let request = shop.request(CreateTraitRequest {
            trait_id: "plan".into(),
            r#trait: Some(plan),
        });
        let mut client = SchemaServiceClient::new(shop.channel.clone());
        client.create_trait(request).await.unwrap();
        shop.declare("vip", "").await;
        played.declare("").await;
        played
    }

    /// Whose turn it is.
    pub fn shop(&self) -> &Running {
        &self.shops[self.step % self.shops.len()]
    }

    pub fn now_ms(&self) -> i64 {
        self.shop().clock.now_ms()
    }

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
        self.until_none("fills", i64::MAX).await;
    }

    /// Waits until nothing of this workspace is left to be filled in, or due by a time.
    async fn until_none(&self, table: &'static str, until_ms: i64) {
        let shop = self.shop();
        let (sql, arguments) = match table {
            "fills" => ("select count(*) from fills where workspace = $1", None),
            _ => (
                "select count(*) from due where workspace = $1 and due_ms <= $2",
                Some(until_ms),
            ),
        };
        wait_until("nothing is left to do", DEADLINE, async || {
            let workspace = shop.caller.workspace.as_str();
            let arguments = match arguments {
                None => args![workspace],
                Some(until_ms) => args![workspace, until_ms],
            };
            let rows = shop.database.fetch_all(sql, arguments).await.unwrap();
            rows[0].get::<i64>(0).unwrap() == 0
        })
        .await;
    }

    pub async fn play(&mut self, op: &Op) {
        self.step += 1;
        match op {
            Op::Say(said) => {
                let messages = said.iter().enumerate();
                let messages = messages.map(|(n, said)| self.message(n, said)).collect();
                self.shop().send(messages).await;
            }
            Op::Consent(who, purpose, granted) => {
                let Some(profile_id) = self.profile_id(*who).await else {
                    return;
                };
                let request = self.shop().request(SetConsentRequest {
                    profile_id,
                    purpose: PURPOSES[*purpose].into(),
                    granted: *granted,
                    ..SetConsentRequest::default()
                });
                let mut client = self.shop().client.clone();
                client.set_consent(request).await.unwrap();
            }
            Op::List(who, on) => {
                let id = match identity(WHO[*who]) {
                    held if held.namespace == "user_id" => Id::UserId(held.value),
                    held => Id::AnonymousId(held.value),
                };
                let (add, remove) = if *on {
                    (vec![id], vec![])
                } else {
                    (vec![], vec![id])
                };
                self.shop().change("vip", &add, &remove).await.unwrap();
            }
            Op::Merge(a, b) => {
                let ids = (self.profile_id(*a).await, self.profile_id(*b).await);
                let (Some(profile_id), Some(other_profile_id)) = ids else {
                    return;
                };
                if profile_id == other_profile_id {
                    return;
                }
                let request = self.shop().request(MergeProfilesRequest {
                    profile_id,
                    other_profile_id,
                    reason: String::new(),
                });
                let mut client = self.shop().privacy.clone();
                client.merge_profiles(request).await.unwrap();
            }
            Op::Undo(n) => self.undo(*n).await,
            Op::PassHours(hours) => self.pass_to(self.now_ms() + hours * HOUR).await,
            Op::PassToDue(beside_ms) => {
                // In three centuries durations are too long to be told.
                const DUE: &str = "select due_ms from due \
                     where workspace = $1 and due_ms < $2 order by due_ms limit 1";
                let workspace = self.shop().caller.workspace.as_str();
                let database = &self.shop().database;
                let arguments = args![workspace, START + 3_650 * DAY];
                let row = database.fetch_optional(DUE, arguments).await;
                if let Some(row) = row.unwrap() {
                    let due_ms = row.get::<i64>(0).unwrap();
                    self.pass_to(due_ms + beside_ms).await;
                }
            }
        }
    }

    async fn pass_to(&self, ms: i64) {
        self.shop().clock.set(ms.max(self.now_ms()));
        self.until_none("due", self.now_ms()).await;
    }

    fn message(&self, n: usize, said: &Said) -> IngestMessage {
        let id = format!("m{}-{n}", self.step);
        let now = self.now_ms() - T0;
        match said {
            Said::Did {
                who,
                event_type,
                category,
                revenue,
                hours_ago,
            } => {
                let properties = json!({"category": category, "revenue": revenue});
                let at = now - hours_ago * HOUR;
                event(&id, &[WHO[*who]], at, event_type, properties)
            }
            Said::Plans(who, pro) => {
                let plan = if *pro { json!("pro") } else { Json::Null };
                identify(&id, &[WHO[*who]], now, json!({ "plan": plan }))
            }
            Said::Both(a, b) => {
                let properties = json!({"category": "tents"});
                event(&id, &[WHO[*a], WHO[*b]], now, "view", properties)
            }
            Said::Was(a, b) => alias(&id, &[WHO[*a]], WHO[*b]),
        }
    }

    async fn profile_id(&self, who: usize) -> Option<String> {
        let held = identity(WHO[who]);
        let request = self.shop().request(LookupProfileRequest {
            namespace: held.namespace,
            value: held.value,
        });
        match self.shop().client.clone().lookup_profile(request).await {
            Ok(found) => Some(found.into_inner().profile_id),
            Err(refused) => {
                assert_eq!(reason_of(&refused), Some(Reason::ResourceNotFound));
                None
            }
        }
    }

    async fn undo(&self, n: usize) {
        let mut stand = BTreeSet::new();
        for profile in self.people().await {
            let request = self.shop().request(ListMergesRequest {
                profile_id: profile.profile_id,
                ..ListMergesRequest::default()
            });
            let merges = self.shop().privacy.clone().list_merges(request).await;
            let merges = merges.unwrap().into_inner().merges.into_iter();
            let merges = merges.filter(|merge| !merge.undone && !merge.refused);
            stand.extend(merges.map(|merge| merge.merge_id));
        }
        if stand.is_empty() {
            return;
        }
        let merge_id = stand.iter().nth(n % stand.len()).unwrap().clone();
        let request = self.shop().request(UnmergeProfilesRequest {
            merge_id,
            reason: String::new(),
        });
        let mut client = self.shop().privacy.clone();
        client.unmerge_profiles(request).await.unwrap();
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
