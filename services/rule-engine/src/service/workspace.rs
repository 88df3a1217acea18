//! One workspace in memory: items, models and rule base, and who may touch them when.
//! Locks are taken in the order items, models, and held for microseconds: writers go
//! in small steps so that decisions never wait long.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;
use attune_api::catalog::v1::{Item, ItemType};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use quick_cache::sync::Cache;
use tokio::sync::Notify;

use super::{parts::Parts, people::People, rules::Declared};
use crate::{
    config::Config,
    domain::{
        caps::Budgets,
        changes::History,
        decide::SimilarItems,
        filter::ItemFilter,
        inverted::Neighbour,
        items::{ItemIndex, Items},
        models::Models,
        plan::RuleBase,
    },
};

/// Filters sent with requests that are remembered, per workspace.
const REQUEST_FILTERS_MAX: usize = 256;

/// What the projection remembers of an item that the catalog does not say.
#[derive(Debug, Default)]
pub struct Kept {
    pub first_published_ms: Option<i64>,
    pub history: Option<History>,
}

/// Everything that deciding for one workspace reads.
pub struct State {
    pub name: Arc<str>,
    pub items: RwLock<Items>,
    pub models: RwLock<Models>,
    pub base: ArcSwap<RuleBase>,
    pub parts: Mutex<Parts>,
    /// Held while someone edits the rule base, from looking at it to the commit.
    pub editing: tokio::sync::Mutex<()>,
    item_types: RwLock<BTreeMap<String, ItemType>>,
    /// What the profile service declares of people.
    pub declared: ArcSwap<Declared>,
    pub similar: Similar,
    types_version: AtomicU64,
    /// By source text.
    request_filters: Cache<Arc<str>, Arc<ItemFilter>>,
    pub people: People,
    pub budgets: RwLock<Budgets>,
    /// The models have learnt since they were last stored.
    pub has_learnt: AtomicBool,
    /// Woken when filters may have to be made ready.
    unprepared: Arc<Notify>,
}

impl State {
    fn new(name: Arc<str>, config: &Config, unprepared: Arc<Notify>) -> Self {
        Self {
            name,
            items: RwLock::default(),
            models: RwLock::new(Models::new(config.people_max())),
            base: ArcSwap::default(),
            parts: Mutex::default(),
            editing: tokio::sync::Mutex::default(),
            item_types: RwLock::default(),
            declared: ArcSwap::default(),
            types_version: AtomicU64::new(0),
            similar: Similar::new(config.similar_items_max),
            request_filters: Cache::new(REQUEST_FILTERS_MAX),
            people: People::new(config.exposures_max),
            budgets: RwLock::default(),
            has_learnt: AtomicBool::new(false),
            unprepared,
        }
    }

    /// Takes in an item, with what was stored of it besides, and says what is to be.
    pub fn upsert_item(&self, item: &Item, stored: Kept) -> Kept {
        let mut items = self.items.write();
        let mut models = self.models.write();
        let is_reshaped = self.similar.is_used() && items.is_reshaped_by(item);
        if is_reshaped && let Some(index) = items.index_of(&item.item_id) {
            self.similar.forget(&items, &models, index);
        }
        let change = items.upsert(item, stored.first_published_ms);
        if let Some(history) = stored.history {
            items.restore_history(change.index, history);
        }
        models.item_changed(change, items.offerable());
        if is_reshaped {
            self.similar.forget(&items, &models, change.index);
        }
        let item = items.get(change.index);
        Kept {
            first_published_ms: item.and_then(|item| item.first_published_ms),
            history: items.changes().history(change.index).cloned(),
        }
    }

    pub fn remove_item(&self, item_id: &str) {
        let mut items = self.items.write();
        let mut models = self.models.write();
        if let Some(index) = items.index_of(item_id) {
            self.similar.forget(&items, &models, index);
        }
        if let Some(change) = items.remove(item_id) {
            models.item_changed(change, items.offerable());
        }
    }

    /// Puts the rule base together from its parts and into force.
    pub fn assemble(&self) {
        let mut parts = self.parts.lock();
        let base = parts.assemble(&mut self.items.write());
        self.base.store(Arc::new(base));
        self.unprepared.notify_one();
    }

