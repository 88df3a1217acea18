//! A merge that is undone leaves nothing behind: whatever was sent, said, merged, erased
//! and undone in whatever order, people are those whom the graph of what stands connects,
//! and what is known of each is what comes of the same messages without the merges that
//! were undone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};

use attune_api::profile::v1::{
    EraseProfileRequest, IngestMessage, ListMergesRequest, Merge, MergeProfilesRequest,
    SetConsentRequest, UnmergeProfilesRequest,
};
use attune_errors::{Reason, metadata_of, reason_of, violations_of};
use attune_profile::Clock;
use model::{Model, PROFILES_MAX, Tie, WHO};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::json;
use support::*;
use tonic::Status;

/// What happens, by the number of the person whose identifier it comes by.
#[derive(Debug, Clone)]
enum Op {
    View(usize),
    Identify(usize),
    /// A new device of theirs.
    Link(usize),
    Consent(usize, bool),
    /// Messages in one request, each of which names some.
    Name(Vec<Vec<usize>>),
    Alias(usize, usize),
    Merge(usize, usize),
    /// Undoes the n-th of what stands, with whatever else is needed.
    Undo(usize),
    Erase(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let who = 0..WHO.len();
    // A message names one of a kind.
    let named = prop::collection::btree_set(who.clone(), 2..4);
    let named = named.prop_map(|mut named| {
        if named.contains(&0) {
            named.remove(&1);
        }
        named.into_iter().collect()
    });
    let on = 1..WHO.len();
    let two = (who.clone(), on).prop_map(|(who, on)| (who, (who + on) % WHO.len()));
    prop_oneof![
        3 => who.clone().prop_map(Op::View),
        2 => who.clone().prop_map(Op::Identify),
        1 => who.clone().prop_map(Op::Link),
        3 => (who.clone(), any::<bool>()).prop_map(|(who, granted)| Op::Consent(who, granted)),
        5 => prop::collection::vec(named, 1..4).prop_map(Op::Name),
        2 => two.prop_map(|(a, b)| Op::Alias(a, b)),
        3 => (who.clone(), who.clone()).prop_map(|(a, b)| Op::Merge(a, b)),
        5 => (0usize..16).prop_map(Op::Undo),
        1 => who.prop_map(Op::Erase),
    ]
}

/// By whose identifiers they are: the timeline, traits and what was decided.
type People = BTreeMap<BTreeSet<String>, (Vec<String>, String, Vec<(String, bool)>)>;

struct Played<'a> {
    shop: &'a Running,
    /// As they began.
    ids: Vec<String>,
    model: Model,
}

impl<'a> Played<'a> {
    async fn begin(shop: &'a Running) -> Self {
        let mut played = Self {
            shop,
            ids: vec![String::new(); WHO.len()],
            model: Model::default(),
        };
        for who in 0..WHO.len() {
            played.appear(who, "begin").await;
        }
        played
    }

    async fn appear(&mut self, who: usize, as_what: &str) {
        let message = view(&format!("{as_what}{who}"), &[WHO[who]], 0, "x");
        self.ids[who] = self.shop.one(message).await;
    }

    async fn step(&mut self, step: usize, op: &Op) {
        self.shop.clock.set(self.shop.clock.now_ms() + 1_000);
        match op {
            Op::Name(messages) => {
                let sent = (0..).zip(messages).map(|(n, named)| naming(step, n, named));
                self.shop.send(sent.collect()).await;
                for (n, named) in messages.iter().enumerate() {
                    self.model.name((step, n), named);
                }
            }
            Op::Alias(who, previous) => {
                let message = alias(&format!("m{step}"), &[WHO[*who]], WHO[*previous]);
                let sent = self.shop.try_send(vec![message]).await;
                let may = self.model.alias(step, *who, *previous);
                assert_eq!(sent.is_ok(), may, "{sent:?}");
            }
            Op::Merge(a, b) => {
                let made = self.merge(*a, *b).await;
                let may = self.model.merge(step, *a, *b);
                assert_eq!(made.is_ok(), may, "{made:?}");
                if let Err(refused) = made {
                    assert_eq!(violations_of(&refused)[0].0, "other_profile_id");
                }
            }
            Op::Undo(n) => self.undo(*n).await,
            Op::Erase(who) => self.erase(step, *who).await,
            _ => self.say(step, op).await,
        }
    }

