//! What the catalog tells in its log, committed together with what it tells of.

use std::sync::Arc;

use attune_api::{
    catalog::v1::{Item, ItemType},
    events::v1::{ItemDeleted, ItemTypeChanged, ItemUpserted, LogEntry, log_entry::Change},
};
use attune_storage::{Error, LogRecord, Tx};
use prost::Message;

/// Begins the key of an entry about an item type. No item id has a slash.
pub(crate) const TYPE_KEY_PREFIX: &str = "item_types/";

/// On whose behalf something is told.
#[derive(Debug, Clone)]
pub(crate) struct Teller {
    pub workspace: Arc<str>,
    /// Of the call that makes the change; the commit runs on another task.
    pub traceparent: String,
}

impl Teller {
    /// For the call in hand.
    pub fn current(workspace: Arc<str>) -> Self {
        let mut headers = http::HeaderMap::new();
        attune_telemetry::inject_current(&mut headers);
        let traceparent = headers.get("traceparent").and_then(|v| v.to_str().ok());
        Self {
            workspace,
            traceparent: traceparent.unwrap_or_default().to_owned(),
        }
    }

    pub async fn upserted(
        &self,
        tx: &mut Tx,
        item: Item,
        previous_item: Option<Item>,
    ) -> Result<(), Error> {
        let key = item.item_id.clone();
        let upserted = ItemUpserted {
            item: Some(item),
            previous_item,
        };
        self.tell(tx, key, Change::ItemUpserted(upserted)).await
    }

    pub async fn deleted(&self, tx: &mut Tx, item_id: &str) -> Result<(), Error> {
        let item_id = item_id.to_owned();
        let deleted = ItemDeleted {
            item_id: item_id.clone(),
        };
        self.tell(tx, item_id, Change::ItemDeleted(deleted)).await
    }

    /// Without `item_type` it was deleted.
    pub async fn type_changed(
        &self,
        tx: &mut Tx,
        item_type_id: &str,
        item_type: Option<ItemType>,
    ) -> Result<(), Error> {
        let changed = ItemTypeChanged {
            item_type_id: item_type_id.to_owned(),
            item_type,
        };
        let key = format!("{TYPE_KEY_PREFIX}{item_type_id}");
        self.tell(tx, key, Change::ItemTypeChanged(changed)).await
    }

    async fn tell(&self, tx: &mut Tx, key: String, change: Change) -> Result<(), Error> {
        let entry = LogEntry {
            workspace: self.workspace.to_string(),
            key: key.clone(),
            traceparent: self.traceparent.clone(),
            change: Some(change),
            ..Default::default()
        };
        tx.publish(LogRecord {
            workspace: Arc::clone(&self.workspace),
            key,
            entry: entry.encode_to_vec().into(),
        })
        .await
    }
}
