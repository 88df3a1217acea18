//! SQL for dropping what is too old, some at a time, and for how far a pass over all
//! people has come. Never decides what is too old.

use attune_storage::{Database, Error, Row, Sql, Tx, Value, args};

use super::{codec, profiles::texts};
use crate::domain::{
    ProfileId,
    retention::{Names, Rule},
};

/// Where a pass over all people stands. `Place::default()` is before the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    pub workspace: String,
    /// The last that was looked at; empty at the beginning of the workspace.
    pub profile_id: String,
}

/// Times of a pass, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub now_ms: i64,
    /// From the beginning of one pass to that of the next.
    pub every_ms: i64,
    /// After so long without progress, another process takes over.
    pub lease_ms: i64,
}

/// Whether a pass may begin or go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    From(Place),
    /// It is not time, or another process is at it; as far as can be told, until then.
    NotBefore(i64),
}

/// Takes the pass that is to be made now, if there is one.
pub async fn claim(tx: &mut Tx, times: Times) -> Result<Claim, Error> {
    const READ: Sql = Sql::each(
        "select done, begin_ms, progress_ms, workspace, profile_id from retention where id = 1",
        "select done, begin_ms, progress_ms, workspace, profile_id from retention where id = 1 \
         for update",
    );
    const BEGIN: &str = "update retention set done = false, begin_ms = $1, progress_ms = $1, \
         workspace = '', profile_id = '' where id = 1";
    const RESUME: &str = "update retention set progress_ms = $1 where id = 1";
    let Some(row) = tx.fetch_optional(READ, args![]).await? else {
        return Ok(Claim::NotBefore(i64::MAX));
    };
    let done: bool = row.get(0)?;
    let (begin_ms, progress_ms): (i64, i64) = (row.get(1)?, row.get(2)?);
    let now = args![times.now_ms];
    if done {
        let next_ms = begin_ms.saturating_add(times.every_ms);
        if next_ms > times.now_ms {
            return Ok(Claim::NotBefore(next_ms));
        }
        tx.execute(BEGIN, now).await?;
        return Ok(Claim::From(Place::default()));
    }
    let free_ms = progress_ms.saturating_add(times.lease_ms);
    if free_ms > times.now_ms {
        return Ok(Claim::NotBefore(free_ms));
    }
    tx.execute(RESUME, now).await?;
    Ok(Claim::From(Place {
        workspace: row.get(3)?,
        profile_id: row.get(4)?,
    }))
}

/// How far it has come.
pub async fn progress(tx: &mut Tx, place: &Place, now_ms: i64) -> Result<(), Error> {
    const PROGRESS: &str = "update retention set progress_ms = $1, workspace = $2, \
         profile_id = $3 where id = 1";
    let args = args![now_ms, &place.workspace, &place.profile_id];
    tx.execute(PROGRESS, args).await.map(drop)
}

pub async fn finish(tx: &mut Tx) -> Result<(), Error> {
    const FINISH: &str = "update retention set done = true where id = 1";
    tx.execute(FINISH, args![]).await.map(drop)
}

/// The next workspace that has any people or entries, in the order of their names.
pub async fn workspace_after(
    database: &Database,
    workspace: &str,
) -> Result<Option<String>, Error> {
    const NEXT: &str = "select min(workspace) from \
         (select min(workspace) as workspace from profiles where workspace > $1 \
          union all select min(workspace) from audit_heads where workspace > $1) as names";
    let row = database.fetch_optional(NEXT, args![workspace]).await?;
    row.map_or(Ok(None), |row| row.get(0))
}

/// Living profiles after one, oldest first.
pub async fn people_after(
    database: &Database,
    place: &Place,
    limit: i64,
) -> Result<Vec<ProfileId>, Error> {
    const AFTER: &str = "select profile_id from profiles \
         where workspace = $1 and profile_id > $2 and merged_into is null \
         order by profile_id limit $3";
    let args = args![&place.workspace, &place.profile_id, limit];
    ids(&database.fetch_all(AFTER, args).await?)
}

/// What a rule is applied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    Events,
    TraitHistory,
}