    /// What makes nobody one.
    async fn say(&self, step: usize, op: &Op) {
        let (id, at) = (format!("m{step}"), 1 + step as i64);
        match op {
            Op::View(who) => drop(self.shop.one(view(&id, &[WHO[*who]], at, "tent")).await),
            Op::Identify(who) => {
                let traits = json!({"last": step, format!("t{who}"): step});
                let message = identify(&id, &[WHO[*who]], at, traits);
                self.shop.one(message).await;
            }
            Op::Link(who) => {
                let device = format!("a:d{step}");
                let message = view(&id, &[WHO[*who], &device], at, "mat");
                self.shop.one(message).await;
            }
            Op::Consent(who, granted) => {
                let request = self.shop.request(SetConsentRequest {
                    profile_id: self.ids[*who].clone(),
                    purpose: "analytics".into(),
                    granted: *granted,
                    ..SetConsentRequest::default()
                });
                let mut client = self.shop.client.clone();
                client.set_consent(request).await.unwrap();
            }
            _ => unreachable!(),
        }
    }

    async fn merge(&self, a: usize, b: usize) -> Result<Merge, Status> {
        let request = self.shop.request(MergeProfilesRequest {
            profile_id: self.ids[a].clone(),
            other_profile_id: self.ids[b].clone(),
            reason: String::new(),
        });
        let made = self.shop.privacy.clone().merge_profiles(request).await?;
        Ok(made.into_inner())
    }

    /// What stands is undone alone where that parts the two, and otherwise with one after
    /// the other of what still ties them.
    async fn undo(&mut self, n: usize) {
        let stands = self.recorded().await;
        if stands.is_empty() {
            return;
        }
        let mut undone = vec![n % stands.len()];
        loop {
            let named = undone.iter().map(|index| stands[*index].0.clone());
            let request = self.shop.request(UnmergeProfilesRequest {
                merge_id: stands[undone[0]].0.clone(),
                with_merge_ids: named.skip(1).collect(),
                ..UnmergeProfilesRequest::default()
            });
            let answer = self.shop.privacy.clone().unmerge_profiles(request).await;
            let ties: Vec<Tie> = undone.iter().map(|index| stands[*index].1).collect();
            match (answer, self.model.part(&ties)) {
                (Ok(answer), Some(parted)) => {
                    let person = self.model.person(ties[0].one);
                    self.model = parted;
                    let living = answer.into_inner().profiles.into_iter();
                    let living: Vec<_> = living.map(|profile| profile.profile_id).collect();
                    let expected: BTreeSet<_> = person.iter().map(|w| self.living(*w)).collect();
                    assert_eq!(living, expected.into_iter().collect::<Vec<_>>());
                    return;
                }
                (Err(refused), None) => {
                    assert_eq!(reason_of(&refused), Some(Reason::StillJoined));
                    let by = metadata_of(&refused, "merge_ids").unwrap();
                    let held = metadata_of(&refused, "merge_id").unwrap();
                    let place = |id: &str| stands.iter().position(|(held, _)| held == id).unwrap();
                    let by: Vec<usize> = by.split(',').map(place).collect();
                    let by_ties: Vec<Tie> = by.iter().map(|index| stands[*index].1).collect();
                    assert!(by.iter().all(|index| !undone.contains(index)));
                    leads(&by_ties, &stands[place(&held)].1);
                    undone.push(by[n % by.len()]);
                }
                (answer, parted) => panic!("{answer:?} where the graph says {parted:?}"),
            }
        }
    }

    /// What stands as the service lists it, which is what the model says.
    async fn recorded(&self) -> Vec<(String, Tie)> {
        let mut stands: Vec<(String, Tie)> = Vec::new();
        for id in &self.ids {
            let request = self.shop.request(ListMergesRequest {
                profile_id: id.clone(),
                page_size: 1_000,
                ..ListMergesRequest::default()
            });
            let listed = self.shop.privacy.clone().list_merges(request).await;
            let merges = listed.unwrap().into_inner().merges.into_iter();
            for merge in merges.filter(|merge| !merge.undone && !merge.refused) {
                if stands.iter().all(|(held, _)| *held != merge.merge_id) {
                    stands.push((merge.merge_id.clone(), self.tie_of(&merge)));
                }
            }
        }
        assert_eq!(stands.len(), self.model.standing().count());
        stands.sort_by_key(|(merge_id, _)| merge_id.clone());
        stands
    }

