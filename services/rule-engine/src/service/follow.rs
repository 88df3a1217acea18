//! Following the other services' logs: the catalog's into the projection, the
//! profile's into the models. The projection is stored with its position batch by
//! batch; the models are in memory and their position is stored with their snapshots.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering},
};

use attune_api::{
    catalog::v1::Item,
    events::v1::{EventRecorded, LogEntry, log_entry::Change},
    time,
};
use attune_storage::{Database, Error, Tx};
use parking_lot::Mutex;
use prost::Message;

use super::workspace::{Kept, State, Workspaces};
use crate::{
    domain::{decide::SimilarItems, items::ItemIndex, models::Learnt},
    store::items::{self, Effects, UpsertedItem},
};

/// Ids that are no item (yet) and still get a place, per workspace.
const UNKNOWN_ITEMS_MAX: usize = 1_000_000;
/// Items per batch of events for which similar items are looked up ahead.
const WARMED_MAX: usize = 64;

/// Takes a batch of the catalog's log into memory and the database. Safe to repeat.
pub async fn catalog_batch(
    database: &Database,
    workspaces: &Arc<Workspaces>,
    entries: Vec<LogEntry>,
) -> Result<(), Error> {
    let workspaces = Arc::clone(workspaces);
    // Off the reactor: a full batch is milliseconds of work.
    let applied = tokio::task::spawn_blocking(move || apply_catalog(&workspaces, &entries));
    let Ok(Some(effects)) = applied.await else {
        return Err(Error::Panicked);
    };
    let effects = Arc::new(effects);
    database
        .write(move |tx: &mut Tx| {
            let effects = Arc::clone(&effects);
            Box::pin(async move { items::apply(tx, &effects).await })
        })
        .await
}

/// The last change of each key is all that needs to be stored.
enum Latest {
    Item(Vec<u8>, Kept),
    NoItem,
}

/// None for an empty batch.
fn apply_catalog(workspaces: &Workspaces, entries: &[LogEntry]) -> Option<Effects> {
    let position = entries.last()?.position;
    let mut latest: HashMap<(Arc<str>, String), Latest> = HashMap::new();
    let mut types: BTreeMap<(Arc<str>, String), Option<Vec<u8>>> = BTreeMap::new();
    let mut touched: Vec<Arc<State>> = Vec::new();
    for entry in entries {
        let Some(change) = &entry.change else {
            continue;
        };
        let state = workspaces.get_or_add(&entry.workspace);
        let workspace = Arc::clone(&state.name);
        match change {
            Change::ItemUpserted(upserted) => {
                let Some(item) = &upserted.item else {
                    continue;
                };
                let slim = slim(item);
                let kept = state.upsert_item(&slim, Kept::default());
                let key = (workspace, slim.item_id.clone());
                latest.insert(key, Latest::Item(slim.encode_to_vec(), kept));
            }
            Change::ItemDeleted(deleted) => {
                state.remove_item(&deleted.item_id);
                latest.insert((workspace, deleted.item_id.clone()), Latest::NoItem);
            }
            Change::ItemTypeChanged(changed) => {
                let id = changed.item_type_id.clone();
                state.change_item_types(|held| match &changed.item_type {
                    Some(item_type) => drop(held.insert(id.clone(), item_type.clone())),
                    None => drop(held.remove(&id)),
                });
                let data = changed.item_type.as_ref().map(Message::encode_to_vec);
                types.insert((workspace, id), data);
            }
            _ => continue,
        }
        if !touched.iter().any(|held| Arc::ptr_eq(held, &state)) {
            touched.push(state);
        }
    }
    for state in touched {
        state.refresh_items();
    }
    Some(effects(latest, types, position))
}

fn effects(
    latest: HashMap<(Arc<str>, String), Latest>,
    types: BTreeMap<(Arc<str>, String), Option<Vec<u8>>>,
    position: i64,
) -> Effects {
    let mut effects = Effects {
        position,
        ..Effects::default()
    };
    for ((workspace, id), latest) in latest {
        match latest {
            Latest::Item(data, kept) => {
                effects.upserted.push(UpsertedItem {
                    workspace,
                    item_id: id,
                    data,
                    first_published_ms: kept.first_published_ms,
                    history: kept.history.and_then(|history| history.encode()),
                });
            }
            Latest::NoItem => effects.deleted.push((workspace, id)),
        }
    }
    let types = types.into_iter();
    effects.types = types.map(|((w, id), data)| (w, id, data)).collect();
    effects
}

