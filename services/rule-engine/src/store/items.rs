//! SQL for the projection of the catalog: items and item types, written together with
//! the position in the catalog's log that they stand for.

use std::sync::Arc;

use attune_api::catalog::v1::{Item, ItemType};
use attune_storage::{Database, Error, Insert, Kind, Tx, Value, args};
use prost::Message;

use crate::error::SERVICE;

/// The log that the projection follows.
pub const CATALOG: &str = "catalog";

/// An item as it is stored.
pub struct StoredItem {
    pub workspace: Arc<str>,
    pub item: Item,
    pub first_published_ms: Option<i64>,
    pub history: Option<bytes::Bytes>,
}

/// An item to be stored, encoded.
#[derive(Debug)]
pub struct UpsertedItem {
    pub workspace: Arc<str>,
    pub item_id: String,
    pub data: Vec<u8>,
    pub first_published_ms: Option<i64>,
    pub history: Option<Vec<u8>>,
}

/// What one batch of the catalog's log leaves behind, each key once.
#[derive(Debug, Default)]
pub struct Effects {
    pub upserted: Vec<UpsertedItem>,
    pub deleted: Vec<(Arc<str>, String)>,
    pub types: Vec<(Arc<str>, String, Option<Vec<u8>>)>,
    pub position: i64,
}

/// A page of all items of all workspaces, in order of key.
pub async fn page_after(
    database: &Database,
    workspace: &str,
    item_id: &str,
) -> Result<Vec<StoredItem>, Error> {
    const PAGE: &str = "select workspace, data, first_published_ms, history from items \
         where workspace > $1 or (workspace = $1 and item_id > $2) \
         order by workspace, item_id limit 5000";
    let rows = database.fetch_all(PAGE, args![workspace, item_id]).await?;
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        let data: bytes::Bytes = row.get(1)?;
        // A row that cannot be read is left out: the catalog's next change brings it back.
        let Ok(item) = Item::decode(data) else {
            tracing::error!("an item of the projection cannot be read");
            continue;
        };
        items.push(StoredItem {
            workspace: row.get(0)?,
            item,
            first_published_ms: row.get(2)?,
            history: row.get(3)?,
        });
    }
    Ok(items)
}

pub async fn all_types(database: &Database) -> Result<Vec<(Arc<str>, ItemType)>, Error> {
    const ALL: &str =
        "select workspace, data from item_types order by workspace, item_type_id limit 100000";
    let rows = database.fetch_all(ALL, args![]).await?;
    let mut types = Vec::with_capacity(rows.len());
    for row in rows {
        let data: bytes::Bytes = row.get(1)?;
        if let Ok(item_type) = ItemType::decode(data) {
            types.push((row.get(0)?, item_type));
        }
    }
    Ok(types)
}

/// Stores a batch's effects and its position, unless another replica was faster.
pub async fn apply(tx: &mut Tx, effects: &Effects) -> Result<(), Error> {
    const UPSERT: Insert = Insert {
        table: "items",
        columns: &[
            ("workspace", Kind::Text),
            ("item_id", Kind::Text),
            ("data", Kind::Bytes),
            ("first_published_ms", Kind::Int),
            ("history", Kind::Bytes),
        ],
        tail: "on conflict (workspace, item_id) do update set \
             data = excluded.data, first_published_ms = excluded.first_published_ms, \
             history = excluded.history",
    };
    const DELETE: &str = "delete from items where workspace = $1 and item_id = $2";
    if position(tx, CATALOG).await? >= effects.position {
        return Ok(());
    }
    let rows = effects.upserted.iter().map(|item| {
        let data = item.data.as_slice();
        args![
            &item.workspace,
            &item.item_id,
            data,
            item.first_published_ms,
            item.history.as_deref()
        ]
    });
    let rows: Vec<Vec<Value>> = rows.collect();
    if !rows.is_empty() {
        tx.insert_many(&UPSERT, rows).await?;
    }
    for (workspace, id) in &effects.deleted {
        tx.execute(DELETE, args![workspace, id]).await?;
    }
    for (workspace, id, data) in &effects.types {
        apply_type(tx, workspace, id, data.as_deref()).await?;
    }
    tx.set_position(SERVICE, CATALOG, effects.position).await
}

async fn apply_type(
    tx: &mut Tx,
    workspace: &Arc<str>,
    id: &str,
    data: Option<&[u8]>,
) -> Result<(), Error> {
    const PUT: &str = "insert into item_types (workspace, item_type_id, data) \
         values ($1, $2, $3) \
         on conflict (workspace, item_type_id) do update set data = excluded.data";
    const DELETE: &str = "delete from item_types where workspace = $1 and item_type_id = $2";
    match data {
        Some(data) => tx.execute(PUT, args![workspace, id, data]).await?,
        None => tx.execute(DELETE, args![workspace, id]).await?,
    };
    Ok(())
}

/// How far this service has come, as the transaction sees it.
pub(super) async fn position(tx: &mut Tx, source: &str) -> Result<i64, Error> {
    const POSITION: &str =
        "select position from consumer_positions where consumer = $1 and source = $2";
    let row = tx.fetch_optional(POSITION, args![SERVICE, source]).await?;
    row.map_or(Ok(0), |row| row.get(0))
}
