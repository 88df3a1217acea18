//! SQL for forgetting people: their messages go, sent or not, and with them the keys.
//! Committed together with how far the profile's log was read. Who was forgotten is
//! remembered by id, so that nothing is queued for them later.

use std::sync::Arc;

use attune_storage::{Error, Insert, Kind, Sql, Tx, args};
use uuid::Uuid;

use super::Store;

/// The log that tells who was erased, and who reads it.
pub(crate) const PROFILE: &str = "profile";
pub(crate) const CONSUMER: &str = "messaging";

/// A person of one workspace who was erased.
#[derive(Debug, Clone)]
pub(crate) struct Erased {
    pub workspace: String,
    pub profile_ids: Vec<String>,
    /// Of the addresses by which they could be written to.
    pub address_keys: Vec<String>,
    /// What was sent to their addresses later than this was sent to somebody new.
    pub until_ms: i64,
}

impl Store {
    /// How far the profile's log was read.
    pub async fn position(&self) -> Result<i64, Error> {
        self.database.position(CONSUMER, PROFILE).await
    }

    /// Forgets people, in the order in which they were erased. Safe to repeat.
    pub async fn erase(&self, erased: Vec<Erased>, position: i64) -> Result<(), Error> {
        let (erased, keys) = (Arc::new(erased), Arc::clone(&self.keys));
        let forgotten = self
            .database
            .write(move |tx: &mut Tx| {
                let (erased, keys) = (Arc::clone(&erased), Arc::clone(&keys));
                Box::pin(async move {
                    let mut forgotten = Vec::with_capacity(erased.len());
                    for one in erased.iter() {
                        let owners = forget(tx, one).await?;
                        keys.destroy(tx, &one.workspace, &owners).await?;
                        forgotten.push((one.workspace.clone(), owners));
                    }
                    tx.set_position(CONSUMER, PROFILE, position).await?;
                    Ok::<_, Error>(forgotten)
                })
            })
            .await?;
        let is_any = !forgotten.is_empty();
        for (workspace, owners) in forgotten {
            self.keys.forget(&Arc::from(workspace), owners);
        }
        if is_any && !self.database.empty_log_file().await? {
            tracing::warn!("readers kept the log file from being emptied after an erasure");
        }
        Ok(())
    }
}

/// Deletes what was sent to a person. Whose keys are to be destroyed.
async fn forget(tx: &mut Tx, erased: &Erased) -> Result<Vec<Uuid>, Error> {
    const GATE: Sql = Sql::each(
        "select id from erasure_gate",
        "select id from erasure_gate for update",
    );
    const REMEMBER: Insert = Insert {
        table: "erased_profiles",
        columns: &[("workspace", Kind::Text), ("profile_id", Kind::Text)],
        tail: "on conflict do nothing",
    };
    const BY_ID: &str = "delete from messages where workspace = $1 and profile_id in list($2)";
    const BY_ADDRESS: &str = "delete from messages where workspace = $1 and profile_id = '' \
         and address_key in list($2) and create_ms <= $3 returning message_id";
    tx.fetch_all(GATE, args![]).await?;
    let workspace = erased.workspace.as_str();
    let ids = erased.profile_ids.iter();
    let rows = ids.map(|id| args![workspace, id.as_str()]).collect();
    tx.insert_many(&REMEMBER, rows).await?;
    tx.execute(BY_ID, args![workspace, erased.profile_ids.clone()])
        .await?;
    let mut owners = erased.profile_ids.clone();
    if !erased.address_keys.is_empty() {
        let args = args![workspace, erased.address_keys.clone(), erased.until_ms];
        for row in &tx.fetch_all(BY_ADDRESS, args).await? {
            owners.push(row.get(0)?);
        }
    }
    let owners = owners.iter();
    Ok(owners.filter_map(|id| Uuid::try_parse(id).ok()).collect())
}

/// Whether nothing may be queued for a profile any more. Until the transaction ends,
/// nobody is erased.
pub(super) async fn is_erased(
    tx: &mut Tx,
    workspace: &str,
    profile_id: &str,
) -> Result<bool, Error> {
    const GATE: Sql = Sql::each(
        "select id from erasure_gate",
        "select id from erasure_gate for share",
    );
    const ERASED: &str = "select profile_id from erased_profiles \
         where workspace = $1 and profile_id = $2";
    tx.fetch_all(GATE, args![]).await?;
    let found = tx.fetch_optional(ERASED, args![workspace, profile_id]);
    Ok(found.await?.is_some())
}
