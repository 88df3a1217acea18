//! SQL for past decisions, kept in chunks because one row per decision would cost more
//! than deciding. Chunks are opaque here; they are found by the ids they span.

use std::sync::Arc;

use attune_storage::{Database, Error, Insert, Kind, Tx, Value, args};
use bytes::Bytes;

/// Decisions of one workspace, encoded one after the other.
#[derive(Debug, Clone)]
pub struct Chunk {
    pub workspace: Arc<str>,
    pub first_id: String,
    pub last_id: String,
    pub count: i64,
    pub data: Bytes,
}

/// Stores chunks and gives the last ids of those that were new. One that is stored
/// already was committed by a try that seemed to fail.
pub async fn insert(tx: &mut Tx, chunks: &[Chunk]) -> Result<Vec<String>, Error> {
    const INSERT: Insert = Insert {
        table: "decisions",
        columns: &[
            ("workspace", Kind::Text),
            ("last_id", Kind::Text),
            ("first_id", Kind::Text),
            ("decision_count", Kind::Int),
            ("data", Kind::Bytes),
        ],
        tail: "on conflict do nothing returning last_id",
    };
    let rows = chunks.iter().map(|chunk| -> Vec<Value> {
        args![
            &chunk.workspace,
            &chunk.last_id,
            &chunk.first_id,
            chunk.count,
            &chunk.data
        ]
    });
    let new = tx.insert_many_returning(&INSERT, rows.collect()).await?;
    new.iter().map(|row| row.get(0)).collect()
}

/// Chunks that may hold a decision. Chunks of several replicas overlap, but a chunk
/// spans seconds, so that the few next to the id are all there can be.
pub async fn around(
    database: &Database,
    workspace: &str,
    decision_id: &str,
) -> Result<Vec<Bytes>, Error> {
    const AROUND: &str = "select data from decisions \
         where workspace = $1 and last_id >= $2 and first_id <= $2 \
         order by last_id limit 64";
    let rows = database
        .fetch_all(AROUND, args![workspace, decision_id])
        .await?;
    rows.iter().map(|row| row.get(0)).collect()
}

/// A chunk's last id and its data.
pub type FoundChunk = (String, Bytes);

/// Chunks with decisions before an id, those with the latest last ids first; at most
/// `limit`. An empty id means the end.
pub async fn before(
    database: &Database,
    workspace: &str,
    decision_id: &str,
    limit: i64,
) -> Result<Vec<FoundChunk>, Error> {
    const BEFORE: &str = "select last_id, data from decisions \
         where workspace = $1 and ($2 = '' or first_id < $2) \
         order by last_id desc limit $3";
    let args = args![workspace, decision_id, limit];
    let rows = database.fetch_all(BEFORE, args).await?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect()
}

/// Where a chunk lies: its last and its first id.
#[derive(Debug, Clone)]
pub struct Place {
    pub last_id: String,
    pub first_id: String,
}

/// Chunks that end after an id, the latest first, beginning before a place.
pub async fn page(
    database: &Database,
    workspace: &str,
    after_id: &str,
    before: Option<Place>,
    limit: i64,
) -> Result<Vec<(Place, Bytes)>, Error> {
    // `~` comes after every id.
    const PAGE: &str = "select last_id, first_id, data from decisions \
         where workspace = $1 and last_id >= $2 and (last_id, first_id) < ($3, $4) \
         order by last_id desc, first_id desc limit $5";
    let before = before.unwrap_or_else(|| Place {
        last_id: "~".to_owned(),
        first_id: String::new(),
    });
    let args = args![workspace, after_id, before.last_id, before.first_id, limit];
    let rows = database.fetch_all(PAGE, args).await?;
    rows.iter()
        .map(|row| {
            let place = Place {
                last_id: row.get(0)?,
                first_id: row.get(1)?,
            };
            Ok((place, row.get(2)?))
        })
        .collect()
}

/// Puts other decisions in the place of a chunk's.
pub async fn replace(
    tx: &mut Tx,
    workspace: &str,
    place: &Place,
    data: Bytes,
) -> Result<(), Error> {
    const REPLACE: &str = "update decisions set data = $4 \
         where workspace = $1 and last_id = $2 and first_id = $3";
    let args = args![workspace, &place.last_id, &place.first_id, data];
    tx.execute(REPLACE, args).await.map(drop)
}

/// Drops what lies before an id; ids are in order of time.
pub async fn trim(tx: &mut Tx, before_id: &str) -> Result<u64, Error> {
    const TRIM: &str = "delete from decisions where last_id < $1";
    tx.execute(TRIM, args![before_id]).await
}
