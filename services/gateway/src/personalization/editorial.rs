//! The items that editors chose for placements, learnt behind the answers, so that
//! there is something to show when the rule-engine is down and nothing was ranked yet.
//! Never asked for in front of an answer, and never in anybody's way.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use attune_api::rules::v1::{GetPlacementRequest, rule_service_client::RuleServiceClient};
use attune_rpc::{Caller, Channel, Tasks, Workspace};
use bytes::Bytes;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tokio::sync::mpsc;

use super::wire;

/// How often a placement is read again.
const AGE_MAX: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(2);
/// Placements waiting to be read; more are left for the next time they are seen.
const QUEUE_MAX: usize = 256;

type Key = (Workspace, Box<str>);

struct Chosen {
    item_ids: Vec<Bytes>,
    since: Instant,
}

pub struct Editorial {
    chosen: Arc<Cache<Key, Arc<Chosen>>>,
    rules: RuleServiceClient<Channel>,
    wanted: mpsc::Sender<Key>,
    /// Until the reader starts and takes it.
    queue: Mutex<Option<mpsc::Receiver<Key>>>,
}

impl Editorial {
    pub fn new(rules: RuleServiceClient<Channel>, placements_max: u64) -> Self {
        let (wanted, queue) = mpsc::channel(QUEUE_MAX);
        let placements_max = usize::try_from(placements_max).unwrap_or(usize::MAX);
        Self {
            chosen: Arc::new(Cache::new(placements_max)),
            rules,
            wanted,
            queue: Mutex::new(Some(queue)),
        }
    }

    /// Notes that a placement is in use.
    pub fn see(&self, workspace: &Workspace, decision: &wire::PlacementDecision) {
        let Ok(placement) = std::str::from_utf8(&decision.placement) else {
            return;
        };
        let key = (workspace.clone(), Box::from(placement));
        let fresh = |chosen: Arc<Chosen>| chosen.since.elapsed() < AGE_MAX;
        if !self.chosen.get(&key).is_some_and(fresh) {
            // Marked at once, so that the answers until it is read do not all ask.
            let item_ids = self.of(workspace, placement);
            self.put(key.clone(), item_ids);
            let _ = self.wanted.try_send(key);
        }
    }

    /// Empty where none were chosen, or none are known.
    pub fn of(&self, workspace: &Workspace, placement: &str) -> Vec<Bytes> {
        let key = (workspace.clone(), Box::from(placement));
        let chosen = self.chosen.get(&key);
        chosen.map_or_else(Vec::new, |chosen| chosen.item_ids.clone())
    }

    fn put(&self, key: Key, item_ids: Vec<Bytes>) {
        let since = Instant::now();
        let chosen = Chosen { item_ids, since };
        self.chosen.insert(key, Arc::new(chosen));
    }

    /// Reads wanted placements, one after the other.
    pub fn start(&self, tasks: &Tasks) {
        let Some(mut queue) = self.queue.lock().take() else {
            return;
        };
        let (stop, chosen, mut rules) = (tasks.token(), self.chosen.clone(), self.rules.clone());
        tasks.spawn("gateway placements", async move {
            loop {
                let key = tokio::select! {
                    key = queue.recv() => key,
                    () = stop.cancelled() => None,
                };
                let Some(key) = key else { return };
                if let Some(item_ids) = read(&mut rules, &key).await {
                    let since = Instant::now();
                    chosen.insert(key, Arc::new(Chosen { item_ids, since }));
                }
            }
        });
    }
}

async fn read(rules: &mut RuleServiceClient<Channel>, key: &Key) -> Option<Vec<Bytes>> {
    let request = GetPlacementRequest {
        placement_id: key.1.to_string(),
    };
    let request = Caller::new(key.0.clone()).request_within(request, TIMEOUT);
    match rules.get_placement(request).await {
        Ok(placement) => {
            let ids = placement.into_inner().fallback_item_ids;
            Some(ids.into_iter().map(Bytes::from).collect())
        }
        Err(error) => {
            tracing::debug!(%error, "placement could not be read");
            None
        }
    }
}
