//! Making two people one and two of one again because an operator says so, and the
//! record of all merges. What is joined and parted is decided by the directory; this
//! finds what it needs to know.

use std::{collections::BTreeMap, sync::Arc};

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
        linking::Directory,
        merge::{Evidence, MergeId, Split, Undone},
        standing::Standing,
        ties::{Part, StillTied, Ties},
    },
    store::{
        codec::Seals,
        identities,
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

/// A merge that was a mistake, or several.
#[derive(Debug, Clone)]
pub struct UnmergeAsked {
    pub workspace: Arc<str>,
    pub merge_id: String,
    /// Undone with it.
    pub with_merge_ids: Vec<String>,
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
                write::committed(&shared, &mut [written]).await;
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

    /// Says who they are afterwards: the one that stayed, then the others.
    pub async fn unmerge(&self, asked: UnmergeAsked) -> Result<UnmergeProfilesResponse, Error> {
        let workspace = asked.workspace.clone();
        let asked = Arc::new(asked);
        let ids = self
            .in_turn(move |shared| {
                async move {
                    let tried = shared.clone();
                    let (ids, held, written) = shared
                        .database
                        .write(move |tx| {
                            let (shared, asked) = (tried.clone(), asked.clone());
                            async move { part(&shared, tx, &asked).await }.boxed()
                        })
                        .await?;
                    let workspace = written.workspace.clone();
                    write::committed(&shared, &mut [written]).await;
                    for (identity, owner) in held {
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
    shared: &Arc<Shared>,
    tx: &mut Tx,
    asked: &MergeAsked,
) -> Result<(MergeRow, Written), Error> {
    let mut turn = write::begin(shared, tx, 0).await?;
    let workspace = &asked.workspace;
    let ids = [asked.profile_id, asked.other_id];
    let mut found = lookup::people(shared, tx, workspace, &ids).await?;
    let owner = |id: ProfileId| {
        let unknown = || Error::ProfileNotFound(id.to_string());
        found.directory.owner(id).ok_or_else(unknown)
    };
    let (one, other) = (owner(asked.profile_id)?, owner(asked.other_id)?);
    if one.profile_id == other.profile_id {
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

/// Who they are now, whose identifiers are, and what was written.
type PartedInto = (Vec<ProfileId>, Vec<(Identity, Owner)>, Written);

async fn part(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    asked: &UnmergeAsked,
) -> Result<PartedInto, Error> {
    let mut turn = write::begin(shared, tx, 0).await?;
    let workspace = &asked.workspace;
    let mut seals = shared.codec.of(workspace);
    let undone = undoable(tx, &mut seals, asked).await?;
    let ids: Vec<_> = undone.values().map(|row| row.between.one).collect();
    let mut found = lookup::people(shared, tx, workspace, &ids).await?;
    let survivor = one_person(&found.directory, &undone, asked)?;
    let stored = profiles::stored(tx, &mut seals, workspace, &[survivor]).await?;
    let ties = record::ties(tx, workspace, &[survivor]).await?;
    let joined = stored.iter().map(|(id, stored)| (*id, stored.joined));
    let ties = ties.into_iter().map(|(_, tie)| tie).collect();
    let ties = Ties::of(&joined.collect(), ties);
    let merge_ids = undone.keys().copied().collect();
    let still_joined = |still: StillTied| Fault::still_joined(still.merge_id, &still.by);
    let parts = ties.without(&merge_ids).map_err(still_joined)?;
    let held = identities::of_person(tx, &mut seals, workspace, survivor).await?;
    let apart = Apart::of(&parts, held);
    let ids = parts.iter().map(|part| part.root).collect();
    let mut parts = parts.into_iter();
    let split = Split {
        stays: parts.next().ok_or_else(|| unknown(&asked.merge_id))?,
        leave: parts.collect(),
        undone: undone
            .into_values()
            .map(|row| undoing(row, asked))
            .collect::<Result<_, _>>()?,
    };
    let mut steps = Vec::new();
    found.directory.part(split, apart.standings, &mut steps);
    let asked = Asked {
        workspace: workspace.clone(),
        steps: vec![steps],
        traceparents: vec![asked.traceparent.clone()],
        found,
        seals,
    };
    let written = write::carry_out(shared, tx, &mut turn, asked).await?;
    Ok((ids, apart.held, written))
}

/// The merges that are asked for, if they can be undone.
async fn undoable(
    tx: &mut Tx,
    seals: &mut Seals,
    asked: &UnmergeAsked,
) -> Result<BTreeMap<MergeId, MergeRow>, Error> {
    let mut undone = BTreeMap::new();
    for merge_id in std::iter::once(&asked.merge_id).chain(&asked.with_merge_ids) {
        let row = record::find(tx, seals, &asked.workspace, merge_id).await?;
        let row = row.ok_or_else(|| unknown(merge_id))?;
        let state = match row.state {
            State::Made => {
                undone.insert(row.merge_id.parse().map_err(|_| unknown(merge_id))?, row);
                continue;
            }
            State::Undone => "undone already",
            State::Refused => "refused, so there is nothing to undo",
        };
        return Err(Error::Refused(Fault::wrong_state("merge", state)));
    }
    Ok(undone)
}

/// Whose merges they are; all of them must be the same person's.
fn one_person(
    directory: &Directory,
    undone: &BTreeMap<MergeId, MergeRow>,
    asked: &UnmergeAsked,
) -> Result<ProfileId, Error> {
    let living = |merge_id: &str| {
        let row = undone.get(&merge_id.parse().ok()?)?;
        directory.living(row.between.one)
    };
    let survivor = living(&asked.merge_id).ok_or_else(|| unknown(&asked.merge_id))?;
    let mut violations = Violations::new();
    for (index, merge_id) in asked.with_merge_ids.iter().enumerate() {
        if living(merge_id) != Some(survivor) {
            let rule = "must be a merge of the same person as merge_id";
            violations.push(format!("with_merge_ids[{index}]"), rule);
        }
    }
    violations.into_result()?;
    Ok(survivor)
}

fn undoing(row: MergeRow, asked: &UnmergeAsked) -> Result<Undone, Error> {
    Ok(Undone {
        merge_id: row.merge_id.parse().map_err(|_| unknown(&row.merge_id))?,
        between: row.between,
        evidence: Evidence {
            undone_by: asked.operator.clone(),
            undone_because: asked.reason.clone(),
            ..row.evidence
        },
    })
}

fn unknown(merge_id: &str) -> Error {
    Error::Refused(Fault::not_found("merge", merge_id))
}

/// What the parts of a person are without each other.
struct Apart {
    standings: Vec<(ProfileId, Standing)>,
    /// Whose identifiers are. Also of those who stay: memory may know them by somebody they
    /// were part of before, who leaves.
    held: Vec<(Identity, Owner)>,
}

impl Apart {
    fn of(parts: &[Part], held: Vec<(Identity, Owner)>) -> Self {
        let roots = parts.iter().flat_map(|part| {
            let root = part.root;
            part.profiles().map(move |id| (id, root))
        });
        let roots: FxHashMap<ProfileId, ProfileId> = roots.collect();
        let mut by_root: FxHashMap<ProfileId, Vec<(Identity, Owner)>> = FxHashMap::default();
        for (identity, mut owner) in held {
            if let Some(root) = roots.get(&owner.origin_id) {
                owner.profile_id = *root;
            }
            by_root
                .entry(owner.profile_id)
                .or_default()
                .push((identity, owner));
        }
        let standings = parts.iter().map(|part| {
            let held = by_root.get(&part.root).map_or(&[][..], Vec::as_slice);
            (part.root, standing(held, part.profiles().count()))
        });
        Self {
            standings: standings.collect(),
            held: by_root.into_values().flatten().collect(),
        }
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
    let mut between = vec![row.between.one, row.between.other];
    between.dedup();
    Merge {
        merge_id: row.merge_id.clone(),
        profile_id: row.profile_id.to_string(),
        merged_profile_id: other.unwrap_or_default(),
        time: Some(from_ms(row.time_ms)),
        evidence: row.evidence.text(),
        undone: row.state == State::Undone,
        refused: row.state == State::Refused,
        between_profile_ids: between.iter().map(ToString::to_string).collect(),
        confirms: row.evidence.confirms,
    }
}
