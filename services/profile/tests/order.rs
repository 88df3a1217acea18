//! Messages travel over networks that lose, repeat and reorder them. Whatever arrives in
//! whatever order, and however often, the people and their timelines come out the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use attune_api::profile::v1::IngestMessage;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::json;
use support::*;

const USERS: usize = 3;
const DEVICES: usize = 6;

/// What a message says, before it has an id and a time.
#[derive(Debug, Clone)]
enum Said {
    /// A device alone, a user alone, or both; a device is of one user only, since whose
    /// a shared one is does depend on the order.
    View {
        device: Option<usize>,
        user: bool,
        of: usize,
    },
    Identify {
        device: Option<usize>,
        of: usize,
    },
    Alias {
        of: usize,
        previous: usize,
    },
}

fn said() -> impl Strategy<Value = Said> {
    let device = prop::option::of(0..DEVICES / USERS);
    prop_oneof![
        4 => (device.clone(), any::<bool>(), 0..USERS)
            .prop_map(|(device, user, of)| Said::View { device, user, of }),
        2 => (device, 0..USERS).prop_map(|(device, of)| Said::Identify { device, of }),
        1 => (0..USERS, 0..USERS).prop_map(|(of, previous)| Said::Alias { of, previous }),
    ]
}

fn message_of(index: usize, said: &Said) -> IngestMessage {
    let id = format!("m{index:02}");
    let who = |device: Option<usize>, user: bool, of: usize| {
        let user = (user || device.is_none()).then(|| format!("u:u{of}"));
        let device = device.map(|d| format!("a:d{}", d * USERS + of));
        [user, device].into_iter().flatten().collect::<Vec<_>>()
    };
    match said {
        Said::View { device, user, of } => {
            let who = who(*device, *user, *of);
            let who: Vec<_> = who.iter().map(String::as_str).collect();
            view(&id, &who, index as i64, &format!("item{index}"))
        }
        Said::Identify { device, of } => {
            let who = who(*device, true, *of);
            let who: Vec<_> = who.iter().map(String::as_str).collect();
            let removed = index.is_multiple_of(3).then_some(index);
            let traits = json!({"last": index, format!("t{}", index % 2): removed});
            identify(&id, &who, index as i64, traits)
        }
        Said::Alias { of, previous } => {
            alias(&id, &[&format!("u:u{of}")], &format!("u:u{previous}"))
        }
    }
}

/// Messages, and the order in which they arrive, some of them more than once.
fn arrivals() -> impl Strategy<Value = (Vec<Said>, Vec<usize>, usize)> {
    prop::collection::vec(said(), 1..14).prop_flat_map(|said| {
        let all: Vec<_> = (0..said.len()).collect();
        let again = prop::collection::vec(0..said.len(), 0..6);
        let order = again
            .prop_map(move |again| [all.clone(), again].concat())
            .prop_shuffle();
        (Just(said), order, 1usize..5)
    })
}

type People = BTreeMap<BTreeSet<String>, (Vec<String>, String)>;

/// Who is who, with each person's timeline and traits.
async fn people(shop: &Running) -> People {
    let mut held: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let users = (0..USERS).map(|i| (format!("u:u{i}"), user(&format!("u{i}"))));
    let devices = (0..DEVICES).map(|i| (format!("a:d{i}"), anonymous(&format!("d{i}"))));
    for (name, id) in users.chain(devices) {
        if let Some(snapshot) = shop.snapshot(id).await {
            held.entry(snapshot.profile_id).or_default().insert(name);
        }
    }
    let mut people = People::new();
    for (profile_id, names) in held {
        let timeline = shop.timeline(&profile_id).await;
        let profile = shop.profile(&profile_id).await.unwrap();
        let traits = attune_api::json::from_struct(&profile.traits.unwrap());
        people.insert(names, (timeline, traits.to_string()));
    }
    people
}

async fn after(shop: &Running, messages: &[IngestMessage], batch: usize) -> People {
    for messages in messages.chunks(batch) {
        shop.send(messages.to_vec()).await;
    }
    people(shop).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_order_and_repetition_gives_the_same_people() {
    for database in databases("order").await {
        let config = attune_profile::Config::default();
        let shop = Running::open(database.url(), database.system, config).await;
        let config = Config {
            cases: if database.system == "sqlite" { 96 } else { 24 },
            failure_persistence: None,
            ..Config::default()
        };
        let case = std::cell::Cell::new(0);
        TestRunner::new(config)
            .run(&arrivals(), |(said, order, batch)| {
                case.set(case.get() + 1);
                let sent: Vec<_> = said
                    .iter()
                    .enumerate()
                    .map(|(i, s)| message_of(i, s))
                    .collect();
                let arrived: Vec<_> = order.iter().map(|i| sent[*i].clone()).collect();
                let (one, other) = tokio::task::block_in_place(|| {
                    tokio::runtime::Handle::current().block_on(async {
                        let one = shop.in_workspace(&format!("one{}", case.get()));
                        let other = shop.in_workspace(&format!("other{}", case.get()));
                        let one = after(&one, &sent, 1).await;
                        (one, after(&other, &arrived, batch).await)
                    })
                });
                prop_assert_eq!(one, other);
                Ok(())
            })
            .unwrap();
    }
}
