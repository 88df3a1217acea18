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

/// Stores chunks. One that is stored already was committed by a try that seemed to fail.
pub async fn insert(tx: &mut Tx, chunks: &[Chunk]) -> Result<(), Error> {
    const INSERT: Insert = Insert {
        table: "decisions",
        columns: &[
            ("workspace", Kind::Text),
            ("last_id", Kind::Text),
            ("first_id", Kind::Text),
            ("decision_count", Kind::Int),
            ("data", Kind::Bytes),
        ],
        tail: "on conflict do nothing",
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
    tx.insert_many(&INSERT, rows.collect()).await.map(drop)
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

/// Drops what lies before an id; ids are in order of time.
pub async fn trim(tx: &mut Tx, before_id: &str) -> Result<u64, Error> {
    const TRIM: &str = "delete from decisions where last_id < $1";
    tx.execute(TRIM, args![before_id]).await
}
