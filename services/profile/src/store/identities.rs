//! SQL for who holds which identifier. Never decides who should.

use std::sync::Arc;

use attune_storage::{Database, Error, Insert, Kind, Tx, args};
use bytes::Bytes;

use super::codec::{self, Codec, Seals};
use crate::domain::{Identity, ProfileId};

/// Who holds identifiers that somebody holds, by what they are found by. The ids may be
/// of merged profiles where another process merged them just now.
pub async fn holders(
    tx: &mut Tx,
    workspace: &Arc<str>,
    keys: Vec<String>,
) -> Result<Vec<(String, ProfileId)>, Error> {
    const HOLDERS: &str = "select key, profile_id from identities \
         where workspace = $1 and key in list($2)";
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let rows = tx.fetch_all(HOLDERS, args![workspace, keys]).await?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, codec::profile_id(row, 1)?)))
        .collect()
}

/// Who holds one identifier.
pub async fn holder(
    database: &Database,
    codec: &Codec,
    workspace: &str,
    identity: &Identity,
) -> Result<Option<ProfileId>, Error> {
    const HOLDER: &str = "select profile_id from identities where workspace = $1 and key = $2";
    let key = codec.identity_key(workspace, identity);
    let row = database
        .fetch_optional(HOLDER, args![workspace, key])
        .await?;
    row.map(|row| codec::profile_id(&row, 0)).transpose()
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
    links: &[(Identity, ProfileId)],
    now_ms: i64,
) -> Result<(), Error> {
    const LINK: Insert = Insert {
        table: "identities",
        columns: &[
            ("workspace", Kind::Text),
            ("key", Kind::Text),
            ("profile_id", Kind::Text),
            ("create_ms", Kind::Int),
            ("value", Kind::Bytes),
        ],
        tail: "",
    };
    let rows = links
        .iter()
        .map(|(identity, profile_id)| {
            let key = seals.identity_key(identity);
            let value = seals.identity_bytes(*profile_id, identity)?;
            Ok(args![workspace, key, profile_id.to_string(), now_ms, value])
        })
        .collect::<Result<_, Error>>()?;
    tx.insert_many(&LINK, rows).await.map(drop)
}

/// Hands over all identifiers of a merged profile.
pub async fn hand_over(
    tx: &mut Tx,
    workspace: &Arc<str>,
    merged: ProfileId,
    survivor: ProfileId,
) -> Result<(), Error> {
    const HAND_OVER: &str = "update identities \
         set profile_id = $3, origin_id = coalesce(origin_id, $2) \
         where workspace = $1 and profile_id = $2";
    let ids = args![workspace, merged.to_string(), survivor.to_string()];
    tx.execute(HAND_OVER, ids).await.map(drop)
}
