//! Recording what a person decided about a purpose. Goes through the one writer, so
//! that it has its place among the events around it.

use std::sync::Arc;

use attune_storage::Tx;
use futures::FutureExt;

use super::{
    Service, Shared, lookup,
    write::{self, Asked, Written},
};
use crate::{
    Error,
    domain::{ProfileId, linking::Step, record::Decision},
    store::{self, profiles},
};

/// A decision on its way in.
#[derive(Debug, Clone)]
pub struct ConsentChange {
    pub workspace: Arc<str>,
    pub profile_id: ProfileId,
    pub purpose: String,
    pub granted: bool,
    pub source: String,
    pub policy_version: String,
    /// None means now, unless the same was decided before.
    pub time_ms: Option<i64>,
    pub traceparent: String,
}

impl Service {
    /// What holds for the purpose afterwards: this, or a later decision.
    pub async fn set_consent(&self, change: ConsentChange) -> Result<Decision, Error> {
        let change = Arc::new(change);
        self.in_turn(move |shared| async move { write(&shared, change).await }.boxed())
            .await
    }
}

async fn write(shared: &Arc<Shared>, change: Arc<ConsentChange>) -> Result<Decision, Error> {
    let tried = shared.clone();
    let (held, written) = shared
        .database
        .write(move |tx| {
            let (shared, change) = (tried.clone(), change.clone());
            async move { decide(&shared, tx, &change).await }.boxed()
        })
        .await?;
    write::committed(shared, written.as_slice());
    Ok(held)
}

/// What holds, and what was written for it to hold.
async fn decide(
    shared: &Shared,
    tx: &mut Tx,
    change: &ConsentChange,
) -> Result<(Decision, Option<Written>), Error> {
    let mut turn = store::lock(tx, 0).await?;
    let workspace = &change.workspace;
    let found = lookup::people(shared, tx, workspace, &[change.profile_id]).await?;
    let unknown = || Error::ProfileNotFound(change.profile_id.to_string());
    let owner = found
        .directory
        .owner(change.profile_id)
        .ok_or_else(unknown)?;
    let profile_id = owner.profile_id;
    let mut seals = shared.codec.of(workspace);
    let stored = profiles::stored(tx, &mut seals, workspace, &[profile_id]).await?;
    let record = &stored.get(&profile_id).ok_or_else(unknown)?.record;
    let held = record.consents.get(&change.purpose);
    let decision = decision(change, held, attune_api::time::now_ms());
    if let Some(held) = held.filter(|held| !held.gives_way_to(&decision)) {
        return Ok((held.clone(), None));
    }
    let step = Step::Decide {
        owner,
        purpose: change.purpose.clone(),
        decision: decision.clone(),
    };
    let asked = Asked {
        workspace: workspace.clone(),
        steps: vec![vec![step]],
        traceparents: vec![change.traceparent.clone()],
        found,
        seals,
    };
    let written = write::carry_out(shared, tx, &mut turn, asked).await?;
    Ok((decision, Some(written)))
}

/// The decision to be recorded. Without a time, the same decision again is the one that
/// is held, so that sending it twice records it once.
fn decision(change: &ConsentChange, held: Option<&Decision>, now_ms: i64) -> Decision {
    let mut decision = Decision {
        granted: change.granted,
        source: change.source.clone(),
        policy_version: change.policy_version.clone(),
        time_ms: change.time_ms.unwrap_or(now_ms),
    };
    if let (None, Some(held)) = (change.time_ms, held) {
        decision.time_ms = held.time_ms;
        if decision != *held {
            decision.time_ms = now_ms;
        }
    }
    decision
}
