//! SQL for the count of edits by which replicas notice each other's.

use std::{collections::HashMap, sync::Arc};

use attune_storage::{Database, Error, Tx, args};

pub async fn raise(tx: &mut Tx, workspace: &Arc<str>) -> Result<(), Error> {
    const RAISE: &str = "insert into rule_revisions (workspace, revision) values ($1, 1) \
         on conflict (workspace) do update set revision = rule_revisions.revision + 1";
    tx.execute(RAISE, args![workspace]).await.map(drop)
}

pub async fn all(database: &Database) -> Result<HashMap<Arc<str>, i64>, Error> {
    const ALL: &str =
        "select workspace, revision from rule_revisions order by workspace limit 100000";
    let rows = database.fetch_all(ALL, args![]).await?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect()
}
