//! SQL for who holds which identifier. Never decides who should.

use std::sync::Arc;

use attune_storage::{Database, Error, Insert, Kind, Tx, args};
use bytes::Bytes;

use super::{
    codec::{self, Codec, Seals},
    profiles::texts,
};
use crate::domain::{
    Identity, Owner, ProfileId,
    merge::{Merged, Parted},
};

/// Whose identifiers are that somebody holds, by what they are found by.
pub async fn owners(
    tx: &mut Tx,
    workspace: &Arc<str>,
    keys: Vec<String>,
) -> Result<Vec<(String, Owner)>, Error> {
    const OWNERS: &str = "select key, profile_id, origin_id from identities \
         where workspace = $1 and key in list($2)";
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let rows = tx.fetch_all(OWNERS, args![workspace, keys]).await?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, codec::owner(row, 1)?)))
        .collect()
}

/// Whose one identifier is.
pub async fn owner(
    database: &Database,
    codec: &Codec,
    workspace: &str,
    identity: &Identity,
) -> Result<Option<Owner>, Error> {
    const OWNER: &str = "select profile_id, origin_id from identities \
         where workspace = $1 and key = $2";
    let key = codec.identity_key(workspace, identity);
    let row = database
        .fetch_optional(OWNER, args![workspace, key])
        .await?;
    row.map(|row| codec::owner(&row, 0)).transpose()
}

/// All identifiers of some profiles, by profile and key.
pub async fn of_profiles(
    database: &Database,
    codec: &Codec,
    workspace: &str,
    profile_ids: &[ProfileId],
) -> Result<Vec<(ProfileId, Identity)>, Error> {
    const OF_PROFILES: &str = "select coalesce(origin_id, profile_id), profile_id, value \
         from identities where workspace = $1 and profile_id in list($2) \
         order by profile_id, create_ms, key limit 100000";
    let ids: Vec<_> = profile_ids.iter().map(ToString::to_string).collect();
    let rows = database
        .fetch_all(OF_PROFILES, args![workspace, ids])
        .await?;
    let (owned, seals) = codec::owned(database, codec, workspace, &rows).await?;
    owned
        .into_iter()
        .map(|(owner, row)| {
            let value: Bytes = row.get(2)?;
            Ok((codec::profile_id(row, 1)?, seals.identity(owner, &value)?))
        })
        .collect()
}

/// Adds identifiers that nobody holds.
pub async fn link(
    tx: &mut Tx,
    seals: &Seals,
    workspace: &Arc<str>,
    links: &[(Identity, Owner)],
    now_ms: i64,
) -> Result<(), Error> {
    const LINK: Insert = Insert {
        table: "identities",
        columns: &[
            ("workspace", Kind::Text),
            ("key", Kind::Text),
            ("namespace", Kind::Text),
            ("profile_id", Kind::Text),
            ("origin_id", Kind::Text),
            ("create_ms", Kind::Int),
            ("value", Kind::Bytes),
        ],
        tail: "",
    };
    let rows = links
        .iter()
        .map(|(identity, owner)| {
            Ok(args![
                workspace,
                seals.identity_key(identity),
                identity.namespace(),
                owner.profile_id.to_string(),
                owner.origin_column(),
                now_ms,
                seals.identity_bytes(owner.origin_id, identity)?,
            ])
        })
        .collect::<Result<_, Error>>()?;
    tx.insert_many(&LINK, rows).await.map(drop)
}

/// Takes identifiers from those who hold them, and forgets whom they were seen with.
pub async fn unlink(
    tx: &mut Tx,
    seals: &Seals,
    workspace: &Arc<str>,
    identities: &[Identity],
) -> Result<(), Error> {
    const UNLINK: &str = "delete from identities where workspace = $1 and key in list($2)";
    const FORGET: &str = "delete from encounters where workspace = $1 and key in list($2)";
    if identities.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = identities.iter().map(|i| seals.identity_key(i)).collect();
    tx.execute(UNLINK, args![workspace, keys.clone()]).await?;
    tx.execute(FORGET, args![workspace, keys]).await.map(drop)
}

