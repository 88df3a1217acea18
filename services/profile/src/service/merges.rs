//! Making two people one and two of one again because an operator says so, and the
//! record of all merges. What is joined and parted is decided by the directory; this
//! finds what it needs to know.

use std::sync::Arc;

use attune_api::{
    profile::v1::{ListMergesResponse, Merge, UnmergeProfilesResponse},
    time::from_ms,
};
use attune_errors::{Fault, Violations};
use attune_storage::Tx;
use futures::FutureExt;
use rustc_hash::FxHashMap;

use super::{
    Service, Shared, lookup,
    write::{self, Asked, Written},
};
use crate::{
    Error,
    convert::page,
    domain::{
        Identity, Owner, ProfileId,
        merge::{self, Evidence, Parted},
        people::Stored,
        standing::Standing,
    },
    store::{
        self, identities,
        merges::{self as record, MergeRow, State},
        profiles,
    },
};

/// Two profiles that are one person.
#[derive(Debug, Clone)]
pub struct MergeAsked {
    pub workspace: Arc<str>,
    pub profile_id: ProfileId,
    pub other_id: ProfileId,
    pub operator: String,
    pub reason: String,
    pub traceparent: String,
}

/// A merge that was a mistake.
#[derive(Debug, Clone)]
pub struct UnmergeAsked {
    pub workspace: Arc<str>,
    pub merge_id: String,
    pub operator: String,
    pub reason: String,
    pub traceparent: String,
}

impl Service {
    pub async fn merge(&self, asked: MergeAsked) -> Result<Merge, Error> {
        let asked = Arc::new(asked);
        self.in_turn(move |shared| {
            async move {
                let (tried, workspace) = (shared.clone(), asked.workspace.clone());
                let (row, written) = shared
                    .database
                    .write(move |tx| {
                        let (shared, asked) = (tried.clone(), asked.clone());
                        async move { unite(&shared, tx, &asked).await }.boxed()
                    })
                    .await?;
                write::committed(&shared, &mut [written]);
                tracing::info!(
                    workspace = &*workspace,
                    merge = row.merge_id,
                    "profiles merged"
                );
                Ok(shown(&row))
            }
            .boxed()
        })
        .await
    }

    /// Says who the two are afterwards: the one that stayed, then the other.
    pub async fn unmerge(&self, asked: UnmergeAsked) -> Result<UnmergeProfilesResponse, Error> {
        let workspace = asked.workspace.clone();
        let asked = Arc::new(asked);
        let ids = self
            .in_turn(move |shared| {
                async move {
                    let tried = shared.clone();
                    let (ids, moved, written) = shared
                        .database
                        .write(move |tx| {
                            let (shared, asked) = (tried.clone(), asked.clone());
                            async move { part(&shared, tx, &asked).await }.boxed()
                        })
                        .await?;
                    let workspace = written.workspace.clone();
                    write::committed(&shared, &mut [written]);
                    for (identity, owner) in moved {
                        let key = shared.memory.identity_key(&workspace, &identity);
                        shared.memory.set_owner(key, owner);
                    }
                    Ok(ids)
                }
                .boxed()
            })
            .await?;
        let mut profiles = Vec::with_capacity(ids.len());
        for id in ids {
            profiles.push(self.profile(&workspace, id).await?);
        }
        Ok(UnmergeProfilesResponse { profiles })
    }

    pub async fn merges(
        &self,
        workspace: &str,
        profile_id: ProfileId,
        before: &str,
        size: i64,
    ) -> Result<ListMergesResponse, Error> {
        let database = &self.shared.database;
        let codec = &self.shared.codec;
        let unknown = || Error::ProfileNotFound(profile_id.to_string());
        let row = profiles::row(database, codec, workspace, profile_id).await?;
        row.ok_or_else(unknown)?;
        let ids = profiles::one_person(database, workspace, profile_id).await?;
        let mut rows = record::page(database, codec, workspace, ids, before, size + 1).await?;
        let next_page_token = page::cut(&mut rows, size, |row| page::merge_token(&row.merge_id));
        Ok(ListMergesResponse {
            merges: rows.iter().map(shown).collect(),
            next_page_token,
        })
    }
}

async fn unite(
    shared: &Shared,
    tx: &mut Tx,
    asked: &MergeAsked,
) -> Result<(MergeRow, Written), Error> {
    let mut turn = store::lock(tx, 0).await?;
    let workspace = &asked.workspace;
    let ids = [asked.profile_id, asked.other_id];
    let mut found = lookup::people(shared, tx, workspace, &ids).await?;
    let living = |id: ProfileId| {
        let unknown = || Error::ProfileNotFound(id.to_string());
        found.directory.living(id).ok_or_else(unknown)
    };
    let (one, other) = (living(asked.profile_id)?, living(asked.other_id)?);
    if one == other {
        let rule = "must be of another person";
        return Err(Violations::of("other_profile_id", rule).into());
    }
    let evidence = Evidence {
        operator: asked.operator.clone(),
        reason: asked.reason.clone(),
        ..Evidence::default()
    };
    let mut steps = Vec::new();
    found
        .directory
        .unite(one, other, evidence, &mut steps)
        .map_err(|refusal| Violations::of("other_profile_id", refusal.rule()))?;
    let asked = Asked {
        workspace: workspace.clone(),
        steps: vec![steps],
        traceparents: vec![asked.traceparent.clone()],
        found,
        seals: shared.codec.of(workspace),
    };
    let written = write::carry_out(shared, tx, &mut turn, asked).await?;
    let made = written.outcome.merges.first().map(|m| m.merge_id);
    let unseen = || unknown("");
    let merge_id = made.ok_or_else(unseen)?.to_string();
    let mut seals = written.seals.clone();
    let row = record::find(tx, &mut seals, &written.workspace, &merge_id).await?;
    Ok((row.ok_or_else(unseen)?, written))
}

