//! Makes filters ready ahead of the decisions that use them: columns are built and sets
//! of items selected in steps so short that no decision waits for one. A filter that is
//! not ready is right all the same, item by item.

use std::sync::Arc;

use attune_api::rules::v1::DecideRequest;
use attune_errors::Violations;
use attune_rpc::Tasks;
use parking_lot::{RwLockReadGuard, RwLockWriteGuard};

use super::{
    rules::Vocabularies,
    workspace::{State, Workspaces},
};
use crate::{
    convert::check,
    domain::{filter::ItemFilter, items::ItemIndex, plan::StrategyFilter},
};

/// Items of one step: about a quarter of a millisecond.
const STEP_ITEMS: ItemIndex = 1024;

/// Makes strategies' filters ready whenever some may not be, until it is time to stop.
pub async fn keep(tasks: Tasks, workspaces: Arc<Workspaces>) {
    let stopped = tasks.token();
    loop {
        let workspaces = Arc::clone(&workspaces);
        tokio::select! {
            () = stopped.cancelled() => return,
            () = workspaces.unprepared() => {}
        }
        // Off the reactor: columns of a large catalog take a while.
        let prepared = tokio::task::spawn_blocking(move || {
            for state in workspaces.all() {
                prepare_strategies(&state);
            }
        });
        if prepared.await.is_err() {
            tracing::error!("filters could not be made ready");
        }
    }
}

/// The filter of a request, compiled and made ready once for all requests with the
/// same text, as long as no item type changes.
pub fn of_request(found: &mut Violations, state: &State, source: &str) -> Option<Arc<ItemFilter>> {
    if source.is_empty() {
        return None;
    }
    if let Some(held) = state.request_filter(source) {
        return Some(held);
    }
    let types_version = state.types_version();
    let vocabulary = Vocabularies::of(state).item;
    let expression = check::request_filter(found, "filter", source, &vocabulary)?;
    let filter = {
        let mut items = state.items.write();
        items.want_columns(&expression);
        items.filter(expression)
    };
    prepare(state, &filter);
    state.remember_filter(source, &filter, types_version);
    Some(filter)
}

/// Whether all filters of a request are at hand, so that nothing has to be made ready.
pub fn are_known(state: &State, request: &DecideRequest) -> bool {
    let mut sources = request.placements.iter().map(|ask| ask.filter.as_str());
    sources.all(|source| source.is_empty() || state.request_filter(source).is_some())
}

/// Makes the filters of all strategies ready that placements use.
pub fn prepare_strategies(state: &State) {
    build_columns(state);
    let base = state.base.load_full();
    for placement in base.placements.values() {
        if let Some(StrategyFilter::Items(filter)) = &placement.strategy.filter {
            prepare(state, filter);
        }
    }
}

/// Makes a filter ready to tell all its items.
pub fn prepare(state: &State, filter: &ItemFilter) {
    build_columns(state);
    let mut next = 0;
    loop {
        let items = state.items.read();
        if filter.members(&items).is_some() {
            return;
        }
        let end = (next + STEP_ITEMS).min(items.index_count() as ItemIndex);
        if next == end {
            filter.all_members(&items);
            return;
        }
        for index in next..end {
            filter.holds(&items, index);
        }
        next = end;
        RwLockReadGuard::unlock_fair(items);
    }
}

fn build_columns(state: &State) {
    loop {
        let mut items = state.items.write();
        if items.build_columns(STEP_ITEMS) {
            return;
        }
        // Whoever has been waiting meanwhile goes first.
        RwLockWriteGuard::unlock_fair(items);
    }
}
