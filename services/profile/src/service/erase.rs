//! Erasing a person: their keys are destroyed and their rows deleted in one transaction,
//! with its entry in the audit log, in its turn among the messages around it. What comes
//! later by one of their identifiers is somebody new. Cannot be undone.

use std::sync::Arc;

use attune_rpc::Caller;
use attune_storage::Tx;
use futures::FutureExt;
use uuid::Uuid;

use super::{
    Service, Shared, addresses,
    audit::{self, Access},
};
use crate::{
    Error,
    domain::{
        ProfileId,
        outcome::{Telling, Told},
    },
    store::{
        self,
        erasure::{self, Erasure},
        members, outbox, profiles, retention,
    },
};

/// An erasure on its way in.
#[derive(Debug, Clone)]
pub struct Asked {
    pub caller: Caller,
    pub profile_id: ProfileId,
    /// Kept in the audit log.
    pub reason: String,
    pub traceparent: String,
    /// Not where something was heard of them since.
    pub idle_since_ms: Option<i64>,
}

/// Whether it is this call that erased.
enum Done {
    Now(Erasure),
    Before(Erasure),
    /// It turned out that they are not idle.
    Not,
}

impl Service {
    /// The proof, also where the person was erased before, by whichever of their ids.
    pub async fn erase(&self, asked: Asked) -> Result<Erasure, Error> {
        let unwanted = asked.profile_id.to_string();
        let asked = Arc::new(asked);
        let done = self
            .in_turn(move |shared| async move { erase(&shared, asked).await }.boxed())
            .await?;
        let erasure = match done {
            Done::Before(erasure) => return Ok(erasure),
            Done::Now(erasure) => erasure,
            Done::Not => return Err(Error::ProfileNotFound(unwanted)),
        };
        empty_log_file(&self.shared).await?;
        Ok(erasure)
    }

    /// Whether this erased a person who is idle still. To be followed, for one or many,
    /// by [`empty_log_file`].
    pub async fn erase_if_idle(&self, asked: Asked) -> Result<bool, Error> {
        let asked = Arc::new(asked);
        let done = self
            .in_turn(move |shared| async move { erase(&shared, asked).await }.boxed())
            .await?;
        Ok(matches!(done, Done::Now(_)))
    }
}

/// The deleted rows and keys are still in the write-ahead log.
pub async fn empty_log_file(shared: &Shared) -> Result<(), Error> {
    if !shared.database.empty_log_file().await? {
        tracing::warn!("readers kept the log file from being emptied after an erasure");
    }
    Ok(())
}

async fn erase(shared: &Arc<Shared>, asked: Arc<Asked>) -> Result<Done, Error> {
    let (trying, asking) = (shared.clone(), asked.clone());
    let done = shared
        .database
        .write(move |tx| {
            let (shared, asked) = (trying.clone(), asking.clone());
            async move { write(&shared, tx, &asked).await }.boxed()
        })
        .await?;
    if let Done::Now(erasure) = &done {
        shared.follower.committed(&shared.database, 1);
        let workspace = Arc::from(asked.caller.workspace.as_str());
        shared.forget_erased(&workspace, &erasure.profile_ids);
    }
    Ok(done)
}

async fn write(shared: &Shared, tx: &mut Tx, asked: &Asked) -> Result<Done, Error> {
    store::lock(tx, 0).await?;
    let workspace: Arc<str> = Arc::from(asked.caller.workspace.as_str());
    if let Some(before) = erasure::of(tx, &workspace, asked.profile_id).await? {
        return Ok(Done::Before(before));
    }
    let standings = profiles::standings(tx, &workspace, &[asked.profile_id]).await?;
    let Some(standing) = standings.first() else {
        return Err(Error::ProfileNotFound(asked.profile_id.to_string()));
    };
    if let Some(since_ms) = asked.idle_since_ms
        && !retention::still_idle(tx, &workspace, asked.profile_id, since_ms).await?
    {
        return Ok(Done::Not);
    }
    let living = standing.merged_into.unwrap_or(standing.profile_id);
    let profile_ids = erasure::one_person(tx, &workspace, living).await?;
    let event_count = erasure::event_count(tx, &workspace, &profile_ids).await?;
    let address_keys = addresses::of_person(shared, tx, &workspace, living).await?;
    let access = Access::of("EraseProfile", living).saying(&asked.reason);
    let entry = audit::append(tx, &asked.caller, access).await?;
    shared.codec.destroy(tx, &workspace, &profile_ids).await?;
    members::forget(tx, &workspace, &profile_ids, shared.clock.now_ms()).await?;
    erasure::delete(tx, &workspace, &profile_ids).await?;
    let erasure = Erasure {
        erasure_id: Uuid::now_v7().to_string(),
        time_ms: entry.access.time_ms,
        profile_ids,
        event_count,
        audit_hash: audit::hex(&entry.hash),
    };
    erasure::put(tx, &workspace, &erasure).await?;
    let profile_ids = erasure.profile_ids.clone();
    let telling = Telling {
        profile_id: living,
        told: Told::Erased {
            profile_ids,
            address_keys,
        },
        origin: 0,
    };
    outbox::tell(tx, &workspace, &asked.traceparent, &telling).await?;
    Ok(Done::Now(erasure))
}

impl Shared {
    /// After an erasure, here or elsewhere: nothing of these profiles is held any more.
    pub fn forget_erased(&self, workspace: &Arc<str>, profile_ids: &[ProfileId]) {
        self.codec.forget(workspace, profile_ids.iter().copied());
        for id in profile_ids {
            let key = self.memory.profile_key(workspace, *id);
            self.memory.forget_profile(key);
            self.histories.forget(key);
        }
    }
}
