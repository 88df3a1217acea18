//! SQL for profiles, identities, the timeline and the log. Knows nothing of gRPC or of
//! memory, and decides nothing; every statement is scoped by workspace. Inside a write,
//! call `lock` first: what is looked up afterwards stays true until the commit.

pub mod codec;
pub mod identities;
pub mod outbox;
pub mod profiles;
pub mod timeline;

use attune_storage::{Error, Migrations, Tx, args};

/// The schema of this service's database.
pub static MIGRATIONS: Migrations = attune_storage::migrations!["0001_profiles.sql"];

/// Makes this the only writer until the commit, and reserves `count` sequence numbers;
/// returns the first.
pub async fn lock(tx: &mut Tx, count: usize) -> Result<i64, Error> {
    const TAKE: &str =
        "update writers set sequence = sequence + $1 where id = 1 returning sequence";
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let row = tx.fetch_optional(TAKE, args![count]).await?;
    let last: i64 = row.map_or(Ok(0), |row| row.get(0))?;
    Ok(last - count + 1)
}