/// Hands over all identifiers of a merged profile.
pub async fn hand_over(tx: &mut Tx, workspace: &Arc<str>, merged: &Merged) -> Result<(), Error> {
    const HAND_OVER: &str = "update identities \
         set profile_id = $3, origin_id = coalesce(origin_id, $2) \
         where workspace = $1 and profile_id = $2";
    let (from, to) = (merged.merged.to_string(), merged.survivor.to_string());
    tx.execute(HAND_OVER, args![workspace, from, to])
        .await
        .map(drop)
}

/// Hands back what came by a profile that is a person of its own again, and by those
/// joined to it.
pub async fn hand_back(tx: &mut Tx, workspace: &Arc<str>, parted: &Parted) -> Result<(), Error> {
    const HAND_BACK: &str = "update identities \
         set profile_id = $3, origin_id = nullif(origin_id, $3) \
         where workspace = $1 and profile_id = $2 and origin_id in list($4)";
    let (from, to) = (parted.survivor.to_string(), parted.unmerged.to_string());
    let args = args![workspace, from, to, texts(&parted.parts)];
    tx.execute(HAND_BACK, args).await.map(drop)
}

/// Identifiers of some profiles, counted by namespace.
pub async fn counts(
    tx: &mut Tx,
    workspace: &Arc<str>,
    ids: &[ProfileId],
) -> Result<Vec<(ProfileId, String, u32)>, Error> {
    const COUNTS: &str = "select profile_id, namespace, count(*) from identities \
         where workspace = $1 and profile_id in list($2) group by profile_id, namespace";
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = tx.fetch_all(COUNTS, args![workspace, texts(ids)]).await?;
    rows.iter()
        .map(|row| {
            let count = codec::count(row, 2)?;
            Ok((codec::profile_id(row, 0)?, row.get(1)?, count))
        })
        .collect()
}

/// A person's identifiers, and the profiles they began with.
pub async fn of_person(
    tx: &mut Tx,
    seals: &mut Seals,
    workspace: &Arc<str>,
    profile_id: ProfileId,
) -> Result<Vec<(Identity, Owner)>, Error> {
    const OF_PERSON: &str = "select profile_id, origin_id, value from identities \
         where workspace = $1 and profile_id = $2 order by create_ms, key limit 100000";
    let args = args![workspace, profile_id.to_string()];
    let rows = tx.fetch_all(OF_PERSON, args).await?;
    let owners: Vec<_> = rows
        .iter()
        .map(|row| codec::owner(row, 0))
        .collect::<Result<_, _>>()?;
    let origins: Vec<_> = owners.iter().map(|owner| owner.origin_id).collect();
    seals.add(tx, origins).await?;
    rows.iter()
        .zip(owners)
        .map(|(row, owner)| {
            let value: Bytes = row.get(2)?;
            Ok((seals.identity(owner.origin_id, &value)?, owner))
        })
        .collect()
}

/// Remembers customers that devices were seen with.
pub async fn meet(
    tx: &mut Tx,
    seals: &Seals,
    workspace: &Arc<str>,
    encounters: &[(Identity, ProfileId)],
) -> Result<(), Error> {
    const MEET: Insert = Insert {
        table: "encounters",
        columns: &[
            ("workspace", Kind::Text),
            ("key", Kind::Text),
            ("profile_id", Kind::Text),
        ],
        tail: "on conflict do nothing",
    };
    let rows = encounters
        .iter()
        .map(|(identity, customer)| {
            let key = seals.identity_key(identity);
            args![workspace, key, customer.to_string()]
        })
        .collect();
    tx.insert_many(&MEET, rows).await.map(drop)
}

/// Customers that devices were seen with, as the people they are now.
pub async fn encounters(
    tx: &mut Tx,
    workspace: &Arc<str>,
    keys: Vec<String>,
) -> Result<Vec<(String, ProfileId)>, Error> {
    const ENCOUNTERS: &str = "select e.key, coalesce(p.merged_into, e.profile_id) \
         from encounters e join profiles p \
         on p.workspace = e.workspace and p.profile_id = e.profile_id \
         where e.workspace = $1 and e.key in list($2)";
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let rows = tx.fetch_all(ENCOUNTERS, args![workspace, keys]).await?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, codec::profile_id(row, 1)?)))
        .collect()
}
