//! SQL for keys that this service makes for itself. Never logged, never answered.

use attune_storage::{Database, Error, Tx, args};

/// The key of a name: the stored one, or `fresh` if there was none. Replicas that
/// start at once agree on one.
pub async fn get_or_put(
    database: &Database,
    name: &'static str,
    fresh: Vec<u8>,
) -> Result<Vec<u8>, Error> {
    const PUT: &str =
        "insert into secret_keys (name, value) values ($1, $2) on conflict do nothing";
    const GET: &str = "select value from secret_keys where name = $1";
    database
        .write(move |tx: &mut Tx| {
            let fresh = fresh.clone();
            Box::pin(async move {
                tx.execute(PUT, args![name, fresh.clone()]).await?;
                let row = tx.fetch_optional(GET, args![name]).await?;
                row.map_or(Ok(fresh), |row| row.get(0))
            })
        })
        .await
}
