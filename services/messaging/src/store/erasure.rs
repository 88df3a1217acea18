//! SQL for forgetting people: their messages go, sent or not, and with them the keys.
//! Committed together with how far the profile's log was read.

use std::sync::Arc;

use attune_storage::{Error, Tx, args};
use uuid::Uuid;

use super::Store;

/// The log that tells who was erased, and who reads it.
pub(crate) const PROFILE: &str = "profile";
pub(crate) const CONSUMER: &str = "messaging";

/// Profiles of one workspace that were erased.
#[derive(Debug, Clone)]
pub(crate) struct Erased {
    pub workspace: String,
    pub profile_ids: Vec<String>,
}

impl Store {
    /// How far the profile's log was read.
    pub async fn position(&self) -> Result<i64, Error> {
        self.database.position(CONSUMER, PROFILE).await
    }

    /// Forgets people, in the order in which they were erased. Safe to repeat.
    pub async fn erase(&self, erased: Vec<Erased>, position: i64) -> Result<(), Error> {
        let (erased, keys) = (Arc::new(erased), Arc::clone(&self.keys));
        let forgotten = Arc::clone(&erased);
        self.database
            .write(move |tx: &mut Tx| {
                let (erased, keys) = (Arc::clone(&erased), Arc::clone(&keys));
                Box::pin(async move {
                    for one in erased.iter() {
                        delete(tx, one).await?;
                        keys.destroy(tx, &one.workspace, &owners(one)).await?;
                    }
                    tx.set_position(CONSUMER, PROFILE, position).await
                })
            })
            .await?;
        for one in forgotten.iter() {
            let workspace = Arc::from(one.workspace.as_str());
            self.keys.forget(&workspace, owners(one));
        }
        if !forgotten.is_empty() && !self.database.empty_log_file().await? {
            tracing::warn!("readers kept the log file from being emptied after an erasure");
        }
        Ok(())
    }
}

async fn delete(tx: &mut Tx, erased: &Erased) -> Result<(), Error> {
    const DELETE: &str = "delete from messages where workspace = $1 and profile_id in list($2)";
    let args = args![&erased.workspace, erased.profile_ids.clone()];
    tx.execute(DELETE, args).await.map(drop)
}

fn owners(erased: &Erased) -> Vec<Uuid> {
    let ids = erased.profile_ids.iter();
    ids.filter_map(|id| Uuid::try_parse(id).ok()).collect()
}