    pub fn item_types(&self) -> RwLockReadGuard<'_, BTreeMap<String, ItemType>> {
        self.item_types.read()
    }

    /// Changes which characteristics there are. What requests filter by is checked anew
    /// from then on, for a name may have gone.
    pub fn change_item_types(&self, change: impl FnOnce(&mut BTreeMap<String, ItemType>)) {
        let mut types = self.item_types.write();
        change(&mut types);
        self.types_version.fetch_add(1, Ordering::Relaxed);
        self.request_filters.clear();
    }

    /// How often item types have changed.
    pub fn types_version(&self) -> u64 {
        self.types_version.load(Ordering::Relaxed)
    }

    pub fn request_filter(&self, source: &str) -> Option<Arc<ItemFilter>> {
        self.request_filters.get(source)
    }

    /// Remembers a filter that was checked against the types of a version.
    pub fn remember_filter(&self, source: &str, filter: &Arc<ItemFilter>, types_version: u64) {
        // Held, so that the types stay as they are until the filter is where a change
        // of them would find it.
        let _types = self.item_types.read();
        if self.types_version() == types_version {
            self.request_filters
                .insert(source.into(), Arc::clone(filter));
        }
    }

    /// After a batch of item changes.
    pub fn refresh_items(&self) {
        self.items.write().refresh();
        self.unprepared.notify_one();
    }
}

/// Remembers which items are most like which. By index and without an order of use:
/// following who was asked for last would cost more than most answers are worth.
pub struct Similar {
    lists: RwLock<Vec<Option<Arc<[Neighbour]>>>>,
    remembered: AtomicUsize,
    remembered_max: usize,
    /// Nothing was remembered yet, so there is nothing to forget: spares a first
    /// import the search for what each item would change.
    is_used: AtomicBool,
}

impl Similar {
    fn new(remembered_max: usize) -> Self {
        Self {
            lists: RwLock::default(),
            remembered: AtomicUsize::new(0),
            remembered_max,
            is_used: AtomicBool::new(false),
        }
    }

    pub fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    /// Likeness goes both ways: those near the changed item have it near them.
    fn forget(&self, items: &Items, models: &Models, index: ItemIndex) {
        if !self.is_used() {
            return;
        }
        let near = neighbours(items, models, index);
        let mut lists = self.lists.write();
        for index in near.iter().map(|(near, _)| *near).chain([index]) {
            if let Some(list) = lists.get_mut(index as usize)
                && list.take().is_some()
            {
                self.remembered.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    fn remember(&self, index: ItemIndex, list: &Arc<[Neighbour]>) {
        let mut lists = self.lists.write();
        if self.remembered.load(Ordering::Relaxed) >= self.remembered_max {
            lists.clear();
            self.remembered.store(0, Ordering::Relaxed);
        }
        let at = index as usize;
        if at >= lists.len() {
            lists.resize(at + 1, None);
        }
        if lists[at].replace(Arc::clone(list)).is_none() {
            self.remembered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl SimilarItems for Similar {
    fn similar(&self, items: &Items, models: &Models, index: ItemIndex) -> Arc<[Neighbour]> {
        let known = self.lists.read().get(index as usize).cloned().flatten();
        if let Some(list) = known {
            return list;
        }
        self.is_used.store(true, Ordering::Relaxed);
        let list: Arc<[Neighbour]> = neighbours(items, models, index).into();
        self.remember(index, &list);
        list
    }
}

fn neighbours(items: &Items, models: &Models, index: ItemIndex) -> Vec<Neighbour> {
    let standing = |other| models.popularity.standing(other);
    items
        .inverted()
        .neighbours(items, index, &models.reach, standing)
}

/// All workspaces of this process.
pub struct Workspaces {
    config: Config,
    states: ArcSwap<HashMap<Arc<str>, Arc<State>>>,
    adding: Mutex<()>,
    unprepared: Arc<Notify>,
}

impl Workspaces {
    pub fn new(config: Config) -> Self {
        Self {
            config,
            states: ArcSwap::default(),
            adding: Mutex::default(),
            unprepared: Arc::default(),
        }
    }

    pub fn get(&self, name: &str) -> Option<Arc<State>> {
        self.states.load().get(name).cloned()
    }

    /// The workspace, new and empty if nobody has spoken of it before.
    pub fn get_or_add(&self, name: &str) -> Arc<State> {
        if let Some(state) = self.get(name) {
            return state;
        }
        let _adding = self.adding.lock();
        if let Some(state) = self.get(name) {
            return state;
        }
        let name: Arc<str> = name.into();
        let state = Arc::new(State::new(
            Arc::clone(&name),
            &self.config,
            Arc::clone(&self.unprepared),
        ));
        let mut states = HashMap::clone(&self.states.load());
        states.insert(name, Arc::clone(&state));
        self.states.store(Arc::new(states));
        state
    }

    /// Waits until filters of some workspace may have to be made ready.
    pub async fn unprepared(&self) {
        self.unprepared.notified().await;
    }

    pub fn all(&self) -> Vec<Arc<State>> {
        self.states.load().values().cloned().collect()
    }
}
