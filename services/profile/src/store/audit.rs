//! SQL for the audit log: appended to and read, and dropped only at its oldest end.
//! Never changes an entry.

use attune_storage::{Database, Error, Insert, Kind, Row, Sql, Tx, args};

use crate::domain::audit::{Access, Entry, Hash, Link};

/// The ends of a workspace's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    pub head: Link,
    /// The entry before the oldest that is kept.
    pub base: Link,
}

impl Ends {
    /// Of a chain without entries.
    pub const NONE: Self = Self {
        head: Link::ORIGIN,
        base: Link::ORIGIN,
    };
}

/// Appends in order. Inside a write that holds [`super::lock`]: locks are always taken
/// in that order, or processes would wait for each other.
pub async fn append(
    tx: &mut Tx,
    workspace: &str,
    accesses: Vec<Access>,
) -> Result<Vec<Entry>, Error> {
    const APPEND: Insert = Insert {
        table: "audit_entries",
        columns: &[
            ("workspace", Kind::Text),
            ("sequence", Kind::Int),
            ("time_ms", Kind::Int),
            ("actor", Kind::Text),
            ("action", Kind::Text),
            ("profile_id", Kind::Text),
            ("request_id", Kind::Text),
            ("detail", Kind::Text),
            ("hash", Kind::Bytes),
        ],
        tail: "",
    };
    const MOVE: &str = "update audit_heads set sequence = $2, hash = $3 where workspace = $1";
    let mut last = head_to_move(tx, workspace).await?;
    let mut entries = Vec::with_capacity(accesses.len());
    for access in accesses {
        let entry = last.next(workspace, access);
        last = Link::from(&entry);
        entries.push(entry);
    }
    let rows = entries.iter().map(|entry| {
        let access = &entry.access;
        args![
            workspace,
            entry.sequence,
            access.time_ms,
            &access.actor,
            &access.action,
            &access.profile_id,
            &access.request_id,
            &access.detail,
            entry.hash.as_slice(),
        ]
    });
    tx.insert_many(&APPEND, rows.collect()).await?;
    let moved = args![workspace, last.sequence, last.hash.as_slice()];
    tx.execute(MOVE, moved).await?;
    Ok(entries)
}

/// The head, locked until the commit.
async fn head_to_move(tx: &mut Tx, workspace: &str) -> Result<Link, Error> {
    const BEGIN: &str = "insert into audit_heads \
         (workspace, sequence, hash, base_sequence, base_hash) values ($1, 0, $2, 0, $2) \
         on conflict (workspace) do nothing";
    const HEAD: Sql = Sql::each(
        "select sequence, hash from audit_heads where workspace = $1",
        "select sequence, hash from audit_heads where workspace = $1 for update",
    );
    if let Some(row) = tx.fetch_optional(HEAD, args![workspace]).await? {
        return link(&row, 0);
    }
    let origin = Link::ORIGIN;
    tx.execute(BEGIN, args![workspace, origin.hash.as_slice()])
        .await?;
    match tx.fetch_optional(HEAD, args![workspace]).await? {
        Some(row) => link(&row, 0),
        None => Ok(origin),
    }
}

pub async fn ends(database: &Database, workspace: &str) -> Result<Ends, Error> {
    const ENDS: &str = "select sequence, hash, base_sequence, base_hash from audit_heads \
         where workspace = $1";
    let row = database.fetch_optional(ENDS, args![workspace]).await?;
    row.map_or(Ok(Ends::NONE), |row| {
        Ok(Ends {
            head: link(&row, 0)?,
            base: link(&row, 2)?,
        })
    })
}

const COLUMNS: &str = "sequence, time_ms, actor, action, profile_id, request_id, detail, hash";

/// Entries after one, oldest first.
pub async fn after(
    database: &Database,
    workspace: &str,
    sequence: i64,
    limit: i64,
) -> Result<Vec<Entry>, Error> {
    let sql = format!(
        "select {COLUMNS} from audit_entries where workspace = $1 and sequence > $2 \
         order by sequence limit $3"
    );
    let args = args![workspace, sequence, limit];
    let rows = database.fetch_all(Sql::built(sql), args).await?;
    rows.iter().map(entry).collect()
}

/// Entries before one, newest first; of these profiles, or of anybody if none is named.
pub async fn before(
    database: &Database,
    workspace: &str,
    profile_ids: &[String],
    sequence: i64,
    limit: i64,
) -> Result<Vec<Entry>, Error> {
    // The index is on entries that are about somebody.
    let of = match profile_ids.is_empty() {
        true => "",
        false => "and profile_id in list($4) and profile_id <> ''",
    };
    let sql = format!(
        "select {COLUMNS} from audit_entries where workspace = $1 and sequence < $2 {of} \
         order by sequence desc limit $3"
    );
    let mut args = args![workspace, sequence, limit];
    if !profile_ids.is_empty() {
        args.extend(args![profile_ids.to_vec()]);
    }
    let rows = database.fetch_all(Sql::built(sql), args).await?;
    rows.iter().map(entry).collect()
}

/// Drops the oldest entries from before a moment, at most `limit` of them, and keeps
/// where the chain goes on. Says how many went. Inside a write that holds
/// [`super::lock`].
pub async fn trim(
    tx: &mut Tx,
    workspace: &str,
    before_ms: i64,
    limit: i64,
) -> Result<usize, Error> {
    const OLDEST: &str = "select sequence, hash, time_ms from audit_entries \
         where workspace = $1 order by sequence limit $2";
    const DROP: &str = "delete from audit_entries where workspace = $1 and sequence <= $2";
    const MOVE: &str = "update audit_heads set base_sequence = $2, base_hash = $3 \
         where workspace = $1";
    let rows = tx.fetch_all(OLDEST, args![workspace, limit]).await?;
    let mut last = None;
    let mut count = 0;
    for row in &rows {
        if row.get::<i64>(2)? >= before_ms {
            break;
        }
        last = Some(link(row, 0)?);
        count += 1;
    }
    if let Some(last) = last {
        tx.execute(DROP, args![workspace, last.sequence]).await?;
        let args = args![workspace, last.sequence, last.hash.as_slice()];
        tx.execute(MOVE, args).await?;
    }
    Ok(count)
}

fn entry(row: &Row) -> Result<Entry, Error> {
    Ok(Entry {
        sequence: row.get(0)?,
        access: Access {
            time_ms: row.get(1)?,
            actor: row.get(2)?,
            action: row.get(3)?,
            profile_id: row.get(4)?,
            request_id: row.get(5)?,
            detail: row.get(6)?,
        },
        hash: hash(row, 7)?,
    })
}

fn link(row: &Row, index: usize) -> Result<Link, Error> {
    Ok(Link {
        sequence: row.get(index)?,
        hash: hash(row, index + 1)?,
    })
}

/// A hash of another length is none that we made: it fits no entry.
fn hash(row: &Row, index: usize) -> Result<Hash, Error> {
    let bytes: Vec<u8> = row.get(index)?;
    Ok(bytes.try_into().unwrap_or_default())
}
