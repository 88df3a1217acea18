//! SQL for the record of merges, made, undone and refused, and for who is kept apart
//! from whom. Never decides who is. A merge belongs to the two profiles that its evidence
//! is about: it is sealed for the one, and goes when either is erased.

use std::{borrow::Cow, sync::Arc};

use attune_storage::{Database, Error, Insert, Kind, Row, Tx, args};
use bytes::Bytes;

use super::{
    codec::{self, Codec, Seals},
    profiles::texts,
};
use crate::domain::{
    ProfileId,
    identity::USER_ID,
    merge::{Between, Evidence, MergeId, Merged, Refused, Undone},
    outcome::Outcome,
    ties::Tie,
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
    pub between: Between,
    pub state: State,
    pub time_ms: i64,
    pub evidence: Evidence,
}

/// Records merges that were made, what confirms others, and merges that were refused; of
/// the refusals, those that are not recorded already.
pub async fn record(
    tx: &mut Tx,
    seals: &Seals,
    workspace: &Arc<str>,
    outcome: &Outcome,
    now_ms: i64,
) -> Result<(), Error> {
    const RECORD: Insert = Insert {
        table: "merges",
        columns: &[
            ("workspace", Kind::Text),
            ("merge_id", Kind::Text),
            ("profile_id", Kind::Text),
            ("merged_id", Kind::Text),
            ("one_id", Kind::Text),
            ("other_id", Kind::Text),
            ("state", Kind::Text),
            ("time_ms", Kind::Int),
            ("evidence", Kind::Bytes),
        ],
        tail: "on conflict do nothing",
    };
    let row = |row: &New<'_>| {
        Ok(args![
            workspace,
            row.merge_id.to_string(),
            row.profile_id.to_string(),
            row.merged_id.to_string(),
            row.between.one.to_string(),
            row.between.other.to_string(),
            row.state.text(),
            now_ms,
            seals.evidence_bytes(row.between.one, &row.evidence)?,
        ])
    };
    let rows = new(outcome).map(|new| row(&new));
    let rows = rows.collect::<Result<_, Error>>()?;
    tx.insert_many(&RECORD, rows).await.map(drop)
}

/// A row on its way in.
struct New<'a> {
    merge_id: MergeId,
    profile_id: ProfileId,
    merged_id: ProfileId,
    between: Between,
    state: State,
    evidence: Cow<'a, Evidence>,
}

fn new(outcome: &Outcome) -> impl Iterator<Item = New<'_>> {
    let made = outcome.merges.iter().map(|merged: &Merged| New {
        merge_id: merged.merge_id,
        profile_id: merged.survivor,
        merged_id: merged.merged,
        between: merged.between,
        state: State::Made,
        evidence: Cow::Borrowed(&merged.evidence),
    });
    let confirmed = outcome.confirmed.iter().map(|confirmed| New {
        merge_id: confirmed.merge_id,
        profile_id: confirmed.between.one,
        merged_id: confirmed.between.other,
        between: confirmed.between,
        state: State::Made,
        evidence: Cow::Borrowed(&confirmed.evidence),
    });
    let refused = outcome.refusals.iter().map(|refused: &Refused| New {
        merge_id: refused.merge_id,
        profile_id: refused.profile_id,
        merged_id: refused.other_id,
        between: refused.between,
        state: State::Refused,
        evidence: Cow::Owned(Evidence {
            refusal: refused.refusal.rule().to_owned(),
            ..refused.evidence.clone()
        }),
    });
    made.chain(confirmed).chain(refused)
}

/// Records that a merge was undone, and keeps the two apart from now on.
pub async fn undo(
    tx: &mut Tx,
    seals: &Seals,
    workspace: &Arc<str>,
    undone: &Undone,
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
    let evidence = seals.evidence_bytes(undone.between.one, &undone.evidence)?;
    let args = args![workspace, undone.merge_id.to_string(), evidence];
    tx.execute(UNDO, args).await?;
    let Between { one, other } = undone.between;
    let (one, other) = (one.to_string(), other.to_string());
    let rows = vec![
        args![workspace, one.as_str(), other.as_str()],
        args![workspace, other.as_str(), one.as_str()],
    ];
    tx.insert_many(&APART, rows).await.map(drop)
}

