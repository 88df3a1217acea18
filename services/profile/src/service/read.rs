//! Reading profiles and timelines from the database, for people at the back office.

use attune_api::{
    profile::v1::{
        Consent, Group, ListProfilesResponse, Origin, Party, Profile, Provenance, TraitValue,
    },
    time::from_ms,
    r#type::v1 as types,
};
use prost_types::{Value, value};
use rustc_hash::FxHashMap;

use super::Service;
use crate::{
    Error,
    convert::page,
    domain::{Identity, ProfileId, consent::Decision, record::Timed},
    store::{
        identities,
        profiles::{self, ProfileRow},
        timeline,
    },
};

impl Service {
    pub async fn profile(&self, workspace: &str, id: ProfileId) -> Result<Profile, Error> {
        let row = self.living_row(workspace, id).await?;
        self.one(workspace, row).await
    }

    pub async fn lookup(&self, workspace: &str, identity: &Identity) -> Result<Profile, Error> {
        let database = &self.shared.database;
        let owner = identities::owner(database, &self.shared.codec, workspace, identity).await?;
        let unknown = || Error::ProfileNotFound(identity.key().to_string());
        let owner = owner.ok_or_else(unknown)?;
        let row = self.living_row(workspace, owner.profile_id).await?;
        self.one(workspace, row).await
    }

    pub async fn profiles(
        &self,
        workspace: &str,
        after: &str,
        size: i64,
    ) -> Result<ListProfilesResponse, Error> {
        let database = &self.shared.database;
        let mut rows =
            profiles::page(database, &self.shared.codec, workspace, after, size + 1).await?;
        let next_page_token = page::cut(&mut rows, size, |row| page::profile_token(row.profile_id));
        let profiles = self.complete(workspace, rows).await?;
        Ok(ListProfilesResponse {
            profiles,
            next_page_token,
        })
    }

    pub(super) async fn living_row(
        &self,
        workspace: &str,
        id: ProfileId,
    ) -> Result<ProfileRow, Error> {
        let unknown = || Error::ProfileNotFound(id.to_string());
        let database = &self.shared.database;
        let row = profiles::row(database, &self.shared.codec, workspace, id).await?;
        let row = row.ok_or_else(unknown)?;
        match row.merged_into {
            Some(survivor) => profiles::row(database, &self.shared.codec, workspace, survivor)
                .await?
                .ok_or_else(unknown),
            None => Ok(row),
        }
    }

    pub(super) async fn one(&self, workspace: &str, row: ProfileRow) -> Result<Profile, Error> {
        let id = row.profile_id;
        let mut profiles = self.complete(workspace, vec![row]).await?;
        let unknown = || Error::ProfileNotFound(id.to_string());
        profiles.pop().ok_or_else(unknown)
    }

    /// Adds what lies in other tables, with one query per table.
    async fn complete(
        &self,
        workspace: &str,
        rows: Vec<ProfileRow>,
    ) -> Result<Vec<Profile>, Error> {
        let database = &self.shared.database;
        let ids: Vec<_> = rows.iter().map(|row| row.profile_id).collect();
        let mut held: FxHashMap<ProfileId, Vec<types::Identity>> = FxHashMap::default();
        for (id, identity) in
            identities::of_profiles(database, &self.shared.codec, workspace, &ids).await?
        {
            held.entry(id).or_default().push(types::Identity {
                namespace: identity.namespace().to_owned(),
                value: identity.value().to_owned(),
            });
        }
        let counts: FxHashMap<_, _> = timeline::counts(database, workspace, &ids)
            .await?
            .into_iter()
            .map(|(id, count, last_ms)| (id, (count, last_ms)))
            .collect();
        let profiles = rows.into_iter().map(|row| {
            let id = row.profile_id;
            let counted = counts.get(&id).copied();
            Profile {
                identities: held.remove(&id).unwrap_or_default(),
                event_count: counted.map_or(0, |(count, _)| count),
                last_event_time: counted.map(|(_, last_ms)| from_ms(last_ms)),
                ..profile(&row)
            }
        });
        Ok(profiles.collect())
    }
}

fn profile(row: &ProfileRow) -> Profile {
    let record = &row.record;
    let signalled = record.signalled.clone().unwrap_or_default();
    let of_any = |ms| (ms != 0).then(|| from_ms(ms));
    Profile {
        profile_id: row.profile_id.to_string(),
        traits: Some(record.current_traits()),
        segments: record.segments.keys().cloned().collect(),
        trait_values: record
            .traits
            .iter()
            .filter(|(_, timed)| timed.value.is_some())
            .map(|(id, timed)| (id.clone(), trait_value(timed)))
            .collect(),
        consents: record
            .consents
            .iter()
            .map(|(purpose, decision)| consent(purpose, decision))
            .collect(),
        groups: record
            .groups
            .iter()
            .map(|(group_id, group)| Group {
                group_id: group_id.clone(),
                traits: Some(group.current_traits()),
            })
            .collect(),
        region: signalled.region,
        region_time: of_any(signalled.region_ms),
        gpc_time: of_any(signalled.gpc_since_ms),
        create_time: Some(from_ms(row.create_ms)),
        update_time: Some(from_ms(row.update_ms)),
        ..Profile::default()
    }
}

/// A value with where it comes from. Who says nothing of that speaks for the person
/// itself, and of what it was told.
pub fn trait_value(timed: &Timed) -> TraitValue {
    let party = match timed.party() {
        Party::Unspecified => Party::FirstParty,
        party => party,
    };
    let origin = match timed.origin() {
        Origin::Unspecified => Origin::Explicit,
        origin => origin,
    };
    let null = || Value {
        kind: Some(value::Kind::NullValue(0)),
    };
    TraitValue {
        value: Some(timed.value.clone().unwrap_or_else(null)),
        provenance: Some(Provenance {
            source: timed.source.clone(),
            party: party.into(),
            origin: origin.into(),
            time: Some(from_ms(timed.time_ms)),
        }),
    }
}

/// A decision as the contract shows it.
pub fn consent(purpose: &str, decision: &Decision) -> Consent {
    Consent {
        purpose: purpose.to_owned(),
        granted: decision.granted,
        source: decision.source.clone(),
        policy_version: decision.policy_version.clone(),
        time: Some(from_ms(decision.time_ms)),
        evidence: decision.evidence.clone(),
    }
}
