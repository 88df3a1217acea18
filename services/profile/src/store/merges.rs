//! SQL for the record of merges, made, undone and refused, and for who is kept apart
//! from whom. Never decides who is.

use std::sync::Arc;

use attune_storage::{Database, Error, Insert, Kind, Row, Tx, args};
use bytes::Bytes;

use super::{
    codec::{self, Codec, Seals},
    profiles::texts,
};
use crate::domain::{
    ProfileId,
    merge::{Evidence, MergeId, Merged, Parted, Refused},
};

/// What became of a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Made,
    Undone,
    Refused,
}

impl State {
    fn text(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Undone => "undone",
            Self::Refused => "refused",
        }
    }

    fn read(text: &str) -> Self {
        match text {
            "made" => Self::Made,
            "undone" => Self::Undone,
            _ => Self::Refused,
        }
    }
}

/// One merge.
#[derive(Debug, Clone)]
pub struct MergeRow {
    pub merge_id: String,
    /// The one that stayed.
    pub profile_id: ProfileId,
    pub merged_id: ProfileId,
    pub state: State,
    pub time_ms: i64,
    pub evidence: Evidence,
}

/// Records merges that were made and merges that were refused; of the refusals, those
/// that are not recorded already.
pub async fn record(
    tx: &mut Tx,
    seals: &Seals,
    workspace: &Arc<str>,
    merges: &[Merged],
    refusals: &[Refused],
    now_ms: i64,
) -> Result<(), Error> {
    const RECORD: Insert = Insert {
        table: "merges",
        columns: &[
            ("workspace", Kind::Text),
            ("merge_id", Kind::Text),
            ("profile_id", Kind::Text),
            ("merged_id", Kind::Text),
            ("state", Kind::Text),
            ("time_ms", Kind::Int),
            ("evidence", Kind::Bytes),
        ],
        tail: "on conflict do nothing",
    };
    let row = |id: MergeId, one: ProfileId, other: ProfileId, state: State, evidence: &Evidence| {
        Ok(args![
            workspace,
            id.to_string(),
            one.to_string(),
            other.to_string(),
            state.text(),
            now_ms,
            seals.evidence_bytes(one, evidence)?,
        ])
    };
    let made = merges
        .iter()
        .map(|m| row(m.merge_id, m.survivor, m.merged, State::Made, &m.evidence));
    let refused = refusals.iter().map(|r| {
        let evidence = Evidence {
            refusal: r.refusal.rule().to_owned(),
            ..r.evidence.clone()
        };
        row(
            r.merge_id,
            r.profile_id,
            r.other_id,
            State::Refused,
            &evidence,
        )
    });
    let rows = made.chain(refused).collect::<Result<_, Error>>()?;
    tx.insert_many(&RECORD, rows).await.map(drop)
}

/// Records that a merge was undone, and keeps the two apart from now on.
pub async fn undo(
    tx: &mut Tx,
    seals: &Seals,
    workspace: &Arc<str>,
    parted: &Parted,
) -> Result<(), Error> {
    const UNDO: &str = "update merges set state = 'undone', evidence = $3 \
         where workspace = $1 and merge_id = $2";
    const APART: Insert = Insert {
        table: "kept_apart",
        columns: &[
            ("workspace", Kind::Text),
            ("profile_id", Kind::Text),
            ("other_id", Kind::Text),
        ],
        tail: "on conflict do nothing",
    };
    let evidence = seals.evidence_bytes(parted.joined_into, &parted.evidence)?;
    let undone = args![workspace, parted.merge_id.to_string(), evidence];
    tx.execute(UNDO, undone).await?;
    let (one, other) = (parted.joined_into.to_string(), parted.unmerged.to_string());
    let rows = vec![
        args![workspace, one.as_str(), other.as_str()],
        args![workspace, other.as_str(), one.as_str()],
    ];
    tx.insert_many(&APART, rows).await.map(drop)
}

/// Which living profiles some living profiles are kept apart from, by what became part
/// of each.
pub async fn kept_apart(
    tx: &mut Tx,
    workspace: &Arc<str>,
    ids: &[ProfileId],
) -> Result<Vec<(ProfileId, ProfileId)>, Error> {
    const KEPT_APART: &str = "select coalesce(p.merged_into, p.profile_id), \
         coalesce(o.merged_into, o.profile_id) \
         from kept_apart k \
         join profiles p on p.workspace = k.workspace and p.profile_id = k.profile_id \
         join profiles o on o.workspace = k.workspace and o.profile_id = k.other_id \
         where k.workspace = $1 and coalesce(p.merged_into, p.profile_id) in list($2)";
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = tx
        .fetch_all(KEPT_APART, args![workspace, texts(ids)])
        .await?;
    rows.iter()
        .map(|row| Ok((codec::profile_id(row, 0)?, codec::profile_id(row, 1)?)))
        .collect()
}

/// Keeps nobody of one person apart from anybody of the other any more.
pub async fn reconcile(tx: &mut Tx, workspace: &Arc<str>, merged: &Merged) -> Result<(), Error> {
    const RECONCILE: &str = "delete from kept_apart where workspace = $1 \
         and ((profile_id in (select profile_id from profiles where workspace = $1 \
                   and (profile_id = $2 or merged_into = $2)) \
               and other_id in (select profile_id from profiles where workspace = $1 \
                   and (profile_id = $3 or merged_into = $3))) \
           or (profile_id in (select profile_id from profiles where workspace = $1 \
                   and (profile_id = $3 or merged_into = $3)) \
               and other_id in (select profile_id from profiles where workspace = $1 \
                   and (profile_id = $2 or merged_into = $2))))";
    let ids = args![
        workspace,
        merged.survivor.to_string(),
        merged.merged.to_string()
    ];
    tx.execute(RECONCILE, ids).await.map(drop)
}

/// One merge by its id.
pub async fn find(
    tx: &mut Tx,
    seals: &mut Seals,
    workspace: &Arc<str>,
    merge_id: &str,
) -> Result<Option<MergeRow>, Error> {
    const FIND: &str = "select profile_id, merge_id, merged_id, state, time_ms, evidence \
         from merges where workspace = $1 and merge_id = $2";
    let row = tx.fetch_optional(FIND, args![workspace, merge_id]).await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let owner = codec::profile_id(&row, 0)?;
    seals.add(tx, [owner]).await?;
    read(&row, owner, seals).map(Some)
}

/// Merges that any of some profiles took part in, before an id, newest first.
pub async fn page(
    database: &Database,
    codec: &Codec,
    workspace: &str,
    ids: Vec<String>,
    before: &str,
    limit: i64,
) -> Result<Vec<MergeRow>, Error> {
    const PAGE: &str = "select profile_id, merge_id, merged_id, state, time_ms, evidence \
         from merges where workspace = $1 and merge_id < $3 \
         and (profile_id in list($2) or merged_id in list($2)) \
         order by merge_id desc limit $4";
    let args = args![workspace, ids, before, limit];
    let rows = database.fetch_all(PAGE, args).await?;
    let (owners, seals) = codec::owned(database, codec, workspace, &rows).await?;
    owners
        .into_iter()
        .map(|(owner, row)| read(row, owner, &seals))
        .collect()
}

fn read(row: &Row, owner: ProfileId, seals: &Seals) -> Result<MergeRow, Error> {
    let state: String = row.get(3)?;
    Ok(MergeRow {
        profile_id: owner,
        merge_id: row.get(1)?,
        merged_id: codec::profile_id(row, 2)?,
        state: State::read(&state),
        time_ms: row.get(4)?,
        evidence: seals.evidence(owner, &row.get::<Bytes>(5)?)?,
    })
}
