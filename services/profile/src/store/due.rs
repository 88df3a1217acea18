//! SQL for when time alone changes what is derived of somebody, over all workspaces: one
//! timer serves them all. `members` writes it, with the change that leads to it.

use std::sync::Arc;

use attune_storage::{Database, Error, args};

use super::codec;
use crate::domain::ProfileId;

/// The earliest time at which anybody has to be looked at.
pub async fn earliest(database: &Database) -> Result<Option<i64>, Error> {
    const EARLIEST: &str = "select due_ms from due order by due_ms limit 1";
    let row = database.fetch_optional(EARLIEST, args![]).await?;
    row.map(|row| row.get(0)).transpose()
}

/// Those who have to be looked at by a time, in the order of when.
pub async fn until(
    database: &Database,
    now_ms: i64,
    limit: i64,
) -> Result<Vec<(Arc<str>, ProfileId)>, Error> {
    const UNTIL: &str = "select workspace, profile_id from due \
         where due_ms <= $1 order by due_ms, workspace, profile_id limit $2";
    let rows = database.fetch_all(UNTIL, args![now_ms, limit]).await?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, codec::profile_id(row, 1)?)))
        .collect()
}
