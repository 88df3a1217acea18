//! People tracking as fast as they are answered, and what of it was acknowledged.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use attune_e2e::{Api, PATIENCE, shop, wait_until};
use serde_json::json;
use tokio::task::JoinSet;

/// Eight people at once, until told to stop.
pub struct Load {
    acknowledged: Arc<Mutex<BTreeSet<(String, String)>>>,
    stopped: Arc<AtomicBool>,
    people: JoinSet<()>,
}

impl Load {
    const PEOPLE: usize = 8;

    pub fn start(api: &Api) -> Self {
        let mut load = Self {
            acknowledged: Arc::default(),
            stopped: Arc::default(),
            people: JoinSet::new(),
        };
        for number in 0..Self::PEOPLE {
            let (api, acknowledged) = (api.clone(), load.acknowledged.clone());
            let stopped = load.stopped.clone();
            load.people.spawn(async move {
                let user = format!("loader-{number}");
                while !stopped.load(Ordering::Relaxed) {
                    track_one(&api, &user, &acknowledged).await;
                }
            });
        }
        load
    }

    /// Waits until this many more events are acknowledged.
    pub async fn acknowledged(&self, more: usize) {
        let goal = self.acknowledged.lock().unwrap().len() + more;
        wait_until("events are acknowledged", PATIENCE, || async {
            self.acknowledged.lock().unwrap().len() >= goal
        })
        .await;
    }

    /// Ends it, and gives user and message id of everything acknowledged.
    pub async fn stop(mut self) -> BTreeSet<(String, String)> {
        self.stopped.store(true, Ordering::Relaxed);
        while self.people.join_next().await.is_some() {}
        std::mem::take(&mut *self.acknowledged.lock().unwrap())
    }
}

async fn track_one(api: &Api, user: &str, acknowledged: &Mutex<BTreeSet<(String, String)>>) {
    let id = shop::message_id();
    let event = json!({"userId": user, "messageId": id, "event": "Tapped"});
    match api.try_post("/v1/track", &event).await {
        Some(answer) if answer.is_ok() => {
            acknowledged.lock().unwrap().insert((user.to_owned(), id));
        }
        // The door is closed for now.
        _ => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
    }
}

/// Everything acknowledged is on its person's timeline.
pub async fn all_there(api: &Api, acknowledged: &BTreeSet<(String, String)>) {
    assert!(!acknowledged.is_empty());
    let users: BTreeSet<_> = acknowledged.iter().map(|(user, _)| user).collect();
    for user in users {
        let profile = shop::profile_of(api, user).await;
        let stored = shop::timeline(api, &profile).await;
        let count = stored.len();
        let stored: BTreeSet<_> = stored.into_iter().collect();
        assert_eq!(stored.len(), count, "no event is stored twice");
        let of_user = acknowledged.iter().filter(|(u, _)| u == user);
        let lost: Vec<_> = of_user.filter(|(_, id)| !stored.contains(id)).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    }
}
