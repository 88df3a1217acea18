//! Everything a decision may use about one person: from memory, or read once from the
//! database however many ask for it at the same time.

use std::sync::Arc;

use attune_api::profile::v1::{Basis, GetSnapshotResponse};

use super::{Service, Shared};
use crate::{
    Error,
    domain::{
        Identity, Owner, ProfileId,
        record::PERSONALIZATION,
        snapshot::{EncodedSnapshot, RecentHistory},
    },
    memory::Hot,
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
    ) -> Result<GetSnapshotResponse, Error> {
        let found = self.find(workspace, subject).await?;
        Ok(match found {
            Some((profile_id, snapshot)) => GetSnapshotResponse {
                found: true,
                profile_id: profile_id.to_string(),
                basis: snapshot.basis().into(),
                segments: Vec::new(),
                snapshot: snapshot.bytes(),
            },
            None => self.stranger(),
        })
    }

    /// The living profile, and its snapshot.
    async fn find(&self, workspace: &str, subject: Subject) -> Result<Option<Found>, Error> {
        let identity = match subject {
            Subject::Profile(id) => return self.shared.living(workspace, id).await,
            Subject::Nobody => return Ok(None),
            Subject::Identity(identity) => identity,
        };
        let memory = &self.shared.memory;
        let key = memory.identity_key(workspace, &identity);
        // Once more where who it led to was erased by another replica, and the identifier
        // is perhaps somebody else's.
        for _ in 0..2 {
            let read_at = memory.generation(key);
            let Some(owner) = self.owner(workspace, &identity).await? else {
                return Ok(None);
            };
            if let Some(found) = self.shared.living(workspace, owner.profile_id).await? {
                let profile_id = found.0;
                if profile_id != owner.profile_id {
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

    /// Nobody we know; what may be used is what holds by default.
    fn stranger(&self) -> GetSnapshotResponse {
        let allowed = self.shared.default_consent().allows(None);
        let basis = if allowed {
            Basis::Full
        } else {
            Basis::ContextOnly
        };
        GetSnapshotResponse {
            basis: basis.into(),
            ..GetSnapshotResponse::default()
        }
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

impl Shared {
    /// The living profile that an id stands for, and its snapshot.
    async fn living(&self, workspace: &str, profile_id: ProfileId) -> Result<Option<Found>, Error> {
        let mut id = profile_id;
        // A merged id leads to a living one. More hops can only be merges that happen
        // in the meantime.
        for _ in 0..4 {
            match self.load(workspace, id).await? {
                Loaded::Living(snapshot) => return Ok(Some((id, snapshot))),
                Loaded::Merged(survivor) => id = survivor,
                Loaded::Nobody => return Ok(None),
            }
        }
        Ok(None)
    }

    async fn load(&self, workspace: &str, id: ProfileId) -> Result<Loaded, Error> {
        let key = self.memory.profile_key(workspace, id);
        if let Some(snapshot) = self.held(key) {
            return Ok(Loaded::Living(snapshot));
        }
        // Those who ask for the same profile wait here and find it in memory. Few locks
        // for all profiles: who waits for another's profile waits for one read.
        let _turn = self.turns.of(key).lock().await;
        if let Some(snapshot) = self.held(key) {
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
        let default = self.default_consent();
        let snapshot = EncodedSnapshot::new(id, &row.record, default, &history);
        let hot = Hot {
            standing: row.standing,
            allowed: default.allows(row.record.granted(PERSONALIZATION)),
            snapshot: Some(snapshot.clone()),
        };
        self.memory.keep_profile(key, read_at, Arc::new(hot));
        self.metrics.snapshot_loaded();
        Ok(Loaded::Living(snapshot))
    }

    fn held(&self, key: crate::memory::Key) -> Option<EncodedSnapshot> {
        self.memory.profile(key)?.snapshot.clone()
    }
}

enum Loaded {
    Living(EncodedSnapshot),
    Merged(ProfileId),
    Nobody,
}
