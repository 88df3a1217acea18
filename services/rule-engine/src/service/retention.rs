//! Drops decisions and outcomes that are older than they are kept.

use std::time::Duration;

use attune_api::time;
use attune_rpc::{Slept, Tasks};
use attune_storage::{Database, Error, Tx};
use uuid::Uuid;

use crate::{domain::report::DAY_MS, store};

const TRIM_EVERY: Duration = Duration::from_secs(3600);

/// Trims now and then until it is time to stop.
pub async fn keep(tasks: Tasks, database: Database, days: u32) {
    loop {
        let before_ms = time::now_ms() - i64::from(days) * DAY_MS;
        if let Err(error) = trim(&database, before_ms).await {
            tracing::warn!(%error, "old decisions could not be dropped");
        }
        if tasks.sleep(TRIM_EVERY).await == Slept::UntilStopped {
            return;
        }
    }
}

async fn trim(database: &Database, before_ms: i64) -> Result<(), Error> {
    let before = first_id_at(before_ms);
    let before_day = before_ms.div_euclid(DAY_MS);
    let dropped: u64 = database
        .write(move |tx: &mut Tx| {
            let before = before.clone();
            Box::pin(async move {
                let decisions = store::decisions::trim(tx, &before).await?;
                let outcomes = store::outcomes::trim(tx, &before).await?;
                let exposures = store::exposures::trim(tx, before_ms).await?;
                let counts = store::reports::trim(tx, before_day, &before).await?;
                Ok::<u64, Error>(decisions + outcomes + exposures + counts)
            })
        })
        .await?;
    if dropped > 0 {
        tracing::info!(dropped, "old decisions and outcomes dropped");
    }
    Ok(())
}

/// The lowest id that a decision of this time could have.
pub fn first_id_at(ms: i64) -> String {
    let ms = u64::try_from(ms).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(ms, &[0; 10])
        .into_uuid()
        .to_string()
}

/// A fresh id of a decision, in order of time.
pub fn decision_id(now_ms: i64) -> Uuid {
    let ms = u64::try_from(now_ms).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(ms, &rand::random()).into_uuid()
}
