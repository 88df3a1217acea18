//! SQL for what is being filled in or cleared away, and how far that has come.

use std::{collections::BTreeMap, sync::Arc};

use attune_storage::{Database, Error, Insert, Kind, Row, Tx, args};

use crate::domain::derive::Name;

/// One that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    pub name: Name,
    /// The last profile that was looked at; empty at the start.
    pub after: String,
    pub looked_at: i64,
    /// Profiles there were when it began.
    pub total: i64,
}

impl Fill {
    /// The share of the profiles that was looked at. Never 1: then it is over.
    pub fn progress(&self) -> f64 {
        match self.total {
            0 => 0.0,
            total => (self.looked_at as f64 / total as f64).min(0.999),
        }
    }
}

fn key(name: &Name) -> (&'static str, &Arc<str>) {
    match name {
        Name::Segment(id) => ("segment", id),
        Name::Trait(id) => ("trait", id),
    }
}

/// Begins with some, each named once, or begins again.
pub async fn begin<'a>(
    tx: &mut Tx,
    workspace: &Arc<str>,
    names: impl IntoIterator<Item = &'a Name>,
) -> Result<(), Error> {
    const TOTAL: &str = "select count(*) from profiles \
         where workspace = $1 and merged_into is null";
    const BEGIN: Insert = Insert {
        table: "fills",
        columns: &[
            ("workspace", Kind::Text),
            ("kind", Kind::Text),
            ("id", Kind::Text),
            ("after_id", Kind::Text),
            ("looked_at", Kind::Int),
            ("total", Kind::Int),
        ],
        tail: "on conflict (workspace, kind, id) do update set \
             after_id = '', looked_at = 0, total = excluded.total",
    };
    let mut names = names.into_iter().map(key).peekable();
    if names.peek().is_none() {
        return Ok(());
    }
    let row = tx.fetch_optional(TOTAL, args![workspace]).await?;
    let total: i64 = row.map_or(Ok(0), |row| row.get(0))?;
    let rows = names
        .map(|(kind, id)| args![workspace, kind, id, "", 0_i64, total])
        .collect();
    tx.insert_many(&BEGIN, rows).await.map(drop)
}

pub async fn end(tx: &mut Tx, workspace: &Arc<str>, name: &Name) -> Result<(), Error> {
    const END: &str = "delete from fills where workspace = $1 and kind = $2 and id = $3";
    let (kind, id) = key(name);
    tx.execute(END, args![workspace, kind, id]).await.map(drop)
}

/// Those that come next in a workspace: the ones that have come least far, together.
pub async fn next(tx: &mut Tx, workspace: &Arc<str>) -> Result<Vec<Fill>, Error> {
    const NEXT: &str = "select kind, id, after_id, looked_at, total from fills \
         where workspace = $1 and after_id = \
         (select min(after_id) from fills where workspace = $1) \
         order by kind, id limit 100000";
    let rows = tx.fetch_all(NEXT, args![workspace]).await?;
    rows.iter().map(read).collect()
}

/// Moves all that stand at `from` on by some profiles, to the last of them.
pub async fn advance(
    tx: &mut Tx,
    workspace: &Arc<str>,
    from: &str,
    to: &str,
    looked_at: i64,
) -> Result<(), Error> {
    const ADVANCE: &str = "update fills set after_id = $3, looked_at = looked_at + $4 \
         where workspace = $1 and after_id = $2";
    let args = args![workspace, from, to, looked_at];
    tx.execute(ADVANCE, args).await.map(drop)
}

/// A workspace in which something is under way, after another.
pub async fn workspace_after(database: &Database, after: &str) -> Result<Option<Arc<str>>, Error> {
    const AFTER: &str = "select workspace from fills where workspace > $1 \
         order by workspace limit 1";
    let row = database.fetch_optional(AFTER, args![after]).await?;
    row.map(|row| row.get(0)).transpose()
}

/// How far some segments have come, of those that are under way.
pub async fn of_segments(
    database: &Database,
    workspace: &str,
    ids: Vec<String>,
) -> Result<BTreeMap<Name, Fill>, Error> {
    const OF: &str = "select kind, id, after_id, looked_at, total from fills \
         where workspace = $1 and kind = 'segment' and id in list($2)";
    let rows = database.fetch_all(OF, args![workspace, ids]).await?;
    let fills = rows.iter().map(read);
    fills
        .map(|fill| fill.map(|f| (f.name.clone(), f)))
        .collect()
}

fn read(row: &Row) -> Result<Fill, Error> {
    let (kind, id): (String, Arc<str>) = (row.get(0)?, row.get(1)?);
    Ok(Fill {
        name: match kind.as_str() {
            "trait" => Name::Trait(id),
            _ => Name::Segment(id),
        },
        after: row.get(2)?,
        looked_at: row.get(3)?,
        total: row.get(4)?,
    })
}
