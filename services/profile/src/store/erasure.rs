//! SQL for taking a person out of every table, and for the proof that it was done. What
//! tells of people and has no place here is what may outlive them: the audit log, the
//! log, and the proof itself.

use std::sync::Arc;

use attune_storage::{Database, Error, Insert, Kind, Tx, args};

use super::{codec, merges, profiles::texts};
use crate::domain::ProfileId;

/// Columns by which rows belong to a person. Each is dropped with its row where it holds
/// an id of theirs; a table whose rows concern two people is named twice.
const OWNED: [(&str, &str); 12] = [
    ("merges", "one_id"),
    ("merges", "other_id"),
    ("kept_apart", "profile_id"),
    ("kept_apart", "other_id"),
    ("encounters", "profile_id"),
    ("due", "profile_id"),
    ("identities", "profile_id"),
    ("events", "profile_id"),
    ("messages", "profile_id"),
    ("trait_history", "profile_id"),
    ("consent_history", "profile_id"),
    ("profiles", "profile_id"),
];

/// Rows that one statement deletes at most are not bounded: a person's rows go together
/// or not at all.
pub async fn delete(tx: &mut Tx, workspace: &str, ids: &[ProfileId]) -> Result<(), Error> {
    const MET: &str = "delete from encounters where workspace = $1 and key in \
         (select key from identities where workspace = $1 and profile_id in list($2))";
    tx.execute(MET, args![workspace, texts(ids)]).await?;
    for (table, column) in OWNED {
        let sql = format!("delete from {table} where workspace = $1 and {column} in list($2)");
        tx.execute(
            attune_storage::Sql::built(sql),
            args![workspace, texts(ids)],
        )
        .await?;
    }
    merges::forget(tx, workspace, ids).await
}

/// A living profile and all that are merged into it, itself first.
pub async fn one_person(
    tx: &mut Tx,
    workspace: &str,
    living: ProfileId,
) -> Result<Vec<ProfileId>, Error> {
    const MERGED: &str = "select profile_id from profiles \
         where workspace = $1 and merged_into = $2 order by profile_id";
    let rows = tx
        .fetch_all(MERGED, args![workspace, living.to_string()])
        .await?;
    let merged = rows.iter().map(|row| codec::profile_id(row, 0));
    std::iter::once(Ok(living)).chain(merged).collect()
}

pub async fn event_count(tx: &mut Tx, workspace: &str, ids: &[ProfileId]) -> Result<i64, Error> {
    const COUNT: &str = "select count(*) from events \
         where workspace = $1 and profile_id in list($2)";
    let row = tx
        .fetch_optional(COUNT, args![workspace, texts(ids)])
        .await?;
    row.map_or(Ok(0), |row| row.get(0))
}

/// The proof of an erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    pub erasure_id: String,
    pub time_ms: i64,
    /// The living profile, and those that were merged into it.
    pub profile_ids: Vec<ProfileId>,
    pub event_count: i64,
    /// Of its entry in the audit log, in hexadecimal.
    pub audit_hash: String,
}

pub async fn put(tx: &mut Tx, workspace: &Arc<str>, erasure: &Erasure) -> Result<(), Error> {
    const PUT: &str = "insert into erasures \
         (workspace, erasure_id, time_ms, event_count, audit_hash) \
         values ($1, $2, $3, $4, $5)";
    const IDS: Insert = Insert {
        table: "erased_profiles",
        columns: &[
            ("workspace", Kind::Text),
            ("profile_id", Kind::Text),
            ("erasure_id", Kind::Text),
            ("place", Kind::Int),
        ],
        tail: "",
    };
    let args = args![
        workspace,
        &erasure.erasure_id,
        erasure.time_ms,
        erasure.event_count,
        &erasure.audit_hash
    ];
    tx.execute(PUT, args).await?;
    let rows = erasure.profile_ids.iter().zip(0_i64..);
    let rows = rows.map(|(id, place)| args![workspace, id.to_string(), &erasure.erasure_id, place]);
    tx.insert_many(&IDS, rows.collect()).await.map(drop)
}

const OF: &str = "select e.erasure_id, e.time_ms, e.event_count, e.audit_hash \
     from erased_profiles p join erasures e \
     on e.workspace = p.workspace and e.erasure_id = p.erasure_id \
     where p.workspace = $1 and p.profile_id = $2";
const IDS: &str = "select profile_id from erased_profiles \
     where workspace = $1 and erasure_id = $2 order by place";

/// The ids that were erased together with one, itself included; none where it was not
/// erased.
pub async fn erased_with(
    database: &Database,
    workspace: &str,
    profile_id: ProfileId,
) -> Result<Vec<String>, Error> {
    const WITH: &str = "select o.profile_id from erased_profiles p join erased_profiles o \
         on o.workspace = p.workspace and o.erasure_id = p.erasure_id \
         where p.workspace = $1 and p.profile_id = $2 order by o.place limit 1000";
    let args = args![workspace, profile_id.to_string()];
    let rows = database.fetch_all(WITH, args).await?;
    rows.iter().map(|row| row.get(0)).collect()
}

/// The erasure that took an id away, if one did.
pub async fn of(
    tx: &mut Tx,
    workspace: &str,
    profile_id: ProfileId,
) -> Result<Option<Erasure>, Error> {
    let found = tx
        .fetch_optional(OF, args![workspace, profile_id.to_string()])
        .await?;
    let Some(row) = found else {
        return Ok(None);
    };
    let erasure_id: String = row.get(0)?;
    let ids = tx.fetch_all(IDS, args![workspace, &erasure_id[..]]).await?;
    let ids = ids.iter().map(|row| codec::profile_id(row, 0));
    Ok(Some(Erasure {
        erasure_id,
        time_ms: row.get(1)?,
        profile_ids: ids.collect::<Result<_, _>>()?,
        event_count: row.get(2)?,
        audit_hash: row.get(3)?,
    }))
}
