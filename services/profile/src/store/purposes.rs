//! SQL for the purposes that a workspace declared, or declared otherwise than they are
//! from the start. Never decides what may be declared.

use attune_api::profile::v1::Purpose;
use attune_storage::{
    Database, Error, Insert, Kind, Row, Tx, args,
    resources::{Resource as _, Stamp},
};
use prost::Message as _;

use crate::domain::purposes::PURPOSES_MAX;

/// All of a workspace, in the order of their ids.
pub async fn all(database: &Database, workspace: &str) -> Result<Vec<Purpose>, Error> {
    let rows = database.fetch_all(ALL, args![workspace, limit()]).await?;
    rows.iter().map(read).collect()
}

/// As [`all`], inside a write.
pub async fn all_within(tx: &mut Tx, workspace: &str) -> Result<Vec<Purpose>, Error> {
    let rows = tx.fetch_all(ALL, args![workspace, limit()]).await?;
    rows.iter().map(read).collect()
}

const ALL: &str = "select data, etag, create_ms, update_ms from purposes \
     where workspace = $1 order by purpose_id limit $2";

fn limit() -> i64 {
    // 64
    PURPOSES_MAX as i64
}

fn read(row: &Row) -> Result<Purpose, Error> {
    let data: bytes::Bytes = row.get(0)?;
    let mut purpose = Purpose::decode(data).map_err(|_| Error::Column {
        index: 0,
        expected: "a stored purpose",
        found: "other bytes".to_owned(),
    })?;
    purpose.stamp(Some(Stamp {
        etag: row.get(1)?,
        create_ms: row.get(2)?,
        update_ms: row.get(3)?,
    }));
    Ok(purpose)
}

/// Creates or replaces.
pub async fn put(
    tx: &mut Tx,
    workspace: &str,
    purpose: &Purpose,
    stamp: &Stamp,
) -> Result<(), Error> {
    const PUT: Insert = Insert {
        table: "purposes",
        columns: &[
            ("workspace", Kind::Text),
            ("purpose_id", Kind::Text),
            ("etag", Kind::Text),
            ("data", Kind::Bytes),
            ("create_ms", Kind::Int),
            ("update_ms", Kind::Int),
        ],
        tail: "on conflict (workspace, purpose_id) do update set \
               etag = excluded.etag, data = excluded.data, update_ms = excluded.update_ms",
    };
    let mut bare = purpose.clone();
    bare.stamp(None);
    let row = args![
        workspace,
        &purpose.purpose_id,
        &stamp.etag,
        bytes::Bytes::from(bare.encode_to_vec()),
        stamp.create_ms,
        stamp.update_ms,
    ];
    tx.insert_many(&PUT, vec![row]).await.map(drop)
}

pub async fn delete(tx: &mut Tx, workspace: &str, purpose_id: &str) -> Result<(), Error> {
    const DELETE: &str = "delete from purposes where workspace = $1 and purpose_id = $2";
    tx.execute(DELETE, args![workspace, purpose_id])
        .await
        .map(drop)
}
