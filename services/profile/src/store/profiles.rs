//! SQL for the rows of profiles: what is known about a person besides identifiers and
//! events, and what a merged id leads to.

use std::sync::Arc;

use attune_storage::{Database, Error, Insert, Kind, Row, Tx, args};
use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::codec::{self, Codec, Seals};
use crate::domain::{ProfileId, Record, merge::Joined, people::Stored, standing::Standing};

/// What linking needs of a profile that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Existing {
    pub profile_id: ProfileId,
    pub merged_into: Option<ProfileId>,
    pub standing: Standing,
    /// See `Record::learning`.
    pub learning: Option<bool>,
}

/// One row in full.
#[derive(Debug, Clone)]
pub struct ProfileRow {
    pub profile_id: ProfileId,
    pub merged_into: Option<ProfileId>,
    pub standing: Standing,
    pub create_ms: i64,
    pub update_ms: i64,
    pub record: Record,
}

/// Those of the profiles that exist.
pub async fn standings(
    tx: &mut Tx,
    workspace: &Arc<str>,
    ids: &[ProfileId],
) -> Result<Vec<Existing>, Error> {
    const STANDINGS: &str = "select profile_id, merged_into, personalization, known, shared,          apart, identity_count, profile_count \
         from profiles where workspace = $1 and profile_id in list($2)";
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = tx
        .fetch_all(STANDINGS, args![workspace, texts(ids)])
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Existing {
                profile_id: codec::profile_id(row, 0)?,
                merged_into: codec::profile_id_or_null(row, 1)?,
                learning: row.get(2)?,
                standing: standing(row, 3)?,
            })
        })
        .collect()
}

/// Its columns, from `first` on.
fn standing(row: &Row, first: usize) -> Result<Standing, Error> {
    let count = |index| row.get::<i64>(index).map(|n| u32::try_from(n).unwrap_or(0));
    Ok(Standing {
        known: row.get(first)?,
        shared: row.get(first + 1)?,
        apart: row.get(first + 2)?,
        identities: count(first + 3)?,
        profiles: count(first + 4)?,
    })
}

/// What is stored of the profiles that exist, and of all that are part of them.
pub async fn stored(
    tx: &mut Tx,
    seals: &mut Seals,
    workspace: &Arc<str>,
    ids: &[ProfileId],
) -> Result<FxHashMap<ProfileId, Stored>, Error> {
    const STORED: &str = "select profile_id, create_ms, merged_into, joined_into, joined_ms, \
         record, own, known, shared, apart, identity_count, profile_count \
         from profiles where workspace = $1 and profile_id in list($2)";
    const PARTS: &str = "select profile_id, create_ms, merged_into, joined_into, joined_ms, \
         record, own, known, shared, apart, identity_count, profile_count \
         from profiles where workspace = $1 and merged_into in list($2)";
    if ids.is_empty() {
        return Ok(FxHashMap::default());
    }
    let mut rows = tx.fetch_all(STORED, args![workspace, texts(ids)]).await?;
    let mut whole = Vec::new();
    for row in &rows {
        if standing(row, 7)?.profiles > 1 {
            whole.push(row.get::<String>(0)?);
        }
    }
    if !whole.is_empty() {
        rows.extend(tx.fetch_all(PARTS, args![workspace, whole]).await?);
    }
    let ids: Vec<_> = rows
        .iter()
        .map(|row| codec::profile_id(row, 0))
        .collect::<Result<_, _>>()?;
    seals.add(tx, ids.iter().copied()).await?;
    rows.iter()
        .zip(ids)
        .map(|(row, id)| Ok((id, read_stored(row, id, seals)?)))
        .collect()
}

fn read_stored(row: &Row, profile_id: ProfileId, seals: &Seals) -> Result<Stored, Error> {
    let own: Option<Bytes> = row.get(6)?;
    let joined = match (codec::profile_id_or_null(row, 3)?, row.get(4)?) {
        (Some(into), Some(time_ms)) => Some(Joined { into, time_ms }),
        _ => None,
    };
    Ok(Stored {
        create_ms: row.get(1)?,
        merged_into: codec::profile_id_or_null(row, 2)?,
        joined,
        record: seals.record(profile_id, &row.get::<Bytes>(5)?)?,
        own: own.map(|own| seals.record(profile_id, &own)).transpose()?,
        standing: standing(row, 7)?,
    })
}

