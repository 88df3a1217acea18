//! Storing what the models have learnt and reading it again at the start. A stored
//! state and its position in the log belong together, so that after a restart every
//! event counts once, whether it was learnt before or after.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use attune_rpc::{Slept, Tasks};
use attune_storage::{Database, Error, Tx};
use bytes::Bytes;

use super::{
    follow::Learning,
    workspace::{Kept, Workspaces},
};
use crate::{
    config::Config,
    domain::{
        changes::History,
        models::{Models, StoredModels},
    },
    store,
};

/// More than this is not read from the log again after a crash.
const UNSTORED_MAX: u64 = 200_000;
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Items first, since models speak of them.
pub async fn load(
    database: &Database,
    workspaces: &Workspaces,
    learning: &Learning,
    config: &Config,
) -> Result<(), Error> {
    load_items(database, workspaces).await?;
    let Some(stored) = store::models::load(database).await? else {
        tracing::warn!("stored models are of a later version and are learnt anew");
        return Ok(());
    };
    // All or none: they stand for one position together.
    let decoded: Result<Vec<(Arc<str>, StoredModels)>, postcard::Error> = stored
        .blobs
        .into_iter()
        .map(|blob| {
            Ok((
                blob.workspace,
                StoredModels::decode(&blob.data, blob.format)?,
            ))
        })
        .collect();
    let Ok(decoded) = decoded else {
        tracing::error!("stored models cannot be read and are learnt anew");
        return Ok(());
    };
    for (workspace, models) in decoded {
        let state = workspaces.get_or_add(&workspace);
        let mut items = state.items.write();
        let models = Models::restore(models, &mut items, config.people_max());
        *state.models.write() = models;
    }
    learning.0.lock().position = stored.position;
    Ok(())
}

async fn load_items(database: &Database, workspaces: &Workspaces) -> Result<(), Error> {
    for (workspace, item_type) in store::items::all_types(database).await? {
        let state = workspaces.get_or_add(&workspace);
        state.change_item_types(|types| {
            types.insert(item_type.item_type_id.clone(), item_type);
        });
    }
    let mut after: (Arc<str>, String) = ("".into(), String::new());
    loop {
        let page = store::items::page_after(database, &after.0, &after.1).await?;
        let Some(last) = page.last() else {
            break;
        };
        after = (Arc::clone(&last.workspace), last.item.item_id.clone());
        for stored in &page {
            let state = workspaces.get_or_add(&stored.workspace);
            let history = stored.history.as_deref().and_then(History::decode);
            let kept = Kept {
                first_published_ms: stored.first_published_ms,
                history,
            };
            state.upsert_item(&stored.item, kept);
        }
    }
    for state in workspaces.all() {
        state.refresh_items();
    }
    Ok(())
}

/// Stores the models now and then until it is time to stop, and then once more.
pub async fn keep(
    tasks: Tasks,
    database: Database,
    workspaces: Arc<Workspaces>,
    learning: Arc<Learning>,
    interval: Duration,
) {
    let mut stored = Instant::now();
    loop {
        let slept = tasks.sleep(LOOK_EVERY).await;
        let is_last = slept == Slept::UntilStopped;
        let unstored = learning.0.lock().unstored;
        let is_due = unstored >= UNSTORED_MAX || stored.elapsed() >= interval;
        if unstored > 0 && (is_due || is_last) {
            let saved = save(&database, &workspaces, &learning).await;
            if let Err(error) = saved {
                tracing::error!(%error, "the models could not be stored");
            }
            stored = Instant::now();
        }
        if is_last {
            return;
        }
    }
}

/// Stores every workspace that has learnt something.
pub async fn save(
    database: &Database,
    workspaces: &Arc<Workspaces>,
    learning: &Arc<Learning>,
) -> Result<(), Error> {
    let (blobs, position, count) = copy(workspaces, learning).await;
    let blobs = Arc::new(blobs);
    let result = database
        .write({
            let blobs = Arc::clone(&blobs);
            move |tx: &mut Tx| {
                let blobs = Arc::clone(&blobs);
                Box::pin(async move { store::models::save(tx, &blobs, position).await })
            }
        })
        .await;
    if result.is_err() {
        for (workspace, _) in blobs.iter() {
            let state = workspaces.get_or_add(workspace);
            state.has_learnt.store(true, Ordering::Relaxed);
        }
        learning.0.lock().unstored += count;
    }
    result
}

/// Off the reactor, since a large workspace takes a while. Decisions go on meanwhile;
/// only learning waits.
async fn copy(
    workspaces: &Arc<Workspaces>,
    learning: &Arc<Learning>,
) -> (Vec<(Arc<str>, Bytes)>, i64, u64) {
    let workspaces = Arc::clone(workspaces);
    let learning = Arc::clone(learning);
    let copied = tokio::task::spawn_blocking(move || {
        let mut progress = learning.0.lock();
        let mut blobs = Vec::new();
        for state in workspaces.all() {
            if !state.has_learnt.swap(false, Ordering::Relaxed) {
                continue;
            }
            let items = state.items.read();
            let stored = state.models.read().store(&items);
            drop(items);
            match stored.encode() {
                Ok(blob) => blobs.push((Arc::clone(&state.name), Bytes::from(blob))),
                Err(error) => tracing::error!(%error, "models could not be encoded"),
            }
        }
        let count = std::mem::take(&mut progress.unstored);
        (blobs, progress.position, count)
    });
    copied.await.unwrap_or_default()
}