/// What ties the profiles of some people, by living profile.
pub async fn ties(
    tx: &mut Tx,
    workspace: &Arc<str>,
    living: &[ProfileId],
) -> Result<Vec<(ProfileId, Tie)>, Error> {
    const TIES: &str = "select coalesce(p.merged_into, p.profile_id), m.merge_id, \
         m.one_id, m.other_id, m.time_ms \
         from profiles p \
         join merges m on m.workspace = p.workspace and m.one_id = p.profile_id \
         where p.workspace = $1 and (p.profile_id in list($2) or p.merged_into in list($2)) \
         and m.state = 'made' order by m.merge_id limit 100000";
    let rows = tx.fetch_all(TIES, args![workspace, texts(living)]).await?;
    rows.iter()
        .map(|row| {
            let merge_id: String = row.get(1)?;
            let between = between(row, 2)?;
            let tie = Tie {
                time_ms: row.get(4)?,
                merge_id: merge_id.parse().ok(),
                one: between.one,
                other: between.other,
            };
            Ok((codec::profile_id(row, 0)?, tie))
        })
        .collect()
}

/// Profiles that customers' identifiers began with, by living profile.
pub async fn customers(
    tx: &mut Tx,
    workspace: &Arc<str>,
    living: &[ProfileId],
) -> Result<Vec<(ProfileId, ProfileId)>, Error> {
    const CUSTOMERS: &str = "select distinct profile_id, coalesce(origin_id, profile_id) \
         from identities where workspace = $1 and profile_id in list($2) \
         and namespace = $3 limit 100000";
    let args = args![workspace, texts(living), USER_ID];
    let rows = tx.fetch_all(CUSTOMERS, args).await?;
    rows.iter()
        .map(|row| Ok((codec::profile_id(row, 0)?, codec::profile_id(row, 1)?)))
        .collect()
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

/// One merge by its id.
pub async fn find(
    tx: &mut Tx,
    seals: &mut Seals,
    workspace: &Arc<str>,
    merge_id: &str,
) -> Result<Option<MergeRow>, Error> {
    const FIND: &str = "select one_id, other_id, merge_id, profile_id, merged_id, state, \
         time_ms, evidence from merges where workspace = $1 and merge_id = $2";
    let row = tx.fetch_optional(FIND, args![workspace, merge_id]).await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let owner = codec::profile_id(&row, 0)?;
    seals.add(tx, [owner]).await?;
    read(&row, owner, seals).map(Some)
}

/// Merges of which the evidence is about any of some profiles, before an id, the newest
/// first.
pub async fn page(
    database: &Database,
    codec: &Codec,
    workspace: &str,
    ids: Vec<String>,
    before: &str,
    limit: i64,
) -> Result<Vec<MergeRow>, Error> {
    const PAGE: &str = "select one_id, other_id, merge_id, profile_id, merged_id, state, \
         time_ms, evidence from merges where workspace = $1 and merge_id < $3 \
         and (one_id in list($2) or other_id in list($2)) \
         order by merge_id desc limit $4";
    let args = args![workspace, ids, before, limit];
    let rows = database.fetch_all(PAGE, args).await?;
    let (owners, seals) = codec::owned(database, codec, workspace, &rows).await?;
    owners
        .into_iter()
        .map(|(owner, row)| read(row, owner, &seals))
        .collect()
}

/// Takes erased profiles out of merges that were of theirs once and are about others. The
/// merges about them are gone by then.
pub async fn forget(tx: &mut Tx, workspace: &str, erased: &[ProfileId]) -> Result<(), Error> {
    // What was refused is told anew where it is refused again.
    const REFUSED: &str = "delete from merges where workspace = $1 and state = 'refused' \
         and (profile_id in list($2) or merged_id in list($2))";
    const STAYED: &str = "update merges set profile_id = one_id \
         where workspace = $1 and profile_id in list($2)";
    const MERGED: &str = "update merges set merged_id = other_id \
         where workspace = $1 and merged_id in list($2)";
    for sql in [REFUSED, STAYED, MERGED] {
        tx.execute(sql, args![workspace, texts(erased)]).await?;
    }
    Ok(())
}

fn read(row: &Row, owner: ProfileId, seals: &Seals) -> Result<MergeRow, Error> {
    let state: String = row.get(5)?;
    Ok(MergeRow {
        between: between(row, 0)?,
        merge_id: row.get(2)?,
        profile_id: codec::profile_id(row, 3)?,
        merged_id: codec::profile_id(row, 4)?,
        state: State::read(&state),
        time_ms: row.get(6)?,
        evidence: seals.evidence(owner, &row.get::<Bytes>(7)?)?,
    })
}

/// Two columns, from `first` on.
fn between(row: &Row, first: usize) -> Result<Between, Error> {
    Ok(Between {
        one: codec::profile_id(row, first)?,
        other: codec::profile_id(row, first + 1)?,
    })
}
