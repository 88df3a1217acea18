//! What is kept in memory: encoded items, as they are answered, and item types. The
//! database is the truth; whatever is here may be dropped at any time.

use std::{
    collections::HashMap,
    convert::Infallible,
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use attune_api::catalog::v1::ItemType;
use bytes::Bytes;
use equivalent::Equivalent;
use parking_lot::Mutex;
use quick_cache::{
    UnitWeighter,
    sync::{Cache, DefaultLifecycle},
};
use rustc_hash::FxBuildHasher;

use crate::domain::item_type::{KnownType, KnownTypes};

/// Encoded items by workspace and id; that there is none is remembered too.
pub(crate) struct ItemCache {
    items: Cache<Key, Option<Bytes>, UnitWeighter, FxBuildHasher>,
    /// Counts what was dropped because others changed it.
    drops: AtomicU64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    workspace: Box<str>,
    item_id: Box<str>,
}

/// A key as it is asked for, without making one.
struct Asked<'a> {
    workspace: &'a str,
    item_id: &'a str,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (workspace, item_id) = (&*self.workspace, &*self.item_id);
        Asked { workspace, item_id }.hash(state);
    }
}

impl Hash for Asked<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.workspace.hash(state);
        self.item_id.hash(state);
    }
}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.item_id == *key.item_id && *self.workspace == *key.workspace
    }
}

/// What a reader noted before it asked the database.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noted(u64);

impl ItemCache {
    pub fn new(items_max: u64) -> Self {
        let capacity = usize::try_from(items_max).unwrap_or(usize::MAX);
        Self {
            // A read costs a shared lock and one bit; caches that keep an order of use
            // pay for every read.
            items: Cache::with(
                capacity,
                items_max,
                UnitWeighter,
                FxBuildHasher,
                DefaultLifecycle::default(),
            ),
            drops: AtomicU64::new(0),
        }
    }

    /// None if nothing is known; `Some(None)` if it is known not to exist.
    pub fn get(&self, workspace: &str, item_id: &str) -> Option<Option<Bytes>> {
        self.items.get(&Asked { workspace, item_id })
    }

    /// After a commit: what is there from now on.
    pub fn put(&self, workspace: &str, item_id: &str, item: Option<Bytes>) {
        self.items.insert(key(workspace, item_id), item);
    }

    pub fn note(&self) -> Noted {
        Noted(self.drops.load(Ordering::Acquire))
    }

    /// After a read that began at `noted`. Never replaces what a commit has put here
    /// meanwhile, and keeps nothing that may have changed during the read.
    pub fn fill(&self, noted: Noted, workspace: &str, item_id: &str, item: Option<Bytes>) {
        // Only if there is nothing yet.
        let _: Result<_, Infallible> = self
            .items
            .get_or_insert_with(&key(workspace, item_id), || Ok(item));
        if self.note().0 != noted.0 {
            self.items.remove(&Asked { workspace, item_id });
        }
    }

    /// Another process has changed it.
    pub fn drop_item(&self, workspace: &str, item_id: &str) {
        self.drops.fetch_add(1, Ordering::AcqRel);
        self.items.remove(&Asked { workspace, item_id });
    }

    pub fn drop_all(&self) {
        self.drops.fetch_add(1, Ordering::AcqRel);
        self.items.clear();
    }
}

fn key(workspace: &str, item_id: &str) -> Key {
    Key {
        workspace: workspace.into(),
        item_id: item_id.into(),
    }
}

/// The item types of all workspaces. Few and small, so all of them.
#[derive(Default)]
pub(crate) struct TypeCache {
    by_workspace: ArcSwap<HashMap<Arc<str>, Arc<KnownTypes>>>,
    /// Writers copy and replace, one after the other.
    writer: Mutex<()>,
}

impl TypeCache {
    pub fn of(&self, workspace: &str) -> Arc<KnownTypes> {
        let all = self.by_workspace.load();
        all.get(workspace).cloned().unwrap_or_default()
    }

    /// Replaces one type, or forgets it.
    pub fn put(&self, workspace: &Arc<str>, item_type_id: &str, item_type: Option<ItemType>) {
        let _one_at_a_time = self.writer.lock();
        let mut all = HashMap::clone(&self.by_workspace.load());
        let mut types = all
            .get(workspace)
            .map(|types| KnownTypes::clone(types))
            .unwrap_or_default();
        match item_type {
            Some(item_type) => {
                let known = Arc::new(KnownType::new(item_type));
                types.insert(item_type_id.to_owned(), known);
            }
            None => drop(types.remove(item_type_id)),
        }
        all.insert(Arc::clone(workspace), Arc::new(types));
        self.by_workspace.store(Arc::new(all));
    }

    /// Replaces everything by what the database has.
    pub fn replace(&self, item_types: Vec<(Arc<str>, ItemType)>) {
        let mut all: HashMap<Arc<str>, KnownTypes> = HashMap::new();
        for (workspace, item_type) in item_types {
            let id = item_type.item_type_id.clone();
            let known = Arc::new(KnownType::new(item_type));
            all.entry(workspace).or_default().insert(id, known);
        }
        let all = all.into_iter().map(|(w, types)| (w, Arc::new(types)));
        let _one_at_a_time = self.writer.lock();
        self.by_workspace.store(Arc::new(all.collect()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &'static str) -> Option<Bytes> {
        Some(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn workspaces_do_not_see_each_other() {
        let cache = ItemCache::new(10);
        cache.put("a", "bc", bytes("1"));
        assert_eq!(cache.get("a", "bc"), Some(bytes("1")));
        assert_eq!(cache.get("ab", "c"), None);
    }

    #[test]
    fn a_slow_reader_does_not_undo_a_commit() {
        let cache = ItemCache::new(10);
        let noted = cache.note();
        cache.put("w", "i", bytes("new"));
        cache.fill(noted, "w", "i", bytes("old"));
        assert_eq!(cache.get("w", "i"), Some(bytes("new")));
    }

    #[test]
    fn a_slow_reader_keeps_nothing_that_others_changed_meanwhile() {
        let cache = ItemCache::new(10);
        let noted = cache.note();
        cache.drop_item("w", "i");
        cache.fill(noted, "w", "i", bytes("old"));
        assert_eq!(cache.get("w", "i"), None);
    }

    #[test]
    fn that_there_is_no_such_item_is_remembered() {
        let cache = ItemCache::new(10);
        cache.fill(cache.note(), "w", "i", None);
        assert_eq!(cache.get("w", "i"), Some(None));
    }
}