const COLUMNS: &str = "profile_id, merged_into, create_ms, update_ms, record, \
     known, shared, apart, identity_count, profile_count";

/// One row, also of a merged profile.
pub async fn row(
    database: &Database,
    codec: &Codec,
    workspace: &str,
    profile_id: ProfileId,
) -> Result<Option<ProfileRow>, Error> {
    let sql = format!("select {COLUMNS} from profiles where workspace = $1 and profile_id = $2");
    let args = args![workspace, profile_id.to_string()];
    let found = database
        .fetch_all(attune_storage::Sql::built(sql), args)
        .await?;
    let rows = read(database, codec, workspace, &found).await?;
    Ok(rows.into_iter().next())
}

/// The id and those of the same person: the living one and all merged into it. Only the
/// id itself where nobody has it any more.
pub async fn one_person(
    database: &Database,
    workspace: &str,
    profile_id: ProfileId,
) -> Result<Vec<String>, Error> {
    const LIVING: &str =
        "select merged_into from profiles where workspace = $1 and profile_id = $2";
    const MERGED: &str = "select profile_id from profiles \
         where workspace = $1 and merged_into = $2 order by profile_id limit 1000";
    let asked = profile_id.to_string();
    let row = database
        .fetch_optional(LIVING, args![workspace, asked.clone()])
        .await?;
    let into: Option<String> = row.map_or(Ok(None), |row| row.get(0))?;
    let living = into.unwrap_or_else(|| asked.clone());
    let rows = database
        .fetch_all(MERGED, args![workspace, living.clone()])
        .await?;
    let mut ids = vec![living];
    for row in &rows {
        ids.push(row.get(0)?);
    }
    if !ids.contains(&asked) {
        ids.push(asked);
    }
    Ok(ids)
}

