//! SQL for the rows of profiles: what is known about a person besides identifiers and
//! events, and what a merged id leads to.

use std::sync::Arc;

use attune_storage::{Database, Error, Insert, Kind, Row, Tx, args};
use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::codec::{self, Codec, Seals};
use crate::domain::{ProfileId, Record, outcome::Stored, record::PERSONALIZATION};

/// What linking needs of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub profile_id: ProfileId,
    pub merged_into: Option<ProfileId>,
    pub known: bool,
    pub personalization: Option<bool>,
}

/// One row in full.
#[derive(Debug, Clone)]
pub struct ProfileRow {
    pub profile_id: ProfileId,
    pub merged_into: Option<ProfileId>,
    pub known: bool,
    pub create_ms: i64,
    pub update_ms: i64,
    pub record: Record,
}

/// Those of the profiles that exist.
pub async fn standings(
    tx: &mut Tx,
    workspace: &Arc<str>,
    ids: &[ProfileId],
) -> Result<Vec<Standing>, Error> {
    const STANDINGS: &str = "select profile_id, merged_into, known, personalization \
         from profiles where workspace = $1 and profile_id in list($2)";
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = tx
        .fetch_all(STANDINGS, args![workspace, texts(ids)])
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Standing {
                profile_id: codec::profile_id(row, 0)?,
                merged_into: codec::profile_id_or_null(row, 1)?,
                known: row.get(2)?,
                personalization: row.get(3)?,
            })
        })
        .collect()
}

/// What is stored of the profiles that exist.
pub async fn stored(
    tx: &mut Tx,
    seals: &mut Seals,
    workspace: &Arc<str>,
    ids: &[ProfileId],
) -> Result<FxHashMap<ProfileId, Stored>, Error> {
    const STORED: &str = "select profile_id, known, create_ms, record \
         from profiles where workspace = $1 and profile_id in list($2)";
    if ids.is_empty() {
        return Ok(FxHashMap::default());
    }
    let rows = tx.fetch_all(STORED, args![workspace, texts(ids)]).await?;
    seals.add(tx, ids.iter().copied()).await?;
    rows.iter()
        .map(|row| {
            let profile_id = codec::profile_id(row, 0)?;
            let stored = Stored {
                known: row.get(1)?,
                create_ms: row.get(2)?,
                record: seals.record(profile_id, &row.get::<Bytes>(3)?)?,
            };
            Ok((profile_id, stored))
        })
        .collect()
}

const COLUMNS: &str = "profile_id, merged_into, known, create_ms, update_ms, record";

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
        "select {COLUMNS}, substr(profile_id, 29) from profiles \
         where workspace = $1 and merged_into is null and substr(profile_id, 29) > $2 \
         order by substr(profile_id, 29) limit $3"
    );
    let args = args![workspace, after, limit];
    let rows = database
        .fetch_all(attune_storage::Sql::built(sql), args)
        .await?;
    let last = rows.last().map(|row| row.get(6)).transpose()?;
    Ok((read(database, codec, workspace, &rows).await?, last))
}

/// How many people there are.
pub async fn count(database: &Database, workspace: &str) -> Result<i64, Error> {
    const COUNT: &str =
        "select count(*) from profiles where workspace = $1 and merged_into is null";
    let row = database.fetch_optional(COUNT, args![workspace]).await?;
    row.map_or(Ok(0), |row| row.get(0))
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
                known: row.get(2)?,
                create_ms: row.get(3)?,
                update_ms: row.get(4)?,
                record: seals.record(profile_id, &row.get::<Bytes>(5)?)?,
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
            ("known", Kind::Bool),
            ("personalization", Kind::Bool),
            ("create_ms", Kind::Int),
            ("update_ms", Kind::Int),
            ("record", Kind::Bytes),
        ],
        tail: "on conflict (workspace, profile_id) do update set \
               known = excluded.known, personalization = excluded.personalization, \
               create_ms = excluded.create_ms, update_ms = excluded.update_ms, \
               record = excluded.record",
    };
    let rows = profiles
        .map(|(profile_id, stored)| {
            Ok(args![
                workspace,
                profile_id.to_string(),
                stored.known,
                stored.record.granted(PERSONALIZATION),
                stored.create_ms,
                now_ms,
                seals.record_bytes(*profile_id, &stored.record)?,
            ])
        })
        .collect::<Result<_, Error>>()?;
    tx.insert_many(&PUT, rows).await.map(drop)
}

/// Makes an id, and all that led to it, lead to another.
pub async fn lead_to(
    tx: &mut Tx,
    workspace: &Arc<str>,
    merged: ProfileId,
    survivor: ProfileId,
    now_ms: i64,
) -> Result<(), Error> {
    const LEAD: &str = "update profiles set merged_into = $3, update_ms = $4 \
         where workspace = $1 and (profile_id = $2 or merged_into = $2)";
    let args = args![workspace, merged.to_string(), survivor.to_string(), now_ms];
    tx.execute(LEAD, args).await.map(drop)
}

pub fn texts(ids: &[ProfileId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}
