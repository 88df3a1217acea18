//! The catalog as deciding sees it: dense indexes, the columns rules and rankers read,
//! and the lists that follow from them. Knows nothing of where items come from, and
//! gives an index to an id that behaviour mentions before the catalog does.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Weak},
};

use attune_api::catalog::v1::{Item, ItemState};
use attune_expr::{
    Expression,
    filter::{Column, ColumnName, Columns},
};
use roaring::RoaringBitmap;
use rustc_hash::FxHashMap;

use super::{
    bits::BitSet,
    changes::{Changes, History},
    columns::ItemColumns,
    filter::ItemFilter,
    id_hash::IdHash,
    inverted::Inverted,
    projected::{self, Pool, Projected, ProjectedScope},
};

/// An item's place in every column of its workspace. Never given to another id while
/// the process lives.
pub type ItemIndex = u32;

/// No leaf category.
pub const NO_CATEGORY: u32 = u32::MAX;
/// As many of the newest as one decision could look at.
const NEWEST_MAX: usize = 512;

/// Changes that are remembered. Who has not looked for longer looks at all items.
const CHANGES_MAX: usize = 8192;

/// What a change of one item means to the models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemChange {
    pub index: ItemIndex,
    pub is_offerable: bool,
}

/// All items of one workspace.
#[derive(Debug, Default)]
pub struct Items {
    ids: Vec<Arc<str>>,
    items: Vec<Option<Box<Projected>>>,
    by_id: FxHashMap<IdHash, ItemIndex>,
    /// Published and in stock.
    offerable: BitSet,
    /// Offered within a time window, in some locales or to some audience only.
    conditional: BitSet,
    leaves: Vec<u32>,
    leaf_ids: HashMap<Arc<str>, u32>,
    by_publication: BTreeSet<(Reverse<i64>, ItemIndex)>,
    newest: Vec<(i64, ItemIndex)>,
    newest_is_stale: bool,
    inverted: Inverted,
    pasts: Changes,
    pool: Pool,
    filters: HashMap<Arc<str>, Weak<ItemFilter>>,
    columns: ItemColumns,
    /// Items that exist.
    universe: RoaringBitmap,
    /// The latest changes, the newest last.
    changes: VecDeque<ItemIndex>,
    version: u64,
}

impl Items {
    pub fn index_of(&self, id: &str) -> Option<ItemIndex> {
        self.by_id.get(&IdHash::of(id)).copied()
    }

    /// Whether an item with this id exists.
    pub fn has(&self, id: &str) -> bool {
        self.index_of(id)
            .is_some_and(|index| self.get(index).is_some())
    }

    /// The index of an id, given now if it has none.
    pub fn intern(&mut self, id: &str) -> ItemIndex {
        let next = self.ids.len() as ItemIndex;
        let index = *self.by_id.entry(IdHash::of(id)).or_insert(next);
        if index == next {
            self.ids.push(id.into());
            self.items.push(None);
            self.leaves.push(NO_CATEGORY);
        }
        index
    }

    pub fn id(&self, index: ItemIndex) -> &Arc<str> {
        &self.ids[index as usize]
    }

    pub fn get(&self, index: ItemIndex) -> Option<&Projected> {
        self.items.get(index as usize)?.as_deref()
    }

