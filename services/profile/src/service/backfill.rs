//! Fills in what was declared anew or differently: people are judged in the order of
//! their ids, a page at a time, each page in a turn of its own among the writes, and how
//! far it has come is written with the page. What is new together is filled in together.
//! Also clears away what is declared no longer.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use attune_rpc::{Slept, Tasks};
use attune_storage::Tx;
use futures::FutureExt;
use tokio::sync::Notify;

use super::{
    Service, Shared,
    derive::Again,
    write::{self, Written},
};
use crate::{
    Error,
    domain::{
        ProfileId,
        derive::{Extent, Name},
    },
    store::{
        Turn,
        fills::{self, Fill},
        members, profiles, segments,
    },
};

/// People in a page at most.
const PAGE_MAX: usize = 200;
/// Judgements in a page, about: a tenth of a second.
const JUDGEMENTS_MAX: usize = 50_000;
/// How often is looked for what other processes left unfinished.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Wakes whoever fills in.
#[derive(Debug, Default)]
pub struct Fills(Notify);

impl Fills {
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// Until the tasks stop.
pub async fn run(service: Arc<Service>, tasks: Tasks) {
    let token = tasks.token();
    let mut after = String::new();
    while !token.is_cancelled() {
        match turn(&service, &mut after).await {
            Ok(Found::Something) => {}
            Ok(Found::Nothing) => {
                tokio::select! {
                    () = service.shared.fills.0.notified() => {}
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                    () = token.cancelled() => return,
                }
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "segments cannot be filled in"
                );
                if tasks.sleep(RETRY_AFTER).await == Slept::UntilStopped {
                    return;
                }
            }
        }
    }
}

enum Found {
    Something,
    Nothing,
}

/// One page of one workspace; they take turns.
async fn turn(service: &Service, after: &mut String) -> Result<Found, Error> {
    let database = &service.shared.database;
    let workspace = match fills::workspace_after(database, after).await? {
        None => fills::workspace_after(database, "").await?,
        found => found,
    };
    let Some(workspace) = workspace else {
        return Ok(Found::Nothing);
    };
    *after = workspace.to_string();
    service
        .in_turn(move |shared| async move { page(&shared, workspace).await }.boxed())
        .await?;
    Ok(Found::Something)
}

async fn page(shared: &Arc<Shared>, workspace: Arc<str>) -> Result<(), Error> {
    let tried = shared.clone();
    let mut written = shared
        .database
        .write(move |tx| {
            let (shared, workspace) = (tried.clone(), workspace.clone());
            async move { write_page(&shared, tx, workspace).await }.boxed()
        })
        .await?;
    write::committed(shared, written.as_mut_slice()).await;
    Ok(())
}

async fn write_page(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    workspace: Arc<str>,
) -> Result<Option<Written>, Error> {
    let mut turn = write::begin(shared, tx, 0).await?;
    let declared = shared
        .declared
        .at(&shared.database, &workspace, turn.revision)
        .await?;
    let open = fills::next(tx, &workspace).await?;
    let is_gone = |fill: &&Fill| match &fill.name {
        Name::Segment(_) => declared.derived.number(&fill.name).is_none(),
        // Who has a value is not listed, so everybody is looked at.
        Name::Trait(_) => false,
    };
    if let Some(Name::Segment(id)) = open.iter().find(is_gone).map(|fill| &fill.name) {
        return clear(shared, tx, &mut turn, workspace, id).await;
    }
    let Some(from) = open.first().map(|fill| fill.after.clone()) else {
        return Ok(None);
    };
    let size = (JUDGEMENTS_MAX / open.len()).clamp(1, PAGE_MAX);
    let profile_ids = profiles::ids_after(tx, &workspace, &from, size).await?;
    if profile_ids.len() < size {
        for fill in &open {
            fills::end(tx, &workspace, &fill.name).await?;
        }
    } else if let Some(last) = profile_ids.last() {
        let looked_at = i64::try_from(profile_ids.len()).unwrap_or(0);
        fills::advance(tx, &workspace, &from, &last.to_string(), looked_at).await?;
    }
    let numbers = open
        .iter()
        .filter_map(|fill| declared.derived.number(&fill.name));
    let again = filling(profile_ids, numbers.collect());
    let written = write::look_again(shared, tx, &mut turn, workspace, &again).await?;
    Ok(Some(written))
}

/// Takes some of its members out of a segment that is declared no longer.
async fn clear(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    turn: &mut Turn,
    workspace: Arc<str>,
    id: &Arc<str>,
) -> Result<Option<Written>, Error> {
    let limit = i64::try_from(PAGE_MAX).unwrap_or(i64::MAX);
    let members = members::first(tx, &workspace, id, limit).await?;
    if members.is_empty() {
        fills::end(tx, &workspace, &Name::Segment(id.clone())).await?;
        segments::forget_sizes(tx, &workspace, id).await?;
        return Ok(None);
    }
    // Also of those whose records do not say so, so that this comes to an end.
    members::remove(tx, &workspace, id, &members).await?;
    let again = filling(members, BTreeSet::new());
    let written = write::look_again(shared, tx, turn, workspace, &again).await?;
    Ok(Some(written))
}

fn filling(profile_ids: Vec<ProfileId>, first: BTreeSet<u32>) -> Again {
    Again {
        profile_ids,
        extent: Extent::Filling,
        first,
    }
}