/// What the projection keeps of an item.
pub fn slim(item: &Item) -> Item {
    Item {
        description: BTreeMap::new(),
        url: String::new(),
        image_url: String::new(),
        etag: String::new(),
        ..item.clone()
    }
}

/// How far the models have come. Held while they learn, and while they are stored, so
/// that a stored state and its position always belong together.
#[derive(Default)]
pub struct Learning(pub Mutex<Progress>);

#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    pub position: i64,
    /// Entries since the models were last stored.
    pub unstored: u64,
}

/// Takes a batch of the profile's log into the models. Entries that were taken in
/// before are passed over, so that each counts once.
pub fn profile_batch(learning: &Learning, workspaces: &Workspaces, entries: &[LogEntry]) {
    let mut progress = learning.0.lock();
    let mut batch = Batch::default();
    let learnt = progress.position;
    for entry in entries.iter().filter(|e| e.position > learnt) {
        let state = match &batch.state {
            Some(state) if *state.name == *entry.workspace => Arc::clone(state),
            _ => workspaces.get_or_add(&entry.workspace),
        };
        batch.take(&state, entry);
        batch.state = Some(state);
        progress.unstored += 1;
    }
    batch.finish();
    if let Some(last) = entries.last() {
        progress.position = progress.position.max(last.position);
    }
}

/// Workspaces and items that a batch has touched.
#[derive(Default)]
struct Batch {
    state: Option<Arc<State>>,
    touched: Vec<(Arc<State>, Vec<ItemIndex>)>,
}

impl Batch {
    fn take(&mut self, state: &Arc<State>, entry: &LogEntry) {
        match &entry.change {
            Some(Change::EventRecorded(recorded)) if recorded.personalization_allowed => {
                let commit_ms = entry.commit_time.as_ref().map(time::to_ms);
                let commit_ms = commit_ms.unwrap_or_else(time::now_ms);
                if let Some(learnt) = learn(state, recorded, commit_ms) {
                    self.touch(state, &learnt.items);
                }
            }
            Some(Change::ProfilesMerged(merged)) => {
                let mut models = state.models.write();
                models.merge_people(&merged.profile_id, &merged.merged_profile_id);
                drop(models);
                self.touch(state, &[]);
            }
            Some(Change::ProfileErased(erased)) => {
                let mut models = state.models.write();
                for id in &erased.profile_ids {
                    models.forget_person(id);
                }
                drop(models);
                self.touch(state, &[]);
            }
            _ => {}
        }
    }

    fn touch(&mut self, state: &Arc<State>, items: &[ItemIndex]) {
        state.has_learnt.store(true, Ordering::Relaxed);
        let held = self.touched.iter_mut().find(|(s, _)| Arc::ptr_eq(s, state));
        match held {
            Some((_, touched)) if touched.len() < WARMED_MAX => touched.extend(items),
            Some(_) => {}
            None => self.touched.push((Arc::clone(state), items.to_vec())),
        }
    }

    /// Brings what follows from many events up to date, and looks up ahead what the
    /// next decision about these items will ask for.
    fn finish(self) {
        for (state, touched) in self.touched {
            let items = state.items.read();
            state.models.write().popularity.refresh(items.offerable());
            drop(items);
            if !state.similar.is_used() {
                continue;
            }
            for index in touched {
                let items = state.items.read();
                let models = state.models.read();
                state.similar.similar(&items, &models, index);
            }
        }
    }
}

fn learn(state: &State, recorded: &EventRecorded, commit_ms: i64) -> Option<Learnt> {
    let event = recorded.event.as_ref()?;
    let is_known = {
        let items = state.items.read();
        let mut ids = event.items.iter();
        ids.all(|item| items.index_of(&item.item_id).is_some())
    };
    let learnt = if is_known {
        let items = state.items.read();
        Learnt::from_event(recorded, commit_ms, |id| items.index_of(id))
    } else {
        let mut items = state.items.write();
        Learnt::from_event(recorded, commit_ms, |id| {
            let unknown = items.index_count() - items.len();
            let is_full = unknown >= UNKNOWN_ITEMS_MAX;
            items
                .index_of(id)
                .or_else(|| (!is_full).then(|| items.intern(id)))
        })
    }?;
    let items = state.items.read();
    state.models.write().record(&learnt, &items);
    Some(learnt)
}