impl Table {
    const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::TraitHistory => "trait_history",
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::Events => "type",
            Self::TraitHistory => "trait_id",
        }
    }

    /// The rows of some people that a rule calls too old, and the parameters.
    fn too_old(self, workspace: &str, people: &[ProfileId], rule: &Rule) -> (String, Vec<Value>) {
        let (named, names) = match &rule.names {
            Names::Only(names) => (format!("{} in list($4)", self.kind()), names),
            Names::AllBut(names) => (format!("not ({} in list($4))", self.kind()), names),
        };
        let text = format!(
            "from {} where workspace = $1 and profile_id in list($2) and time_ms < $3 and {named}",
            self.name()
        );
        let args = args![workspace, texts(people), rule.before_ms, names.clone()];
        (text, args)
    }
}

/// Those of the people who have rows that are too old.
pub async fn owners(
    database: &Database,
    table: Table,
    workspace: &str,
    people: &[ProfileId],
    rule: &Rule,
) -> Result<Vec<ProfileId>, Error> {
    let (too_old, args) = table.too_old(workspace, people, rule);
    let sql = format!("select distinct profile_id {too_old}");
    ids(&database.fetch_all(Sql::built(sql), args).await?)
}

/// Drops at most `limit` rows that are too old. Whose they were, once for each row.
pub async fn drop_rows(
    tx: &mut Tx,
    table: Table,
    workspace: &str,
    people: &[ProfileId],
    rule: &Rule,
    limit: i64,
) -> Result<Vec<ProfileId>, Error> {
    let (too_old, mut args) = table.too_old(workspace, people, rule);
    args.extend(args![limit]);
    let key = match table {
        Table::Events => "workspace, profile_id, time_ms, sequence",
        Table::TraitHistory => "workspace, profile_id, trait_id, time_ms, sequence",
    };
    let sql = format!(
        "delete from {} where ({key}) in (select {key} {too_old} limit $5) returning profile_id",
        table.name()
    );
    ids(&tx.fetch_all(Sql::built(sql), args).await?)
}

/// Those of the people who are no known customers and of whom nothing was heard since.
pub async fn idle(
    database: &Database,
    workspace: &str,
    people: &[ProfileId],
    since_ms: i64,
) -> Result<Vec<ProfileId>, Error> {
    let args = args![workspace, texts(people), since_ms];
    ids(&database.fetch_all(IDLE, args).await?)
}

/// The same inside a write, which sees whoever came back meanwhile.
pub async fn still_idle(
    tx: &mut Tx,
    workspace: &str,
    profile_id: ProfileId,
    since_ms: i64,
) -> Result<bool, Error> {
    let args = args![workspace, texts(&[profile_id]), since_ms];
    Ok(!tx.fetch_all(IDLE, args).await?.is_empty())
}

const IDLE: &str = "select p.profile_id from profiles p \
     where p.workspace = $1 and p.profile_id in list($2) and p.merged_into is null \
     and not p.known and p.update_ms < $3 and not exists \
     (select 1 from events e where e.workspace = p.workspace \
      and e.profile_id = p.profile_id and e.receive_ms >= $3)";

/// Forgets ids of messages received before a moment: looks at `limit` of them after an
/// id, and says which was the last and how many went; None where there are no more.
pub async fn drop_messages(
    tx: &mut Tx,
    workspace: &str,
    after: &str,
    before_ms: i64,
    limit: i64,
) -> Result<Option<(String, u64)>, Error> {
    const LAST: &str = "select max(message_id) from (select message_id from messages \
         where workspace = $1 and message_id > $2 order by message_id limit $3) as page";
    const DROP: &str = "delete from messages where workspace = $1 and message_id > $2 \
         and message_id <= $3 and receive_ms < $4";
    let row = tx
        .fetch_optional(LAST, args![workspace, after, limit])
        .await?;
    let last: Option<String> = row.map_or(Ok(None), |row| row.get(0))?;
    let Some(last) = last else { return Ok(None) };
    let args = args![workspace, after, last.clone(), before_ms];
    let dropped = tx.execute(DROP, args).await?;
    Ok(Some((last, dropped)))
}

fn ids(rows: &[Row]) -> Result<Vec<ProfileId>, Error> {
    rows.iter().map(|row| codec::profile_id(row, 0)).collect()
}
