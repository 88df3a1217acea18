//! Everything a decision may use about one person: from memory, or read once from the
//! database however many ask for it at the same time.

use std::sync::Arc;

use attune_api::profile::v1::{Basis, GetSnapshotResponse};

use super::{Service, Shared};
use crate::{
    Error,
    domain::{
        Identity, Owner, ProfileId,
        purposes::{Asked, Learning, PurposeSet, Purposes},
        snapshot::{EncodedSnapshot, RecentHistory},
    },
    memory::{Hot, Key},
    packed::PackedSnapshot,
    store::{identities, profiles, timeline},
};

/// Whom a snapshot is asked of.
#[derive(Debug, Clone)]
pub enum Subject {
    Profile(ProfileId),
    Identity(Identity),
    /// An id that cannot be anyone's.
    Nobody,
}

/// A living profile and its snapshot.
type Found = (ProfileId, EncodedSnapshot);

impl Service {
    pub async fn snapshot(
        &self,
        workspace: &str,
        subject: Subject,
        asked: Asked,
    ) -> Result<GetSnapshotResponse, Error> {
        let shared = &self.shared;
        let declared = shared.declared.current(&shared.database, workspace).await?;
        let purposes = &declared.purposes;
        let found = self.find(workspace, subject, purposes, &asked).await?;
        Ok(match found {
            Some((profile_id, snapshot)) => GetSnapshotResponse {
                found: true,
                profile_id: profile_id.to_string(),
                basis: snapshot.basis().into(),
                segments: snapshot.segments(),
                snapshot: snapshot.bytes(),
            },
            None => stranger(purposes, &asked),
        })
    }

    /// The living profile, and its snapshot.
    async fn find(
        &self,
        workspace: &str,
        subject: Subject,
        purposes: &Purposes,
        asked: &Asked,
    ) -> Result<Option<Found>, Error> {
        let shared = &self.shared;
        let identity = match subject {
            Subject::Profile(id) => return shared.living(workspace, id, purposes, asked).await,
            Subject::Nobody => return Ok(None),
            Subject::Identity(identity) => identity,
        };
        let memory = &shared.memory;
        let key = memory.identity_key(workspace, &identity);
        // Once more where who it led to was erased by another replica, and the identifier
        // is perhaps somebody else's.
        for _ in 0..2 {
            let read_at = memory.generation(key);
            let Some(owner) = self.owner(workspace, &identity).await? else {
                return Ok(None);
            };
            let id = owner.profile_id;
            if let Some(found) = shared.living(workspace, id, purposes, asked).await? {
                let profile_id = found.0;
                if profile_id != id {
                    // So that the next to ask need not follow the merged id.
                    let owner = Owner {
                        profile_id,
                        ..owner
                    };
                    memory.keep_owner(key, read_at, Some(owner));
                }
                return Ok(Some(found));
            }
            memory.forget_owner(key);
        }
        Ok(None)
    }

    /// Whose an identifier is.
    async fn owner(&self, workspace: &str, identity: &Identity) -> Result<Option<Owner>, Error> {
        let memory = &self.shared.memory;
        let key = memory.identity_key(workspace, identity);
        if let Some(owner) = memory.owner(key) {
            return Ok(owner);
        }
        let read_at = memory.generation(key);
        let owner = identities::owner(
            &self.shared.database,
            &self.shared.codec,
            workspace,
            identity,
        )
        .await?;
        // That it is nobody's is only remembered where nobody else can change it.
        if owner.is_some() || self.shared.database.is_embedded() {
            memory.keep_owner(key, read_at, owner);
        }
        Ok(owner)
    }
}

/// Nobody we know; what may be used is what holds without a decision.
fn stranger(purposes: &Purposes, asked: &Asked) -> GetSnapshotResponse {
    let allowed = purposes.of_a_stranger(asked);
    let basis = if purposes.personalizes(allowed) {
        Basis::Full
    } else {
        Basis::ContextOnly
    };
    GetSnapshotResponse {
        basis: basis.into(),
        ..GetSnapshotResponse::default()
    }
}

