//! SQL for when the declared traits and event types changed last. What they are is in
//! the table of resources.

use std::sync::Arc;

use attune_storage::{Database, Error, Tx, args, resources::Resource};

/// Notes that traits or event types changed with this revision.
pub async fn changed(tx: &mut Tx, workspace: &Arc<str>, revision: i64) -> Result<(), Error> {
    const CHANGED: &str = "insert into schema_revisions (workspace, revision) values ($1, $2) \
         on conflict (workspace) do update set revision = excluded.revision";
    let args = args![workspace, revision];
    tx.execute(CHANGED, args).await.map(drop)
}

/// The revision at which they changed last; 0 if they never did.
pub async fn revision(database: &Database, workspace: &Arc<str>) -> Result<i64, Error> {
    const REVISION: &str = "select revision from schema_revisions where workspace = $1";
    let row = database.fetch_optional(REVISION, args![workspace]).await?;
    row.map_or(Ok(0), |row| row.get(0))
}

/// How many resources of a kind there are, as the transaction sees it.
pub async fn count<R: Resource>(tx: &mut Tx, workspace: &Arc<str>) -> Result<i64, Error> {
    const COUNT: &str = "select count(*) from resources where workspace = $1 and kind = $2";
    let row = tx.fetch_optional(COUNT, args![workspace, R::KIND]).await?;
    row.map_or(Ok(0), |row| row.get(0))
}

/// Segments that there are, as expressions name them.
pub async fn segment_ids(database: &Database, workspace: &Arc<str>) -> Result<Vec<String>, Error> {
    const IDS: &str = "select id from resources \
         where workspace = $1 and kind = 'segment' order by id limit 100000";
    let rows = database.fetch_all(IDS, args![workspace]).await?;
    rows.iter().map(|row| row.get(0)).collect()
}