/// Living profiles after an id, oldest first.
pub async fn page(
    database: &Database,
    codec: &Codec,
    workspace: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<ProfileRow>, Error> {
    let sql = format!(
        "select {COLUMNS} from profiles \
         where workspace = $1 and profile_id > $2 and merged_into is null \
         order by profile_id limit $3"
    );
    let args = args![workspace, after, limit];
    let rows = database
        .fetch_all(attune_storage::Sql::built(sql), args)
        .await?;
    read(database, codec, workspace, &rows).await
}

/// Living profiles in an order that has nothing to do with who they are: by the end of
/// the id, which is random. Those that come after an end, with the last of theirs.
pub async fn by_chance(
    database: &Database,
    codec: &Codec,
    workspace: &str,
    after: &str,
    limit: i64,
) -> Result<(Vec<ProfileRow>, Option<String>), Error> {
    let sql = format!(
        "select {COLUMNS} from profiles \
         where workspace = $1 and merged_into is null and substr(profile_id, 29) > $2 \
         order by substr(profile_id, 29) limit $3"
    );
    let args = args![workspace, after, limit];
    let rows = database
        .fetch_all(attune_storage::Sql::built(sql), args)
        .await?;
    let last: Option<String> = rows.last().map(|row| row.get(0)).transpose()?;
    let last = last.and_then(|id| Some(id.get(28..)?.to_owned()));
    Ok((read(database, codec, workspace, &rows).await?, last))
}

/// What came by the own identifiers of a living profile, and of each that is part of it.
pub async fn sides(
    database: &Database,
    codec: &Codec,
    workspace: &str,
    profile_id: ProfileId,
) -> Result<Vec<Record>, Error> {
    const SIDES: &str = "select profile_id, coalesce(own, record) from profiles \
         where workspace = $1 and (profile_id = $2 or merged_into = $2) \
         order by profile_id limit 1000";
    let args = args![workspace, profile_id.to_string()];
    let rows = database.fetch_all(SIDES, args).await?;
    let (owned, seals) = codec::owned(database, codec, workspace, &rows).await?;
    let owned = owned.into_iter();
    owned
        .map(|(profile_id, row)| seals.record(profile_id, &row.get::<Bytes>(1)?))
        .collect()
}

/// How many people there are.
pub async fn count(database: &Database, workspace: &str) -> Result<i64, Error> {
    const COUNT: &str =
        "select count(*) from profiles where workspace = $1 and merged_into is null";
    let row = database.fetch_optional(COUNT, args![workspace]).await?;
    row.map_or(Ok(0), |row| row.get(0))
}

/// Ids of living profiles after an id, oldest first.
pub async fn ids_after(
    tx: &mut Tx,
    workspace: &Arc<str>,
    after: &str,
    limit: usize,
) -> Result<Vec<ProfileId>, Error> {
    const IDS: &str = "select profile_id from profiles \
         where workspace = $1 and profile_id > $2 and merged_into is null \
         order by profile_id limit $3";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = tx.fetch_all(IDS, args![workspace, after, limit]).await?;
    rows.iter().map(|row| codec::profile_id(row, 0)).collect()
}

/// Those of the profiles that live, in the order of their ids.
pub async fn living(
    database: &Database,
    codec: &Codec,
    workspace: &str,
    ids: &[ProfileId],
) -> Result<Vec<ProfileRow>, Error> {
    let sql = format!(
        "select {COLUMNS} from profiles \
         where workspace = $1 and profile_id in list($2) and merged_into is null \
         order by profile_id"
    );
    let rows = database
        .fetch_all(
            attune_storage::Sql::built(sql),
            args![workspace, texts(ids)],
        )
        .await?;
    read(database, codec, workspace, &rows).await
}

async fn read(
    database: &Database,
    codec: &Codec,
    workspace: &str,
    rows: &[Row],
) -> Result<Vec<ProfileRow>, Error> {
    let (owned, seals) = codec::owned(database, codec, workspace, rows).await?;
    owned
        .into_iter()
        .map(|(profile_id, row)| {
            Ok(ProfileRow {
                profile_id,
                merged_into: codec::profile_id_or_null(row, 1)?,
                create_ms: row.get(2)?,
                update_ms: row.get(3)?,
                record: seals.record(profile_id, &row.get::<Bytes>(4)?)?,
                standing: standing(row, 5)?,
            })
        })
        .collect()
}

/// Creates and replaces.
pub async fn put<'a>(
    tx: &mut Tx,
    seals: &Seals,
    workspace: &Arc<str>,
    profiles: impl Iterator<Item = (&'a ProfileId, &'a Stored)>,
    now_ms: i64,
) -> Result<(), Error> {
    const PUT: Insert = Insert {
        table: "profiles",
        columns: &[
            ("workspace", Kind::Text),
            ("profile_id", Kind::Text),
            ("personalization", Kind::Bool),
            ("merged_into", Kind::Text),
            ("joined_into", Kind::Text),
            ("joined_ms", Kind::Int),
            ("create_ms", Kind::Int),
            ("update_ms", Kind::Int),
            ("record", Kind::Bytes),
            ("own", Kind::Bytes),
            ("known", Kind::Bool),
            ("shared", Kind::Bool),
            ("apart", Kind::Bool),
            ("identity_count", Kind::Int),
            ("profile_count", Kind::Int),
        ],
        tail: "on conflict (workspace, profile_id) do update set \
               personalization = excluded.personalization, \
               merged_into = excluded.merged_into, joined_into = excluded.joined_into, \
               joined_ms = excluded.joined_ms, create_ms = excluded.create_ms, \
               update_ms = excluded.update_ms, record = excluded.record, \
               own = excluded.own, known = excluded.known, shared = excluded.shared, \
               apart = excluded.apart, identity_count = excluded.identity_count, \
               profile_count = excluded.profile_count",
    };
    let rows = profiles
        .map(|(profile_id, stored)| {
            let standing = stored.standing;
            let own = stored.own.as_ref();
            let own = own.map(|own| seals.record_bytes(*profile_id, own));
            Ok(args![
                workspace,
                profile_id.to_string(),
                stored.record.learning(),
                stored.merged_into.map(|id| id.to_string()),
                stored.joined.map(|joined| joined.into.to_string()),
                stored.joined.map(|joined| joined.time_ms),
                stored.create_ms,
                now_ms,
                seals.record_bytes(*profile_id, &stored.record)?,
                own.transpose()?,
                standing.known,
                standing.shared,
                standing.apart,
                standing.identities,
                standing.profiles,
            ])
        })
        .collect::<Result<_, Error>>()?;
    tx.insert_many(&PUT, rows).await.map(drop)
}

pub fn texts(ids: &[ProfileId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}
