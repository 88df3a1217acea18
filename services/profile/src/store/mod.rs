//! SQL for profiles, identities, the timeline and the log. Knows nothing of gRPC or of
//! memory, and decides nothing; every statement is scoped by workspace. Inside a write,
//! call `lock` first: what is looked up afterwards stays true until the commit.

pub mod audiences;
pub mod audit;
pub mod codec;
pub mod consents;
pub mod due;
pub mod erasure;
pub mod fills;
pub mod history;
pub mod identities;
pub mod kept;
pub mod members;
pub mod merges;
pub mod outbox;
pub mod profiles;
pub mod purposes;
pub mod quality;
pub mod retention;
pub mod schema;
pub mod sealing;
pub mod segments;
pub mod timeline;

use attune_storage::{Database, Error, Migrations, Tx, args};

/// The schema of this service's database.
pub static MIGRATIONS: Migrations = attune_storage::migrations![
    "0001_profiles.sql",
    "0002_identity.sql",
    "0003_privacy.sql",
    "0004_audit.sql",
    "0005_consent.sql",
    "0006_schema.sql",
    "0007_segments.sql",
    "0009_audience.sql",
    "0010_revisions.sql",
    "0011_ties.sql",
    "0013_segments.sql",
];

/// A writer's turn.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// The first sequence number that is free.
    next: i64,
    /// The last number before this turn, and the last that is its own: every turn has
    /// one at least, so that who had the last turn can see whether there was another.
    pub before: i64,
    pub last: i64,
    /// Of what is declared; see `0010_revisions.sql`.
    pub revision: i64,
}

impl Turn {
    /// The first of `count` sequence numbers.
    pub fn take(&mut self, count: usize) -> i64 {
        let first = self.next;
        self.next = first.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
        first
    }

    /// As [`Turn::take`], where nobody could tell beforehand how many there would be.
    pub async fn take_more(&mut self, tx: &mut Tx, count: usize) -> Result<i64, Error> {
        const MORE: &str =
            "update writers set sequence = sequence + $1 where id = 1 returning sequence";
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let row = tx.fetch_optional(MORE, args![count]).await?;
        self.last = row.map_or(Ok(0), |row| row.get(0))?;
        Ok(self.last - count + 1)
    }
}

/// Makes this the only writer until the commit, with `count` sequence numbers to take.
pub async fn lock(tx: &mut Tx, count: usize) -> Result<Turn, Error> {
    const TAKE: &str = "update writers set sequence = sequence + $1 where id = 1 \
         returning sequence, revision";
    turn(tx, TAKE, count).await
}

/// As [`lock`], for a write that changes what a workspace declares.
pub async fn lock_to_declare(tx: &mut Tx) -> Result<Turn, Error> {
    const DECLARE: &str = "update writers set sequence = sequence + $1, \
         revision = revision + 1 where id = 1 returning sequence, revision";
    turn(tx, DECLARE, 0).await
}

async fn turn(tx: &mut Tx, sql: &'static str, count: usize) -> Result<Turn, Error> {
    let count = i64::try_from(count).unwrap_or(i64::MAX).max(1);
    let row = tx.fetch_optional(sql, args![count]).await?;
    let (last, revision) = match row {
        Some(row) => (row.get::<i64>(0)?, row.get(1)?),
        None => (0, 0),
    };
    Ok(Turn {
        next: last - count + 1,
        before: last - count,
        last,
        revision,
    })
}

/// The revision of what is declared, as it was committed last.
pub async fn revision(database: &Database) -> Result<i64, Error> {
    const REVISION: &str = "select revision from writers where id = 1";
    let row = database.fetch_optional(REVISION, args![]).await?;
    row.map_or(Ok(0), |row| row.get(0))
}
