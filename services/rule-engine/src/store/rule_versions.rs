//! SQL for what was ever published of rules. Rows are added and never changed.

use std::{collections::HashMap, sync::Arc};

use attune_api::rules::v1::Rule;
use attune_storage::{Database, Error, Insert, Kind, Row, Tx, args};
use prost::Message;

/// A rule as it was published, or deleted, once.
#[derive(Debug, Clone)]
pub struct StoredVersion {
    pub version: i64,
    pub publish_ms: i64,
    pub comment: String,
    pub is_deletion: bool,
    /// As it was until then, where it was deleted.
    pub rule: Rule,
}

/// The newest version of each of these rules that was ever published.
pub async fn newest(
    database: &Database,
    workspace: &str,
    rule_ids: Vec<String>,
) -> Result<HashMap<String, i64>, Error> {
    const NEWEST: &str = "select rule_id, max(version) from rule_versions \
         where workspace = $1 and rule_id in list($2) group by rule_id";
    let rows = database
        .fetch_all(NEWEST, args![workspace, rule_ids])
        .await?;
    let read = |row: &Row| Ok((row.get(0)?, row.get(1)?));
    rows.iter().map(read).collect()
}

pub async fn get(
    database: &Database,
    workspace: &str,
    rule_id: &str,
    version: i64,
) -> Result<Option<StoredVersion>, Error> {
    const GET: &str = "select version, publish_ms, comment, is_deletion, data \
         from rule_versions where workspace = $1 and rule_id = $2 and version = $3";
    let args = args![workspace, rule_id, version];
    let row = database.fetch_optional(GET, args).await?;
    row.as_ref().map(read).transpose()
}

/// Versions before one, the newest first.
pub async fn page(
    database: &Database,
    workspace: &str,
    rule_id: &str,
    before: i64,
    limit: i64,
) -> Result<Vec<StoredVersion>, Error> {
    const PAGE: &str = "select version, publish_ms, comment, is_deletion, data \
         from rule_versions where workspace = $1 and rule_id = $2 and version < $3 \
         order by version desc limit $4";
    let args = args![workspace, rule_id, before, limit];
    let rows = database.fetch_all(PAGE, args).await?;
    rows.iter().map(read).collect()
}

pub async fn append(
    tx: &mut Tx,
    workspace: &Arc<str>,
    versions: &[StoredVersion],
) -> Result<(), Error> {
    const APPEND: Insert = Insert {
        table: "rule_versions",
        columns: &[
            ("workspace", Kind::Text),
            ("rule_id", Kind::Text),
            ("version", Kind::Int),
            ("publish_ms", Kind::Int),
            ("comment", Kind::Text),
            ("is_deletion", Kind::Bool),
            ("data", Kind::Bytes),
        ],
        tail: "",
    };
    if versions.is_empty() {
        return Ok(());
    }
    let rows = versions.iter().map(|version| {
        args![
            workspace,
            &version.rule.rule_id,
            version.version,
            version.publish_ms,
            &version.comment,
            version.is_deletion,
            version.rule.encode_to_vec()
        ]
    });
    tx.insert_many(&APPEND, rows.collect()).await.map(drop)
}

fn read(row: &Row) -> Result<StoredVersion, Error> {
    let data: bytes::Bytes = row.get(4)?;
    let rule = Rule::decode(data).unwrap_or_else(|error| {
        tracing::error!(%error, "a stored version cannot be read");
        Rule::default()
    });
    Ok(StoredVersion {
        version: row.get(0)?,
        publish_ms: row.get(1)?,
        comment: row.get(2)?,
        is_deletion: row.get(3)?,
        rule,
    })
}