/// The two, whose identifiers are now, and what was written.
type PartedInto = (Vec<ProfileId>, Vec<(Identity, Owner)>, Written);

async fn part(shared: &Shared, tx: &mut Tx, asked: &UnmergeAsked) -> Result<PartedInto, Error> {
    let mut turn = store::lock(tx, 0).await?;
    let workspace = &asked.workspace;
    let mut seals = shared.codec.of(workspace);
    let row = record::find(tx, &mut seals, workspace, &asked.merge_id).await?;
    let row = undoable(row, asked)?;
    let mut found = lookup::people(shared, tx, workspace, &[row.merged_id]).await?;
    let survivor = match found.directory.living(row.merged_id) {
        Some(survivor) if survivor != row.merged_id => survivor,
        _ => return Err(unknown(&asked.merge_id)),
    };
    let stored = profiles::stored(tx, &mut seals, workspace, &[survivor]).await?;
    let held = identities::of_person(tx, &mut seals, workspace, survivor).await?;
    let apart = Apart::of(row, survivor, &stored, held, asked)?;
    let ids = vec![survivor, apart.parted.unmerged];
    let mut steps = Vec::new();
    let (ours, theirs) = (apart.survivor, apart.unmerged);
    found.directory.part(apart.parted, ours, theirs, &mut steps);
    let asked = Asked {
        workspace: workspace.clone(),
        steps: vec![steps],
        traceparents: vec![asked.traceparent.clone()],
        found,
        seals,
    };
    let written = write::carry_out(shared, tx, &mut turn, asked).await?;
    Ok((ids, apart.moved, written))
}

/// The merge, if it can be undone.
fn undoable(row: Option<MergeRow>, asked: &UnmergeAsked) -> Result<MergeRow, Error> {
    let row = row.ok_or_else(|| unknown(&asked.merge_id))?;
    let state = match row.state {
        State::Made => return Ok(row),
        State::Undone => "undone already",
        State::Refused => "refused, so there is nothing to undo",
    };
    Err(Error::Refused(Fault::wrong_state("merge", state)))
}

fn unknown(merge_id: &str) -> Error {
    Error::Refused(Fault::not_found("merge", merge_id))
}

/// What two people are without each other.
struct Apart {
    parted: Parted,
    survivor: Standing,
    unmerged: Standing,
    /// Whose identifiers are of the one that leaves.
    moved: Vec<(Identity, Owner)>,
}

impl Apart {
    fn of(
        row: MergeRow,
        survivor: ProfileId,
        stored: &FxHashMap<ProfileId, Stored>,
        held: Vec<(Identity, Owner)>,
        asked: &UnmergeAsked,
    ) -> Result<Self, Error> {
        let joined = |id: ProfileId| Some(stored.get(&id)?.joined?.into);
        let parts = merge::with_parts(row.merged_id, joined, stored.keys().copied());
        let (theirs, ours): (Vec<_>, Vec<_>) = held
            .into_iter()
            .partition(|(_, owner)| parts.contains(&owner.origin_id));
        let rest = stored.len().saturating_sub(parts.len());
        let (survivor_standing, unmerged) = (standing(&ours, rest), standing(&theirs, parts.len()));
        let profile_id = row.merged_id;
        let moved = theirs.into_iter().map(|(identity, owner)| {
            let owner = Owner {
                profile_id,
                ..owner
            };
            (identity, owner)
        });
        Ok(Self {
            moved: moved.collect(),
            survivor: survivor_standing,
            unmerged,
            parted: Parted {
                merge_id: row.merge_id.parse().map_err(|_| unknown(&row.merge_id))?,
                survivor,
                joined_into: row.profile_id,
                unmerged: profile_id,
                parts,
                evidence: Evidence {
                    undone_by: asked.operator.clone(),
                    undone_because: asked.reason.clone(),
                    ..row.evidence
                },
            },
        })
    }
}

/// Of a part of a person, as it stands alone: by its identifiers and its profiles.
fn standing(held: &[(Identity, Owner)], profiles: usize) -> Standing {
    Standing {
        known: held.iter().any(|(identity, _)| identity.names_a_customer()),
        shared: false,
        apart: true,
        identities: u32::try_from(held.len()).unwrap_or(u32::MAX),
        profiles: u32::try_from(profiles).unwrap_or(u32::MAX),
    }
}

fn shown(row: &MergeRow) -> Merge {
    let other = (row.merged_id != row.profile_id).then(|| row.merged_id.to_string());
    Merge {
        merge_id: row.merge_id.clone(),
        profile_id: row.profile_id.to_string(),
        merged_profile_id: other.unwrap_or_default(),
        time: Some(from_ms(row.time_ms)),
        evidence: row.evidence.text(),
        undone: row.state == State::Undone,
        refused: row.state == State::Refused,
    }
}
