//! What a person wants: read, and changed field by field. A change takes its turn among
//! the writers and goes the way of all changes of a person.

use std::sync::Arc;

use attune_api::profile::v1::Preferences;
use attune_storage::Tx;
use futures::FutureExt;
use prost_types::FieldMask;

use super::{
    Service, Shared, lookup,
    write::{self, Asked, Written},
};
use crate::{
    Error,
    convert::preferences as convert,
    domain::{ProfileId, linking::Step},
    store::profiles,
};

/// A change of preferences.
#[derive(Debug, Clone)]
pub struct PreferenceChange {
    pub workspace: Arc<str>,
    pub profile_id: ProfileId,
    pub sent: Preferences,
    /// Which fields; without it, those that are set in `sent`.
    pub mask: Option<FieldMask>,
    pub traceparent: String,
}

impl Service {
    pub async fn preferences(&self, workspace: &str, id: ProfileId) -> Result<Preferences, Error> {
        let row = self.living_row(workspace, id).await?;
        Ok(convert::shown(
            row.profile_id,
            row.record.preferences.as_ref(),
        ))
    }

    /// All of them as they are afterwards.
    pub async fn update_preferences(&self, change: PreferenceChange) -> Result<Preferences, Error> {
        let change = Arc::new(change);
        self.in_turn(move |shared| async move { write(&shared, change).await }.boxed())
            .await
    }
}

async fn write(shared: &Arc<Shared>, change: Arc<PreferenceChange>) -> Result<Preferences, Error> {
    let tried = shared.clone();
    let (preferences, mut written) = shared
        .database
        .write(move |tx| {
            let (shared, change) = (tried.clone(), change.clone());
            async move { carry_out(&shared, tx, &change).await }.boxed()
        })
        .await?;
    write::committed(shared, written.as_mut_slice()).await;
    Ok(preferences)
}

async fn carry_out(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    change: &PreferenceChange,
) -> Result<(Preferences, Option<Written>), Error> {
    let mut turn = write::begin(shared, tx, 0).await?;
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
    let held = stored.get(&profile_id).ok_or_else(unknown)?;
    let held = held.record.preferences.as_ref();
    let before = convert::shown(profile_id, held);
    let after = convert::merged(&before, &change.sent, change.mask.as_ref())?;
    let now_ms = shared.clock.now_ms();
    // Never earlier than what it changes, so that it holds.
    let time_ms = held.map_or(now_ms, |held| held.time_ms.max(now_ms));
    let preferences = convert::checked(after, time_ms)?;
    let shown = convert::shown(profile_id, Some(&preferences));
    let same = Preferences {
        update_time: before.update_time,
        ..shown.clone()
    };
    if same == before {
        return Ok((before, None));
    }
    let asked = Asked {
        workspace: workspace.clone(),
        steps: vec![vec![Step::Prefer { owner, preferences }]],
        traceparents: vec![change.traceparent.clone()],
        found,
        seals,
    };
    let written = write::carry_out(shared, tx, &mut turn, asked).await?;
    Ok((shown, Some(written)))
}