impl Shared {
    /// The living profile that an id stands for, and its snapshot.
    async fn living(
        &self,
        workspace: &str,
        profile_id: ProfileId,
        purposes: &Purposes,
        asked: &Asked,
    ) -> Result<Option<Found>, Error> {
        let mut id = profile_id;
        // A merged id leads to a living one. More hops can only be merges that happen
        // in the meantime.
        for _ in 0..4 {
            match self.load(workspace, id, purposes, asked).await? {
                Loaded::Living(snapshot) => return Ok(Some((id, snapshot))),
                Loaded::Merged(survivor) => id = survivor,
                Loaded::Nobody => return Ok(None),
            }
        }
        Ok(None)
    }

    async fn load(
        &self,
        workspace: &str,
        id: ProfileId,
        purposes: &Purposes,
        asked: &Asked,
    ) -> Result<Loaded, Error> {
        let key = self.memory.profile_key(workspace, id);
        if let Some(snapshot) = self.held(key, purposes, asked) {
            return Ok(Loaded::Living(snapshot));
        }
        // Those who ask for the same profile wait here and find it in memory. Few locks
        // for all profiles: who waits for another's profile waits for one read.
        let _turn = self.turns.of(key).lock().await;
        if let Some(snapshot) = self.held(key, purposes, asked) {
            return Ok(Loaded::Living(snapshot));
        }
        let read_at = self.memory.generation(key);
        let Some(row) = profiles::row(&self.database, &self.codec, workspace, id).await? else {
            return Ok(Loaded::Nobody);
        };
        if let Some(survivor) = row.merged_into {
            return Ok(Loaded::Merged(survivor));
        }
        let limit = self.config.recent_events_max;
        let events =
            timeline::recent(&self.database, &self.codec, workspace, id, limit + 1).await?;
        let history = RecentHistory::of(events, limit);
        let snapshot = EncodedSnapshot::new(id, &row.record, purposes, &history);
        let here = purposes.here(snapshot.standing(), asked);
        let elsewhere = match snapshot.narrowed(purposes, here) {
            Some(_) => None,
            None => Some(EncodedSnapshot::allowing(
                id,
                &row.record,
                purposes,
                here,
                &history,
            )),
        };
        let pack = |snapshot: &EncodedSnapshot| PackedSnapshot::new(snapshot, limit);
        let hot = Hot {
            standing: row.standing,
            learning: Learning::Found {
                may: purposes.may_learn(snapshot.standing()),
                fingerprint: purposes.fingerprint(),
            },
            snapshot: Some(pack(&snapshot)),
            elsewhere: elsewhere.as_ref().map(|snapshot| Box::new(pack(snapshot))),
        };
        let answer = as_asked(&hot, purposes, asked);
        self.memory.keep_profile(key, read_at, Arc::new(hot));
        self.metrics.snapshot_loaded();
        Ok(answer.map_or(Loaded::Nobody, Loaded::Living))
    }

    fn held(&self, key: Key, purposes: &Purposes, asked: &Asked) -> Option<EncodedSnapshot> {
        as_asked(&*self.memory.profile(key)?, purposes, asked)
    }
}

/// What is held of a person, for where and how they ask. None where it has to be read.
fn as_asked(hot: &Hot, purposes: &Purposes, asked: &Asked) -> Option<EncodedSnapshot> {
    let held = hot.snapshot.as_ref()?;
    if !held.shape().is_of(purposes) {
        return None;
    }
    let held = held.unpack()?;
    let here = purposes.here(held.standing(), asked);
    let for_it = |held: &EncodedSnapshot, here: PurposeSet| match held.allowed() == here {
        true => Some(held.clone()),
        false => held.narrowed(purposes, here),
    };
    for_it(&held, here).or_else(|| for_it(&hot.elsewhere.as_ref()?.unpack()?, here))
}

enum Loaded {
    Living(EncodedSnapshot),
    Merged(ProfileId),
    Nobody,
}
