//! SQL for what is declared of segments and for how large they are. Who is in them is
//! `members`'s. Decides nothing.

use std::{collections::BTreeMap, sync::Arc};

use attune_api::profile::v1::Segment;
use attune_storage::{Database, Error, Insert, Kind, Tx, args};
use prost::Message;

use crate::domain::segments::Changed;

/// What a change makes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Made,
    Changed,
    Gone,
}

/// Notes that a segment changed with this revision.
pub async fn changed(
    tx: &mut Tx,
    workspace: &Arc<str>,
    segment_id: &str,
    revision: i64,
    fate: Fate,
) -> Result<(), Error> {
    const CHANGED: &str = "insert into segment_revisions \
         (workspace, segment_id, revision, gone, born) values ($1, $2, $3, $4, $5) \
         on conflict (workspace, segment_id) do update set \
         revision = excluded.revision, gone = excluded.gone, \
         born = case when excluded.born > 0 then excluded.born \
         else segment_revisions.born end";
    let born = match fate {
        Fate::Made => revision,
        Fate::Changed | Fate::Gone => 0,
    };
    let args = args![workspace, segment_id, revision, fate == Fate::Gone, born];
    tx.execute(CHANGED, args).await.map(drop)
}

/// Segments that were changed after a revision, in the order of their ids.
pub async fn changed_since(
    database: &Database,
    workspace: &Arc<str>,
    revision: i64,
) -> Result<Vec<Changed>, Error> {
    const CHANGED: &str = "select v.segment_id, v.gone, r.data, v.born \
         from segment_revisions v \
         left join resources r on r.workspace = v.workspace and r.kind = 'segment' \
         and r.id = v.segment_id \
         where v.workspace = $1 and v.revision > $2 and v.segment_id > $3 \
         order by v.segment_id limit 1000";
    let mut all: Vec<Changed> = Vec::new();
    loop {
        let after = all.last().map_or("", |(id, _)| id);
        let args = args![workspace, revision, after];
        let rows = database.fetch_all(CHANGED, args).await?;
        if rows.is_empty() {
            return Ok(all);
        }
        for row in &rows {
            let data: Option<Vec<u8>> = row.get(2)?;
            let segment = match (row.get(1)?, data) {
                (false, Some(data)) => Some((decode(&data)?, row.get(3)?)),
                _ => None,
            };
            all.push((row.get(0)?, segment));
        }
    }
}

fn decode(data: &[u8]) -> Result<Segment, Error> {
    Segment::decode(data).map_err(|_| Error::Column {
        index: 2,
        expected: "a stored segment",
        found: "other bytes".into(),
    })
}

/// Who came to a segment, and who left it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moves {
    pub entered: i64,
    pub left: i64,
}

/// Counts who came and went, now and in the hour.
pub async fn count(
    tx: &mut Tx,
    workspace: &Arc<str>,
    moves: &BTreeMap<Arc<str>, Moves>,
    now_ms: i64,
) -> Result<(), Error> {
    const COUNT: Insert = Insert {
        table: "segment_counts",
        columns: &[
            ("workspace", Kind::Text),
            ("segment_id", Kind::Text),
            ("member_count", Kind::Int),
        ],
        tail: "on conflict (workspace, segment_id) do update set \
               member_count = segment_counts.member_count + excluded.member_count \
               returning segment_id, member_count",
    };
    const SIZE: Insert = Insert {
        table: "segment_sizes",
        columns: &[
            ("workspace", Kind::Text),
            ("segment_id", Kind::Text),
            ("hour_ms", Kind::Int),
            ("member_count", Kind::Int),
            ("entered_count", Kind::Int),
            ("left_count", Kind::Int),
        ],
        tail: "on conflict (workspace, segment_id, hour_ms) do update set \
               member_count = excluded.member_count, \
               entered_count = segment_sizes.entered_count + excluded.entered_count, \
               left_count = segment_sizes.left_count + excluded.left_count",
    };
    let rows = moves
        .iter()
        .map(|(id, moves)| args![workspace, id, moves.entered - moves.left])
        .collect();
    let counted = tx.insert_many_returning(&COUNT, rows).await?;
    let hour_ms = now_ms - now_ms.rem_euclid(HOUR_MS);
    let mut rows = Vec::with_capacity(counted.len());
    for row in &counted {
        let id: Arc<str> = row.get(0)?;
        let count: i64 = row.get(1)?;
        let moves = moves.get(&id).copied().unwrap_or_default();
        rows.push(args![
            workspace,
            id,
            hour_ms,
            count,
            moves.entered,
            moves.left
        ]);
    }
    tx.insert_many(&SIZE, rows).await.map(drop)
}

const HOUR_MS: i64 = 3_600_000;

/// How many are in each of some segments; one that never had a member is not told.
pub async fn counts(
    database: &Database,
    workspace: &str,
    segment_ids: Vec<String>,
) -> Result<BTreeMap<String, i64>, Error> {
    const COUNTS: &str = "select segment_id, member_count from segment_counts \
         where workspace = $1 and segment_id in list($2)";
    let args = args![workspace, segment_ids];
    let rows = database.fetch_all(COUNTS, args).await?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect()
}

/// The size of a segment in one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub hour_ms: i64,
    pub member_count: i64,
    pub entered_count: i64,
    pub left_count: i64,
}

/// Hours listed at once: a year and a day of them.
const SIZES_MAX: i64 = 8_784;

/// Sizes from a time on and before another, oldest first.
pub async fn sizes(
    database: &Database,
    workspace: &str,
    segment_id: &str,
    start_ms: i64,
    end_ms: i64,
) -> Result<Vec<Size>, Error> {
    const SIZES: &str = "select hour_ms, member_count, entered_count, left_count \
         from segment_sizes where workspace = $1 and segment_id = $2 \
         and hour_ms >= $3 and hour_ms < $4 order by hour_ms limit $5";
    let args = args![workspace, segment_id, start_ms, end_ms, SIZES_MAX];
    let rows = database.fetch_all(SIZES, args).await?;
    rows.iter()
        .map(|row| {
            Ok(Size {
                hour_ms: row.get(0)?,
                member_count: row.get(1)?,
                entered_count: row.get(2)?,
                left_count: row.get(3)?,
            })
        })
        .collect()
}

/// Forgets how large a segment was, once nobody is in it and it is gone.
pub async fn forget_sizes(
    tx: &mut Tx,
    workspace: &Arc<str>,
    segment_id: &str,
) -> Result<(), Error> {
    const COUNTS: &str = "delete from segment_counts where workspace = $1 and segment_id = $2";
    const SIZES: &str = "delete from segment_sizes where workspace = $1 and segment_id = $2";
    tx.execute(COUNTS, args![workspace, segment_id]).await?;
    tx.execute(SIZES, args![workspace, segment_id])
        .await
        .map(drop)
}
