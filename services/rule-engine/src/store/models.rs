//! SQL for what behaviour has taught: one blob per workspace, written together with
//! the position in the profile's log that all of them stand for.

use std::sync::Arc;

use attune_storage::{Database, Error, Tx, args};
use bytes::Bytes;

use super::items::position;
use crate::{domain::models::StoredModels, error::SERVICE};

/// The log that the models follow.
pub const PROFILE: &str = "profile";

/// What is stored.
#[derive(Debug, Default)]
pub struct StoredBlobs {
    pub position: i64,
    pub blobs: Vec<StoredBlob>,
}

#[derive(Debug)]
pub struct StoredBlob {
    pub workspace: Arc<str>,
    pub format: i64,
    pub data: Bytes,
}

/// The stored blobs; None if a later version wrote any, since all stand for one position.
pub async fn load(database: &Database) -> Result<Option<StoredBlobs>, Error> {
    // One statement, so that position and blobs belong together whoever writes.
    const LOAD: &str = "select p.position, m.workspace, m.format, m.data \
         from consumer_positions p left join models m on true \
         where p.consumer = $1 and p.source = $2 order by m.workspace limit 100000";
    let rows = database.fetch_all(LOAD, args![SERVICE, PROFILE]).await?;
    let mut stored = StoredBlobs::default();
    for row in rows {
        stored.position = row.get(0)?;
        let Some(workspace) = row.get::<Option<Arc<str>>>(1)? else {
            continue;
        };
        let format = row.get::<i64>(2)?;
        if format > StoredModels::FORMAT {
            return Ok(None);
        }
        stored.blobs.push(StoredBlob {
            workspace,
            format,
            data: row.get(3)?,
        });
    }
    Ok(Some(stored))
}

/// Stores blobs as of a position, unless another replica has stored a later one.
pub async fn save(tx: &mut Tx, blobs: &[(Arc<str>, Bytes)], at: i64) -> Result<(), Error> {
    const PUT: &str = "insert into models (workspace, format, data) values ($1, $2, $3) \
         on conflict (workspace) do update set format = excluded.format, data = excluded.data";
    if position(tx, PROFILE).await? >= at {
        return Ok(());
    }
    for (workspace, blob) in blobs {
        tx.execute(PUT, args![workspace, StoredModels::FORMAT, blob])
            .await?;
    }
    tx.set_position(SERVICE, PROFILE, at).await
}
