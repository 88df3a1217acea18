//! A merge that is undone leaves nothing behind: whatever was sent, merged and undone in
//! whatever order, the people, their timelines, traits and consents are those of the same
//! messages without the merges that were undone. A merge joins the two people that there
//! are when it is made, by those of their profiles that live.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use attune_api::profile::v1::{
    Merge, MergeProfilesRequest, SetConsentRequest, UnmergeProfilesRequest,
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::json;
use support::*;
use tonic::Status;

const PEOPLE: usize = 5;

/// What happens, by the number of the person whose identifier it comes by.
#[derive(Debug, Clone)]
enum Op {
    View(usize),
    Identify(usize),
    /// A new device of theirs.
    Link(usize),
    Consent(usize, bool),
    Merge(usize, usize),
    /// Undoes the n-th merge, if there is one that is not undone.
    Undo(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let who = 0..PEOPLE;
    prop_oneof![
        3 => who.clone().prop_map(Op::View),
        2 => who.clone().prop_map(Op::Identify),
        1 => who.clone().prop_map(Op::Link),
        2 => (who.clone(), any::<bool>()).prop_map(|(who, granted)| Op::Consent(who, granted)),
        3 => (who.clone(), who).prop_map(|(a, b)| Op::Merge(a, b)),
        3 => (0usize..8).prop_map(Op::Undo),
    ]
}

/// By whose identifiers they are: the timeline, traits and what was decided.
type People = BTreeMap<BTreeSet<String>, (Vec<String>, String, Vec<(String, bool)>)>;

struct Played<'a> {
    shop: &'a Running,
    ids: Vec<String>,
    /// Merges that stand, by the step that made them.
    made: Vec<(usize, Merge)>,
}

impl<'a> Played<'a> {
    async fn begin(shop: &'a Running) -> Self {
        let mut ids = Vec::new();
        for i in 0..PEOPLE {
            let who = format!("u:p{i}");
            ids.push(shop.one(view(&format!("begin{i}"), &[&who], 0, "x")).await);
        }
        Self {
            shop,
            ids,
            made: Vec::new(),
        }
    }

    async fn step(&mut self, step: usize, op: &Op) {
        let (shop, at) = (self.shop, 1 + step as i64);
        let id = format!("m{step}");
        let user = |who: usize| format!("u:p{who}");
        match op {
            Op::View(who) => drop(shop.one(view(&id, &[&user(*who)], at, "tent")).await),
            Op::Identify(who) => {
                let traits = json!({"last": step, format!("t{who}"): step});
                shop.one(identify(&id, &[&user(*who)], at, traits)).await;
            }
            Op::Link(who) => {
                let device = format!("a:d{step}");
                let message = view(&id, &[&user(*who), &device], at, "mat");
                shop.one(message).await;
            }
            Op::Consent(who, granted) => {
                let request = shop.request(SetConsentRequest {
                    profile_id: self.ids[*who].clone(),
                    purpose: "analytics".into(),
                    granted: *granted,
                    // Given before any merge here was made, so the strictest holds.
                    time: Some(attune_api::time::from_ms(T0 + at)),
                    ..SetConsentRequest::default()
                });
                shop.client.clone().set_consent(request).await.unwrap();
            }
            Op::Merge(a, b) => {
                let (one, other) = (self.ids[*a].clone(), self.ids[*b].clone());
                // Refused where they are one already.
                if let Ok(made) = self.merge(one, other).await {
                    self.made.push((step, made));
                }
            }
            Op::Undo(n) => {
                if self.made.is_empty() {
                    return;
                }
                let (_, made) = self.made.remove(n % self.made.len());
                let request = shop.request(UnmergeProfilesRequest {
                    merge_id: made.merge_id,
                    reason: String::new(),
                });
                shop.privacy
                    .clone()
                    .unmerge_profiles(request)
                    .await
                    .unwrap();
            }
        }
    }

    async fn merge(&self, one: String, other: String) -> Result<Merge, Status> {
        let request = self.shop.request(MergeProfilesRequest {
            profile_id: one,
            other_profile_id: other,
            reason: String::new(),
        });
        let made = self.shop.privacy.clone().merge_profiles(request).await?;
        Ok(made.into_inner())
    }

    fn number_of(&self, id: &str) -> usize {
        self.ids.iter().position(|held| held == id).unwrap()
    }

    async fn people(&self) -> People {
        let mut people = People::new();
        for id in &self.ids {
            let profile = self.shop.profile(id).await.unwrap();
            let held = profile.identities.iter();
            let held = held
                .map(|i| format!("{}:{}", i.namespace, i.value))
                .collect();
            let timeline = self.shop.timeline(id).await;
            let traits = attune_api::json::from_struct(&profile.traits.unwrap());
            let consents = profile.consents.into_iter();
            let consents = consents.map(|c| (c.purpose, c.granted)).collect();
            people.insert(held, (timeline, traits.to_string(), consents));
        }
        people
    }
}

/// All of it; then, elsewhere, all but the merges that were undone.
async fn both(one: &Running, other: &Running, ops: &[Op]) -> (People, People) {
    let mut played = Played::begin(one).await;
    for (step, op) in ops.iter().enumerate() {
        played.step(step, op).await;
    }
    let mut without = Played::begin(other).await;
    for (step, op) in ops.iter().enumerate() {
        match op {
            Op::Undo(_) => {}
            Op::Merge(..) => {
                let stood = played.made.iter().find(|(made_at, _)| *made_at == step);
                if let Some((_, made)) = stood {
                    let id = |id: &str| without.ids[played.number_of(id)].clone();
                    let (one, other) = (id(&made.profile_id), id(&made.merged_profile_id));
                    without.merge(one, other).await.unwrap();
                }
            }
            _ => without.step(step, op).await,
        }
    }
    (played.people().await, without.people().await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merges_that_are_undone_leave_nothing_behind() {
    for database in databases("undone").await {
        let config = attune_profile::Config::default();
        let shop = Running::open(database.url(), database.system, config).await;
        let config = Config {
            cases: if database.system == "sqlite" { 48 } else { 12 },
            failure_persistence: None,
            ..Config::default()
        };
        let case = std::cell::Cell::new(0);
        TestRunner::new(config)
            .run(&prop::collection::vec(op(), 1..24), |ops| {
                case.set(case.get() + 1);
                let (with, without) = tokio::task::block_in_place(|| {
                    tokio::runtime::Handle::current().block_on(async {
                        let one = shop.in_workspace(&format!("one{}", case.get()));
                        let other = shop.in_workspace(&format!("other{}", case.get()));
                        both(&one, &other, &ops).await
                    })
                });
                prop_assert_eq!(with, without);
                Ok(())
            })
            .unwrap();
    }
}
