//! SQL for who is in which segment, in the order of ids. The records say the same; this
//! is where it is listed.

use std::{collections::BTreeMap, sync::Arc};

use attune_storage::{Database, Error, Insert, Kind, Tx, args};

use super::{
    codec,
    profiles::texts,
    segments::{self, Moves},
};
use crate::domain::{ProfileId, outcome::Derivations};

/// Writes who came and who went, and counts them.
pub async fn moved(
    tx: &mut Tx,
    workspace: &Arc<str>,
    derivations: &Derivations,
    now_ms: i64,
) -> Result<(), Error> {
    let Derivations { entered, left, .. } = derivations;
    if entered.is_empty() && left.is_empty() {
        return Ok(());
    }
    leave(tx, workspace, left).await?;
    enter(tx, workspace, entered, now_ms).await?;
    let mut moves: BTreeMap<Arc<str>, Moves> = BTreeMap::new();
    for (id, _) in entered {
        moves.entry(id.clone()).or_default().entered += 1;
    }
    for (id, _) in left {
        moves.entry(id.clone()).or_default().left += 1;
    }
    segments::count(tx, workspace, &moves, now_ms).await
}

async fn enter(
    tx: &mut Tx,
    workspace: &Arc<str>,
    entered: &[(Arc<str>, ProfileId)],
    now_ms: i64,
) -> Result<(), Error> {
    const ENTER: Insert = Insert {
        table: "segment_members",
        columns: &[
            ("workspace", Kind::Text),
            ("segment_id", Kind::Text),
            ("profile_id", Kind::Text),
            ("enter_ms", Kind::Int),
        ],
        tail: "on conflict (workspace, segment_id, profile_id) do nothing",
    };
    let rows = entered
        .iter()
        .map(|(id, profile_id)| args![workspace, id, profile_id.to_string(), now_ms])
        .collect();
    tx.insert_many(&ENTER, rows).await.map(drop)
}

async fn leave(
    tx: &mut Tx,
    workspace: &Arc<str>,
    left: &[(Arc<str>, ProfileId)],
) -> Result<(), Error> {
    let mut by_segment: BTreeMap<&Arc<str>, Vec<ProfileId>> = BTreeMap::new();
    for (id, profile_id) in left {
        by_segment.entry(id).or_default().push(*profile_id);
    }
    for (id, profile_ids) in by_segment {
        remove(tx, workspace, id, &profile_ids).await?;
    }
    Ok(())
}

/// Takes people off the list of a segment's members, without counting them.
pub async fn remove(
    tx: &mut Tx,
    workspace: &Arc<str>,
    segment_id: &Arc<str>,
    profile_ids: &[ProfileId],
) -> Result<(), Error> {
    const REMOVE: &str = "delete from segment_members \
         where workspace = $1 and segment_id = $2 and profile_id in list($3)";
    let args = args![workspace, segment_id, texts(profile_ids)];
    tx.execute(REMOVE, args).await.map(drop)
}

/// Takes people out of every segment, and counts that they left.
pub async fn forget(
    tx: &mut Tx,
    workspace: &Arc<str>,
    profile_ids: &[ProfileId],
    now_ms: i64,
) -> Result<(), Error> {
    const OF: &str = "select segment_id, profile_id from segment_members \
         where workspace = $1 and profile_id in list($2)";
    let rows = tx
        .fetch_all(OF, args![workspace, texts(profile_ids)])
        .await?;
    let left = rows
        .iter()
        .map(|row| Ok((row.get(0)?, codec::profile_id(row, 1)?)));
    let derivations = Derivations {
        left: left.collect::<Result<_, Error>>()?,
        ..Derivations::default()
    };
    moved(tx, workspace, &derivations, now_ms).await
}

/// Members after an id, in the order of ids, and when each entered.
pub async fn page(
    database: &Database,
    workspace: &str,
    segment_id: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<(ProfileId, i64)>, Error> {
    const PAGE: &str = "select profile_id, enter_ms from segment_members \
         where workspace = $1 and segment_id = $2 and profile_id > $3 \
         order by profile_id limit $4";
    let args = args![workspace, segment_id, after, limit];
    let rows = database.fetch_all(PAGE, args).await?;
    rows.iter()
        .map(|row| Ok((codec::profile_id(row, 0)?, row.get(1)?)))
        .collect()
}

/// The first members of a segment, to be taken out of it.
pub async fn first(
    tx: &mut Tx,
    workspace: &Arc<str>,
    segment_id: &str,
    limit: i64,
) -> Result<Vec<ProfileId>, Error> {
    const FIRST: &str = "select profile_id from segment_members \
         where workspace = $1 and segment_id = $2 order by profile_id limit $3";
    let args = args![workspace, segment_id, limit];
    let rows = tx.fetch_all(FIRST, args).await?;
    rows.iter().map(|row| codec::profile_id(row, 0)).collect()
}

/// When time has to be looked at again; None for never.
pub async fn due(
    tx: &mut Tx,
    workspace: &Arc<str>,
    due: &[(ProfileId, Option<i64>)],
) -> Result<(), Error> {
    const DUE: Insert = Insert {
        table: "due",
        columns: &[
            ("workspace", Kind::Text),
            ("profile_id", Kind::Text),
            ("due_ms", Kind::Int),
        ],
        tail: "on conflict (workspace, profile_id) do update set due_ms = excluded.due_ms",
    };
    const NEVER: &str = "delete from due where workspace = $1 and profile_id in list($2)";
    let never: Vec<_> = due
        .iter()
        .filter(|(_, ms)| ms.is_none())
        .map(|(id, _)| *id)
        .collect();
    if !never.is_empty() {
        tx.execute(NEVER, args![workspace, texts(&never)]).await?;
    }
    let rows = due
        .iter()
        .filter_map(|(id, ms)| Some(args![workspace, id.to_string(), (*ms)?]))
        .collect();
    tx.insert_many(&DUE, rows).await.map(drop)
}
