//! Forgetting whom the profile service erased: their outcomes become a stranger's, and
//! so do their decisions, without the situation they were made in. What was counted
//! stays counted. Models forget them where they learn.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use attune_api::{
    events::v1::{LogEntry, log_entry::Change},
    rules::v1::Decision,
};
use attune_storage::{Database, Error, Tx};
use bytes::{Bytes, BytesMut};
use prost::Message;
use uuid::Uuid;

use super::{
    decision_log::{self, DecisionLog},
    exposures,
    workspace::Workspaces,
};
use crate::store::decisions;

/// Chunks that are looked through at a time.
const PAGE: i64 = 16;
/// How far the clocks of two machines may differ.
const CLOCKS_APART_MS: u128 = 3_600_000;

/// Takes the erasures of a batch of the profile's log. Safe to repeat.
pub async fn follow(
    database: &Database,
    workspaces: &Workspaces,
    decision_log: &DecisionLog,
    entries: &[LogEntry],
) -> Result<(), Error> {
    let mut erased: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
    for entry in entries {
        if let Some(Change::ProfileErased(one)) = &entry.change {
            let ids = one.profile_ids.iter().map(String::as_str);
            erased.entry(&entry.workspace).or_default().extend(ids);
        }
    }
    if erased.is_empty() {
        return Ok(());
    }
    // What was decided for them and is still on its way to the database.
    decision_log.flush().await;
    for (workspace, ids) in erased {
        for id in &ids {
            exposures::forget(database, workspaces, workspace, id).await?;
        }
        forget_decisions(database, workspace, &ids).await?;
    }
    if !database.empty_log_file().await? {
        tracing::warn!("readers kept the log file from being emptied after an erasure");
    }
    Ok(())
}

/// Looks through all decisions since the first of them can have been made: decisions are
/// too many to be found by person, and people are erased rarely.
async fn forget_decisions(
    database: &Database,
    workspace: &str,
    ids: &HashSet<&str>,
) -> Result<(), Error> {
    let oldest = ids.iter().map(|id| made_after(id)).min();
    let oldest = oldest.unwrap_or_default();
    let name: Arc<str> = workspace.into();
    let mut before = None;
    loop {
        let page = decisions::page(database, workspace, &oldest, before, PAGE).await?;
        for (place, chunk) in &page {
            let Some(changed) = without(chunk.clone(), ids) else {
                continue;
            };
            let (name, place) = (Arc::clone(&name), place.clone());
            database
                .write(move |tx: &mut Tx| {
                    let (name, place) = (Arc::clone(&name), place.clone());
                    let changed = changed.clone();
                    Box::pin(async move { decisions::replace(tx, &name, &place, changed).await })
                })
                .await?;
        }
        match page.into_iter().next_back() {
            Some((last, _)) => before = Some(last),
            None => return Ok(()),
        }
    }
}

/// An id before those of all decisions that can have been made for a profile: both kinds
/// are in the order of their times. Empty where an id does not tell.
fn made_after(profile_id: &str) -> String {
    let id = Uuid::try_parse(profile_id).ok();
    let made = id.filter(|id| id.get_version_num() == 7);
    made.map_or_else(String::new, |id| {
        let made_ms = (id.as_u128() >> 80).saturating_sub(CLOCKS_APART_MS);
        Uuid::from_u128(made_ms << 80).to_string()
    })
}

/// A chunk in which nothing is of these people; None where nothing was.
fn without(chunk: Bytes, ids: &HashSet<&str>) -> Option<Bytes> {
    let mut changed = BytesMut::with_capacity(chunk.len());
    let mut is_changed = false;
    for (key, record) in decision_log::records(chunk) {
        let mut record = record;
        if ids.contains(key.profile_id.as_str()) {
            let mut decision = Decision::decode(record).ok()?;
            decision.profile_id.clear();
            decision.context = None;
            record = decision.encode_to_vec().into();
            is_changed = true;
        }
        prost::encoding::encode_varint(record.len() as u64, &mut changed);
        changed.extend_from_slice(&record);
    }
    is_changed.then(|| changed.freeze())
}
