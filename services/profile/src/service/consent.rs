//! Recording what a person decided about a purpose. Goes through the one writer, so
//! that it has its place among the events around it.

use std::sync::Arc;

use attune_storage::Tx;
use futures::FutureExt;

use super::{
    Service, Shared,
    pipeline::{Done, Job},
};
use crate::{
    Error,
    domain::{
        ProfileId,
        outcome::{Telling, Told},
        record::{Change, Decision},
    },
    store::{self, outbox, profiles},
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
        match self.writer.submit(Job::Consent(Arc::new(change))).await?? {
            Done::Consent(decision) => Ok(decision),
            Done::Messages(_) => Err(attune_storage::Error::Panicked.into()),
        }
    }
}

/// What became of it.
struct Written {
    profile_id: ProfileId,
    held: Decision,
    change: Change,
}

pub async fn write(shared: &Shared, change: Arc<ConsentChange>) -> Result<Decision, Error> {
    let workspace = change.workspace.clone();
    let written = shared
        .database
        .write(move |tx| {
            let change = change.clone();
            async move { decide(tx, &change).await }.boxed()
        })
        .await?;
    if written.change == Change::Some {
        shared.own.committed(&shared.database, 1);
        // What was withheld until now has to be read, and the other way round nothing
        // personal may stay: one rule for both.
        let key = shared.memory.profile_key(&workspace, written.profile_id);
        shared.memory.forget_profile(key);
    }
    Ok(written.held)
}

async fn decide(tx: &mut Tx, change: &ConsentChange) -> Result<Written, Error> {
    store::lock(tx, 0).await?;
    let workspace = &change.workspace;
    let profile_id = living(tx, workspace, change.profile_id).await?;
    let mut stored = profiles::stored(tx, workspace, &[profile_id]).await?;
    let Some(profile) = stored.get_mut(&profile_id) else {
        return Err(Error::ProfileNotFound(profile_id.to_string()));
    };
    let now_ms = attune_api::time::now_ms();
    let decision = decision(change, profile.record.consents.get(&change.purpose), now_ms);
    let changed = profile.record.decide(&change.purpose, decision.clone());
    let held = profile.record.consents.get(&change.purpose).cloned();
    if changed == Change::Some {
        profiles::put(tx, workspace, stored.iter(), now_ms).await?;
        let telling = Telling {
            profile_id,
            told: Told::Updated,
            origin: 0,
        };
        outbox::tell(tx, workspace, &change.traceparent, &telling).await?;
    }
    Ok(Written {
        profile_id,
        held: held.unwrap_or(decision),
        change: changed,
    })
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

async fn living(
    tx: &mut Tx,
    workspace: &Arc<str>,
    profile_id: ProfileId,
) -> Result<ProfileId, Error> {
    let standings = profiles::standings(tx, workspace, &[profile_id]).await?;
    match standings.first() {
        Some(standing) => Ok(standing.merged_into.unwrap_or(profile_id)),
        None => Err(Error::ProfileNotFound(profile_id.to_string())),
    }
}
