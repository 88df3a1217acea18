//! SQL for rules: what is in force and the drafts beside it. Knows nothing of versions
//! or of what a rule may hold.

use std::sync::Arc;

use attune_api::rules::v1::Rule;
use attune_storage::{Database, Error, Insert, Kind, Row, Tx, args};
use prost::Message;

/// A rule with its draft; at least one of the two is there.
#[derive(Debug, Clone, Default)]
pub struct StoredRule {
    pub rule_id: String,
    /// Of what is in force; 0 where nothing is.
    pub version: i64,
    pub published: Option<StoredSide>,
    pub draft: Option<StoredSide>,
}

/// One state of a rule, without what only the store knows.
#[derive(Debug, Clone, Default)]
pub struct StoredSide {
    pub rule: Rule,
    pub etag: String,
    pub create_ms: i64,
    pub update_ms: i64,
}

/// Which rules a list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Published,
    Draft,
}

/// By id; those that do not exist are left out.
pub async fn get(
    database: &Database,
    workspace: &str,
    rule_ids: Vec<String>,
) -> Result<Vec<StoredRule>, Error> {
    const GET: &str = "select rule_id, version, etag, data, create_ms, update_ms, \
             draft_etag, draft_data, draft_create_ms, draft_update_ms from rules \
         where workspace = $1 and rule_id = $2";
    const GET_MANY: &str = "select rule_id, version, etag, data, create_ms, update_ms, \
             draft_etag, draft_data, draft_create_ms, draft_update_ms from rules \
         where workspace = $1 and rule_id in list($2) order by rule_id";
    let rows = match rule_ids.as_slice() {
        [only] => database.fetch_all(GET, args![workspace, only]).await?,
        _ => {
            database
                .fetch_all(GET_MANY, args![workspace, rule_ids])
                .await?
        }
    };
    read_all(&rows)
}

/// A page of the rules that have this side, by id.
pub async fn page(
    database: &Database,
    workspace: &str,
    side: Side,
    after: &str,
    limit: i64,
) -> Result<Vec<StoredRule>, Error> {
    const PUBLISHED: &str = "select rule_id, version, etag, data, create_ms, update_ms, \
             draft_etag, draft_data, draft_create_ms, draft_update_ms from rules \
         where workspace = $1 and rule_id > $2 and data is not null \
         order by rule_id limit $3";
    const DRAFTS: &str = "select rule_id, version, etag, data, create_ms, update_ms, \
             draft_etag, draft_data, draft_create_ms, draft_update_ms from rules \
         where workspace = $1 and rule_id > $2 and draft_data is not null \
         order by rule_id limit $3";
    let sql = match side {
        Side::Published => PUBLISHED,
        Side::Draft => DRAFTS,
    };
    let rows = database
        .fetch_all(sql, args![workspace, after, limit])
        .await?;
    read_all(&rows)
}

/// What is in force in all workspaces: a page in the order of keys, with each row's
/// workspace and id, whether it can be read or not.
pub async fn published_after(
    database: &Database,
    workspace: &str,
    rule_id: &str,
) -> Result<Vec<(Arc<str>, String, Option<Rule>)>, Error> {
    const PAGE: &str = "select workspace, rule_id, data from rules \
         where (workspace > $1 or (workspace = $1 and rule_id > $2)) and data is not null \
         order by workspace, rule_id limit 1000";
    let rows = database.fetch_all(PAGE, args![workspace, rule_id]).await?;
    let read = |row: &Row| Ok((row.get(0)?, row.get(1)?, decode(row, 2)?));
    rows.iter().map(read).collect()
}

/// The same of one workspace, as a transaction sees it.
pub async fn published_within(
    tx: &mut Tx,
    workspace: &Arc<str>,
    after: &str,
) -> Result<Vec<(String, Option<Rule>)>, Error> {
    const PAGE: &str = "select rule_id, data from rules \
         where workspace = $1 and rule_id > $2 and data is not null \
         order by rule_id limit 1000";
    let rows = tx.fetch_all(PAGE, args![workspace, after]).await?;
    let read = |row: &Row| Ok((row.get(0)?, decode(row, 1)?));
    rows.iter().map(read).collect()
}

pub async fn put(tx: &mut Tx, workspace: &Arc<str>, rules: &[StoredRule]) -> Result<(), Error> {
    const PUT: Insert = Insert {
        table: "rules",
        columns: &[
            ("workspace", Kind::Text),
            ("rule_id", Kind::Text),
            ("version", Kind::Int),
            ("etag", Kind::Text),
            ("data", Kind::Bytes),
            ("create_ms", Kind::Int),
            ("update_ms", Kind::Int),
            ("draft_etag", Kind::Text),
            ("draft_data", Kind::Bytes),
            ("draft_create_ms", Kind::Int),
            ("draft_update_ms", Kind::Int),
        ],
        tail: "on conflict (workspace, rule_id) do update set version = excluded.version, \
             etag = excluded.etag, data = excluded.data, \
             create_ms = excluded.create_ms, update_ms = excluded.update_ms, \
             draft_etag = excluded.draft_etag, draft_data = excluded.draft_data, \
             draft_create_ms = excluded.draft_create_ms, \
             draft_update_ms = excluded.draft_update_ms",
    };
    if rules.is_empty() {
        return Ok(());
    }
    let rows = rules.iter().map(|stored| {
        let (now, draft) = (stored.published.as_ref(), stored.draft.as_ref());
        args![
            workspace,
            &stored.rule_id,
            stored.version,
            now.map(|side| side.etag.clone()),
            now.map(|side| side.rule.encode_to_vec()),
            now.map(|side| side.create_ms),
            now.map(|side| side.update_ms),
            draft.map(|side| side.etag.clone()),
            draft.map(|side| side.rule.encode_to_vec()),
            draft.map(|side| side.create_ms),
            draft.map(|side| side.update_ms)
        ]
    });
    tx.insert_many(&PUT, rows.collect()).await.map(drop)
}

pub async fn delete(tx: &mut Tx, workspace: &Arc<str>, rule_id: &str) -> Result<(), Error> {
    const DELETE: &str = "delete from rules where workspace = $1 and rule_id = $2";
    tx.execute(DELETE, args![workspace, rule_id])
        .await
        .map(drop)
}

fn read_all(rows: &[Row]) -> Result<Vec<StoredRule>, Error> {
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<StoredRule, Error> {
    Ok(StoredRule {
        rule_id: row.get(0)?,
        version: row.get(1)?,
        published: side(row, 2)?,
        draft: side(row, 6)?,
    })
}

/// `etag, data, create_ms, update_ms` from a column on, all of them null or none.
fn side(row: &Row, column: usize) -> Result<Option<StoredSide>, Error> {
    let etag: Option<String> = row.get(column)?;
    let Some(etag) = etag else {
        return Ok(None);
    };
    let Some(rule) = decode(row, column + 1)? else {
        return Ok(None);
    };
    Ok(Some(StoredSide {
        rule,
        etag,
        create_ms: row.get(column + 2)?,
        update_ms: row.get(column + 3)?,
    }))
}

/// None, and told, where it cannot be read.
fn decode(row: &Row, column: usize) -> Result<Option<Rule>, Error> {
    let data: bytes::Bytes = row.get(column)?;
    let rule = Rule::decode(data);
    if let Err(error) = &rule {
        tracing::error!(%error, "a stored rule cannot be read");
    }
    Ok(rule.ok())
}