    fn tie_of(&self, merge: &Merge) -> Tie {
        let number = |id: &String| self.ids.iter().position(|held| held == id).unwrap();
        let ends: BTreeSet<_> = merge.between_profile_ids.iter().map(number).collect();
        let mut standing = self.model.standing();
        let tie = standing.find(|tie| ends == BTreeSet::from([tie.one, tie.other]));
        *tie.unwrap_or_else(|| panic!("{merge:?} is not in {:?}", self.model))
    }

    /// The id that somebody has now: the oldest of theirs.
    fn living(&self, who: usize) -> String {
        let person = self.model.person(who).into_iter();
        person.map(|who| self.ids[who].clone()).min().unwrap()
    }

    async fn erase(&mut self, step: usize, who: usize) {
        let request = self.shop.request(EraseProfileRequest {
            profile_id: self.ids[who].clone(),
            ..EraseProfileRequest::default()
        });
        let erased = self.shop.privacy.clone().erase_profile(request).await;
        let mut erased = erased.unwrap().into_inner().profile_ids;
        let person = self.model.erase(who);
        let mut ids: Vec<_> = person.iter().map(|who| self.ids[*who].clone()).collect();
        erased.sort();
        ids.sort();
        assert_eq!(erased, ids);
        for who in person {
            self.appear(who, &format!("again{step}-")).await;
        }
    }

    async fn people(&self) -> People {
        let mut people = People::new();
        for (who, id) in self.ids.iter().enumerate() {
            let profile = self.shop.profile(id).await.unwrap();
            assert_eq!(profile.profile_id, self.living(who));
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

fn naming(step: usize, n: usize, named: &[usize]) -> IngestMessage {
    let named: Vec<_> = named.iter().map(|who| WHO[*who]).collect();
    view(&format!("m{step}-{n}"), &named, 1 + step as i64, "map")
}

/// Ties are a way from one end of another to its other end.
fn leads(by: &[Tie], tie: &Tie) {
    let mut at = tie.one;
    for step in by {
        at = match at {
            at if at == step.one => step.other,
            at if at == step.other => step.one,
            _ => tie.one,
        };
    }
    let mut back = tie.other;
    for step in by {
        back = match back {
            back if back == step.one => step.other,
            back if back == step.other => step.one,
            _ => tie.other,
        };
    }
    assert!(at == tie.other || back == tie.one, "{by:?} around {tie:?}");
}

/// All of it; then, elsewhere, all but what was undone.
async fn both(one: &Running, other: &Running, ops: &[Op]) -> (People, People) {
    let mut played = Played::begin(one).await;
    for (step, op) in ops.iter().enumerate() {
        played.step(step, op).await;
    }
    played.recorded().await;
    let mut without = Played::begin(other).await;
    for (step, op) in ops.iter().enumerate() {
        let held = |other| played.model.held((step, 0), other);
        match op {
            Op::Undo(_) => {}
            Op::Merge(_, b) | Op::Alias(_, b) if !held(*b) => {}
            Op::Name(messages) => {
                let held = messages.iter().enumerate().map(|(n, named)| {
                    let holds = |who: &&usize| played.model.held((step, n), **who);
                    let others = named[1..].iter().filter(holds);
                    named[..1].iter().chain(others).copied().collect()
                });
                without.step(step, &Op::Name(held.collect())).await;
            }
            op => without.step(step, op).await,
        }
    }
    (played.people().await, without.people().await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merges_that_are_undone_leave_nothing_behind() {
    for database in databases("undone").await {
        let mut config = attune_profile::Config::default();
        config.identity.profiles_max = PROFILES_MAX as u32;
        let clock = Clock::standing_at(T0 + 86_400_000);
        let shop = Running::open_with(database.url(), database.system, config, clock).await;
        let config = Config {
            cases: if database.system == "sqlite" { 48 } else { 8 },
            max_shrink_iters: 400,
            failure_persistence: None,
            ..Config::default()
        };
        let case = std::cell::Cell::new(0);
        TestRunner::new(config)
            .run(&prop::collection::vec(op(), 1..28), |ops| {
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
