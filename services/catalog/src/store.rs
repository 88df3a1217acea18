//! SQL for items and for what is in use. Knows nothing of gRPC or of what an item
//! means; every query is scoped by workspace. Item types are in storage's resources.

use std::collections::HashMap;

use attune_storage::{Database, Error, Insert, Kind, Row, Tx, Value, args};
use bytes::Bytes;

use crate::domain::item::Stored;

/// An item's row, as it is about to be written.
#[derive(Debug, Clone)]
pub(crate) struct ItemRow {
    pub item_id: String,
    pub item_type: String,
    pub state: i32,
    pub etag: String,
    pub data: Bytes,
    pub create_ms: i64,
    pub update_ms: i64,
}

/// Waits until no other process is writing, and keeps them waiting until the commit.
pub(crate) async fn take_turn(tx: &mut Tx) -> Result<(), Error> {
    const TURN: &str = "update catalog_turn set turns = turns + 1 where id = 1";
    tx.execute(TURN, args![]).await.map(drop)
}

/// What is stored under these ids, with its content.
pub(crate) async fn stored(
    tx: &mut Tx,
    workspace: &str,
    item_ids: Vec<String>,
) -> Result<HashMap<String, (Stored, Bytes)>, Error> {
    const STORED: &str = "select item_id, etag, state, create_ms, update_ms, data from items \
         where workspace = $1 and item_id in list($2)";
    let rows = tx.fetch_all(STORED, args![workspace, item_ids]).await?;
    let read = |row: &Row| {
        let stored = Stored {
            etag: row.get(1)?,
            state: row.get(2)?,
            create_ms: row.get(3)?,
            update_ms: row.get(4)?,
        };
        Ok((row.get(0)?, (stored, row.get(5)?)))
    };
    rows.iter().map(read).collect()
}

pub(crate) async fn put(tx: &mut Tx, workspace: &str, items: Vec<ItemRow>) -> Result<(), Error> {
    const PUT: Insert = Insert {
        table: "items",
        columns: &[
            ("workspace", Kind::Text),
            ("item_id", Kind::Text),
            ("item_type", Kind::Text),
            ("state", Kind::Int),
            ("etag", Kind::Text),
            ("data", Kind::Bytes),
            ("create_ms", Kind::Int),
            ("update_ms", Kind::Int),
        ],
        tail: "on conflict (workspace, item_id) do update set item_type = excluded.item_type, \
             state = excluded.state, etag = excluded.etag, data = excluded.data, \
             update_ms = excluded.update_ms",
    };
    let workspace: std::sync::Arc<str> = workspace.into();
    let row = |item: ItemRow| -> Vec<Value> {
        args![
            &workspace,
            item.item_id,
            item.item_type,
            item.state,
            item.etag,
            item.data,
            item.create_ms,
            item.update_ms
        ]
    };
    let rows = items.into_iter().map(row).collect();
    tx.insert_many(&PUT, rows).await.map(drop)
}

pub(crate) async fn remove(tx: &mut Tx, workspace: &str, item_id: &str) -> Result<(), Error> {
    const REMOVE: &str = "delete from items where workspace = $1 and item_id = $2";
    tx.execute(REMOVE, args![workspace, item_id])
        .await
        .map(drop)
}

/// Adds differences of (item type, characteristic) to what is in use.
pub(crate) async fn add_usage(
    tx: &mut Tx,
    workspace: &str,
    differences: impl Iterator<Item = (String, String, i64)>,
) -> Result<(), Error> {
    const ADD: Insert = Insert {
        table: "type_usage",
        columns: &[
            ("workspace", Kind::Text),
            ("item_type", Kind::Text),
            ("characteristic", Kind::Text),
            ("items", Kind::Int),
        ],
        tail: "on conflict (workspace, item_type, characteristic) \
             do update set items = type_usage.items + excluded.items",
    };
    let rows: Vec<Vec<Value>> = differences
        .map(|(item_type, characteristic, by)| args![workspace, item_type, characteristic, by])
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    tx.insert_many(&ADD, rows).await.map(drop)
}

/// Items by characteristic of a type, those in use only.
pub(crate) async fn usage(
    tx: &mut Tx,
    workspace: &str,
    item_type: &str,
) -> Result<HashMap<String, i64>, Error> {
    const USAGE: &str = "select characteristic, items from type_usage \
         where workspace = $1 and item_type = $2 and items > 0 order by characteristic";
    let rows = tx.fetch_all(USAGE, args![workspace, item_type]).await?;
    let read = |row: &Row| Ok((row.get(0)?, row.get(1)?));
    rows.iter().map(read).collect()
}

/// Number of items over all workspaces.
pub(crate) async fn count(database: &Database) -> Result<i64, Error> {
    const COUNT: &str = "select sum(items) from type_usage where characteristic = ''";
    let row = database.fetch_optional(COUNT, args![]).await?;
    let sum: Option<i64> = row.map_or(Ok(None), |row| row.get(0))?;
    Ok(sum.unwrap_or(0))
}

/// The encoded items that exist among these ids, in no order.
pub(crate) async fn read(
    database: &Database,
    workspace: &str,
    item_ids: Vec<String>,
) -> Result<Vec<(String, Bytes)>, Error> {
    const READ: &str = "select item_id, data from items \
         where workspace = $1 and item_id in list($2)";
    let rows = database.fetch_all(READ, args![workspace, item_ids]).await?;
    rows.iter().map(id_and_data).collect()
}

/// Encoded items in the order of their ids.
pub(crate) async fn page(
    database: &Database,
    workspace: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<(String, Bytes)>, Error> {
    const PAGE: &str = "select item_id, data from items \
         where workspace = $1 and item_id > $2 order by item_id limit $3";
    let rows = database
        .fetch_all(PAGE, args![workspace, after, limit])
        .await?;
    rows.iter().map(id_and_data).collect()
}

fn id_and_data(row: &Row) -> Result<(String, Bytes), Error> {
    Ok((row.get(0)?, row.get(1)?))
}