    pub fn scope(&self, index: ItemIndex) -> Option<ProjectedScope<'_>> {
        self.get(index).map(|item| ProjectedScope {
            id: self.id(index),
            item,
        })
    }

    /// Items that exist.
    pub fn len(&self) -> usize {
        self.universe.len() as usize
    }

    pub fn is_empty(&self) -> bool {
        self.universe.is_empty()
    }

    /// Indexes given, to items and to ids that are none (yet).
    pub fn index_count(&self) -> usize {
        self.ids.len()
    }

    pub fn offerable(&self) -> &BitSet {
        &self.offerable
    }

    /// Whether it may be shown to someone at this time.
    pub fn is_offerable_at(&self, index: ItemIndex, now_ms: i64) -> bool {
        let conditional = self.conditional(index);
        self.offerable.get(index) && conditional.is_none_or(|item| item.is_available_at(now_ms))
    }

    /// The item, if it depends on who asks, or when, whether it may be shown.
    pub fn conditional(&self, index: ItemIndex) -> Option<&Projected> {
        let is_conditional = self.conditional.get(index);
        is_conditional.then(|| self.get(index)).flatten()
    }

    pub fn leaf_of(&self, index: ItemIndex) -> u32 {
        self.leaves[index as usize]
    }

    /// Offerable items with the time they were first published, the newest first.
    pub fn newest(&self) -> &[(i64, ItemIndex)] {
        &self.newest
    }

    /// All published items, the newest first.
    pub fn by_publication(&self) -> impl Iterator<Item = ItemIndex> + '_ {
        self.by_publication.iter().map(|(_, index)| *index)
    }

    pub fn inverted(&self) -> &Inverted {
        &self.inverted
    }

    /// Prices that dropped and stock that came back.
    pub fn changes(&self) -> &Changes {
        &self.pasts
    }

    /// What was stored of an item's past, after the item itself.
    pub fn restore_history(&mut self, index: ItemIndex, history: History) {
        let price = self.get(index).and_then(|item| item.price);
        self.pasts.put(index, history, price);
    }

    /// Whether taking in an item as it is now changes what it is like.
    pub fn is_reshaped_by(&self, item: &Item) -> bool {
        let held = self.index_of(&item.item_id).and_then(|at| self.get(at));
        held.is_none_or(|held| {
            let was_published = held.state == ItemState::Published;
            was_published != (item.state() == ItemState::Published)
                || held.features != projected::features(item)
        })
    }

    /// Takes in an item as it is now. Call [`Items::refresh`] after a batch.
    pub fn upsert(&mut self, item: &Item, stored_publication_ms: Option<i64>) -> ItemChange {
        let index = self.intern(&item.item_id);
        let publication_ms = publication_ms(self.get(index), item, stored_publication_ms);
        let projected = Box::new(Projected::new(item, publication_ms, &mut self.pool));
        self.reindex(index, Some(&projected));
        self.leaves[index as usize] = match projected.leaf_category() {
            Some(leaf) => self.leaf_id(leaf),
            None => NO_CATEGORY,
        };
        let before = self.items[index as usize].as_deref();
        self.pasts.note(index, before, &projected);
        let is_offerable = projected.is_offerable();
        self.offerable.set(index, is_offerable);
        self.conditional.set(index, projected.is_conditional());
        self.set_publication(index, &projected);
        self.items[index as usize] = Some(projected);
        self.universe.insert(index);
        self.changed(index);
        ItemChange {
            index,
            is_offerable,
        }
    }

    /// Removes an item; its index stays, for it may come back.
    pub fn remove(&mut self, id: &str) -> Option<ItemChange> {
        let index = self.index_of(id)?;
        self.get(index)?;
        self.reindex(index, None);
        if let Some(item) = self.items[index as usize].take() {
            self.drop_publication(index, &item);
        }
        self.pasts.forget(index);
        self.offerable.set(index, false);
        self.conditional.set(index, false);
        self.leaves[index as usize] = NO_CATEGORY;
        self.universe.remove(index);
        self.changed(index);
        Some(ItemChange {
            index,
            is_offerable: false,
        })
    }

    /// Brings what is derived from many items up to date, once for a batch of changes.
    pub fn refresh(&mut self) {
        if std::mem::take(&mut self.newest_is_stale) {
            self.newest.clear();
            self.newest.extend(
                self.by_publication
                    .iter()
                    .filter(|(_, index)| self.offerable.get(*index))
                    .take(NEWEST_MAX)
                    .map(|(time, index)| (time.0, *index)),
            );
        }
        self.pool.sweep();
    }

    /// The filter for an expression, shared by all who have the same.
    pub fn filter(&mut self, expression: Expression) -> Arc<ItemFilter> {
        if let Some(held) = self.filter_of(expression.source()) {
            return held;
        }
        self.filters.retain(|_, held| held.strong_count() > 0);
        let source = expression.source().into();
        let filter = Arc::new(ItemFilter::new(expression, self.version));
        self.filters.insert(source, Arc::downgrade(&filter));
        filter
    }

    /// The filter for a source text, if someone still holds one.
    pub fn filter_of(&self, source: &str) -> Option<Arc<ItemFilter>> {
        self.filters.get(source).and_then(Weak::upgrade)
    }

    /// Rises with every change of an item.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Items that have changed since a version, some of them more than once; None where
    /// that is too long ago.
    pub fn changed_since(&self, version: u64) -> Option<impl Iterator<Item = ItemIndex> + '_> {
        let count = usize::try_from(self.version.checked_sub(version)?).ok()?;
        let skipped = self.changes.len().checked_sub(count)?;
        Some(self.changes.range(skipped..).copied())
    }

    fn changed(&mut self, index: ItemIndex) {
        self.version += 1;
        if self.changes.len() == CHANGES_MAX {
            self.changes.pop_front();
        }
        self.changes.push_back(index);
    }

    /// From now on, what the expression reads of items is kept in columns.
    pub fn want_columns(&mut self, expression: &Expression) {
        self.columns.want(expression);
    }

    /// Takes some more items into a column that is still being built; true if there is
    /// nothing left to do. For short steps, between which others get their turn.
    pub fn build_columns(&mut self, items_max: ItemIndex) -> bool {
        let (ids, items) = (&self.ids, &self.items);
        let scope = |index: ItemIndex| {
            let item = items.get(index as usize)?.as_deref()?;
            let id = &ids[index as usize];
            Some(ProjectedScope { id, item })
        };
        self.columns.build(items_max, ids.len() as ItemIndex, scope);
        self.columns.are_complete()
    }

    fn leaf_id(&mut self, leaf: &str) -> u32 {
        if let Some(id) = self.leaf_ids.get(leaf) {
            return *id;
        }
        let id = self.leaf_ids.len() as u32;
        self.leaf_ids.insert(leaf.into(), id);
        id
    }

    fn reindex(&mut self, index: ItemIndex, now: Option<&Projected>) {
        let before = self.items[index as usize].as_deref();
        let id = &self.ids[index as usize];
        let scope = |item| ProjectedScope { id, item };
        self.columns
            .update(index, before.map(scope).as_ref(), now.map(scope).as_ref());
        let before: &[u64] = before.map_or(&[], |item| &item.features);
        let now: &[u64] = now.map_or(&[], |item| &item.features);
        if before == now {
            return;
        }
        for feature in before {
            self.inverted.remove(*feature, index);
        }
        for feature in now {
            self.inverted.insert(*feature, index);
        }
    }

    fn set_publication(&mut self, index: ItemIndex, now: &Projected) {
        if let Some(before) = self.items[index as usize].take() {
            self.drop_publication(index, &before);
            self.items[index as usize] = Some(before);
        }
        if let (ItemState::Published, Some(time)) = (now.state, now.first_published_ms) {
            self.by_publication.insert((Reverse(time), index));
        }
        self.newest_is_stale = true;
    }

    fn drop_publication(&mut self, index: ItemIndex, before: &Projected) {
        if let Some(time) = before.first_published_ms {
            self.by_publication.remove(&(Reverse(time), index));
            self.newest_is_stale = true;
        }
    }
}

impl Columns for Items {
    type Item<'a> = ProjectedScope<'a>;

    fn universe(&self) -> &RoaringBitmap {
        &self.universe
    }

    fn column(&self, name: ColumnName<'_>) -> Option<&Column> {
        self.columns.get(name)
    }

    fn index_of(&self, item_id: &str) -> Option<ItemIndex> {
        self.index_of(item_id)
    }

    fn item(&self, index: ItemIndex) -> Option<ProjectedScope<'_>> {
        self.scope(index)
    }
}

/// The first time stays; an item first seen published counts from its creation, one
/// that becomes published from the change that did it.
fn publication_ms(known: Option<&Projected>, item: &Item, stored_ms: Option<i64>) -> Option<i64> {
    let held = stored_ms.or_else(|| known.and_then(|k| k.first_published_ms));
    if held.is_some() || item.state() != ItemState::Published {
        return held;
    }
    let time = match known {
        None => item.create_time.as_ref(),
        Some(_) => item.update_time.as_ref(),
    };
    Some(time.map_or(0, attune_api::time::to_ms))
}
