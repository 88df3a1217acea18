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
    /// Where it was shown, by what, and the rules that touched it; empty where the
    /// token was made before tokens told.
    pub placement: String,
    pub strategy: String,
    pub channel: String,
    pub rule_ids: Vec<String>,
}

/// Stores outcomes and gives the keys of those that were new. Each gets a sequence
/// number in the order of commits, so that who follows by number misses none.
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
            ("sequence", Kind::Int),
            ("placement", Kind::Text),
            ("strategy", Kind::Text),
            ("channel", Kind::Text),
            ("rule_ids", Kind::Text),
        ],
        tail: "on conflict do nothing returning outcome_key",
    };
    let first = take_sequence(tx, outcomes.len()).await?;
    let rows = outcomes
        .iter()
        .zip(first..)
        .map(|(o, sequence)| -> Vec<Value> {
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
                record_ms,
                sequence,
                &o.placement,
                &o.strategy,
                &o.channel,
                // Ids have no blanks.
                o.rule_ids.join(" ")
            ]
        });
    let new = tx.insert_many_returning(&INSERT, rows.collect()).await?;
    new.iter().map(|row| row.get(0)).collect()
}

/// The first of so many numbers. Whoever takes some holds the row until the commit, so
/// that numbers become visible in their order; numbers of duplicates are never used.
async fn take_sequence(tx: &mut Tx, count: usize) -> Result<i64, Error> {
    const TAKE: &str =
        "update outcome_head set sequence = sequence + $1 where id = 1 returning sequence";
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let taken = tx.fetch_all(TAKE, args![count]).await?;
    let last: i64 = taken.first().map_or(Ok(count), |row| row.get(0))?;
    Ok(last - count + 1)
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
