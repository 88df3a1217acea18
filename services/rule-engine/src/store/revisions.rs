//! SQL for the count of edits of a rule base, by which edits notice each other, within
//! a process and across replicas.

use std::{collections::HashMap, sync::Arc};

use attune_storage::{Database, Error, Tx, args};

/// Counts an edit and says which it is. Edits of a workspace wait here for each other's
/// commits, in all replicas.
pub async fn raise(tx: &mut Tx, workspace: &Arc<str>) -> Result<i64, Error> {
    const RAISE: &str = "insert into rule_revisions (workspace, revision) values ($1, 1) \
         on conflict (workspace) do update set revision = rule_revisions.revision + 1 \
         returning revision";
    let row = tx.fetch_optional(RAISE, args![workspace]).await?;
    row.map_or(Ok(0), |row| row.get(0))
}

/// As a transaction sees it; 0 before the first edit.
pub async fn get(tx: &mut Tx, workspace: &Arc<str>) -> Result<i64, Error> {
    const GET: &str = "select revision from rule_revisions where workspace = $1";
    let row = tx.fetch_optional(GET, args![workspace]).await?;
    row.map_or(Ok(0), |row| row.get(0))
}

pub async fn all(database: &Database) -> Result<HashMap<Arc<str>, i64>, Error> {
    const ALL: &str =
        "select workspace, revision from rule_revisions order by workspace limit 100000";
    let rows = database.fetch_all(ALL, args![]).await?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect()
}
