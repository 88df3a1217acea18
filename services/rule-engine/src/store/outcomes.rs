//! SQL for what people did with what they were shown. A key makes each count once.

use attune_storage::{Database, Error, Insert, Kind, Tx, Value, args};

/// One outcome, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredOutcome {
    pub key: String,
    pub decision_id: String,
    pub position: i64,
    pub outcome_type: i32,
    pub item_id: String,
    pub profile_id: String,
    pub value: f64,
    pub time_ms: i64,
}

/// Stores outcomes and gives the keys of those that were new.
pub async fn insert(
    tx: &mut Tx,
    workspace: &str,
    outcomes: &[StoredOutcome],
    record_ms: i64,
) -> Result<Vec<String>, Error> {
    const INSERT: Insert = Insert {
        table: "outcomes",
        columns: &[
            ("workspace", Kind::Text),
            ("outcome_key", Kind::Text),
            ("decision_id", Kind::Text),
            ("position", Kind::Int),
            ("outcome_type", Kind::Int),
            ("item_id", Kind::Text),
            ("profile_id", Kind::Text),
            ("value", Kind::Real),
            ("time_ms", Kind::Int),
            ("record_ms", Kind::Int),
        ],
        tail: "on conflict do nothing returning outcome_key",
    };
    let rows = outcomes.iter().map(|o| -> Vec<Value> {
        args![
            workspace,
            &o.key,
            &o.decision_id,
            o.position,
            o.outcome_type,
            &o.item_id,
            &o.profile_id,
            o.value,
            o.time_ms,
            record_ms
        ]
    });
    let new = tx.insert_many_returning(&INSERT, rows.collect()).await?;
    new.iter().map(|row| row.get(0)).collect()
}

/// What became of a decision, in order of time: position, type, value, time.
pub async fn of_decision(
    database: &Database,
    workspace: &str,
    decision_id: &str,
) -> Result<Vec<(i64, i32, f64, i64)>, Error> {
    const OF_DECISION: &str = "select position, outcome_type, value, time_ms from outcomes \
         where workspace = $1 and decision_id = $2 \
         order by time_ms, position, outcome_type limit 10000";
    let rows = database
        .fetch_all(OF_DECISION, args![workspace, decision_id])
        .await?;
    rows.iter()
        .map(|row| {
            let outcome_type: i64 = row.get(1)?;
            Ok((
                row.get(0)?,
                i32::try_from(outcome_type).unwrap_or_default(),
                row.get(2)?,
                row.get(3)?,
            ))
        })
        .collect()
}

/// Drops the outcomes of decisions before an id.
pub async fn trim(tx: &mut Tx, before_id: &str) -> Result<u64, Error> {
    const TRIM: &str = "delete from outcomes where decision_id < $1";
    tx.execute(TRIM, args![before_id]).await
}
