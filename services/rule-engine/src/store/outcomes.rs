//! SQL for what people did with what they were shown. A key makes each count once.

use std::sync::Arc;

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
    /// It came within the attribution window.
    pub attributed: bool,
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
            ("attributed", Kind::Bool),
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
                o.rule_ids.join(" "),
                o.attributed
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

/// One outcome of a decision.
#[derive(Debug)]
pub struct DecisionOutcome {
    pub position: i64,
    pub outcome_type: i32,
    pub value: f64,
    pub time_ms: i64,
    pub attributed: bool,
}

/// What became of a decision, in order of time.
pub async fn of_decision(
    database: &Database,
    workspace: &str,
    decision_id: &str,
) -> Result<Vec<DecisionOutcome>, Error> {
    const OF_DECISION: &str = "select position, outcome_type, value, time_ms, attributed \
         from outcomes where workspace = $1 and decision_id = $2 \
         order by time_ms, position, outcome_type limit 10000";
    let rows = database
        .fetch_all(OF_DECISION, args![workspace, decision_id])
        .await?;
    rows.iter()
        .map(|row| {
            Ok(DecisionOutcome {
                position: row.get(0)?,
                outcome_type: outcome_type(row.get(1)?),
                value: row.get(2)?,
                time_ms: row.get(3)?,
                attributed: row.get(4)?,
            })
        })
        .collect()
}

/// An outcome as those see it who follow all of them.
#[derive(Debug)]
pub struct SequencedOutcome {
    pub sequence: i64,
    pub workspace: Arc<str>,
    pub decision_id: String,
    pub position: i64,
    pub outcome_type: i32,
    pub item_id: Arc<str>,
    pub value: f64,
    pub attributed: bool,
    pub placement: Arc<str>,
    pub strategy: Arc<str>,
    pub channel: Arc<str>,
    /// Separated by blanks.
    pub rule_ids: String,
}

/// Outcomes of all workspaces after a position, in the order of their commits.
pub async fn after(
    database: &Database,
    sequence: i64,
    limit: i64,
) -> Result<Vec<SequencedOutcome>, Error> {
    const AFTER: &str = "select sequence, workspace, decision_id, position, outcome_type, \
         item_id, value, attributed, placement, strategy, channel, rule_ids \
         from outcomes where sequence > $1 order by sequence limit $2";
    let rows = database.fetch_all(AFTER, args![sequence, limit]).await?;
    rows.iter()
        .map(|row| {
            Ok(SequencedOutcome {
                sequence: row.get(0)?,
                workspace: row.get(1)?,
                decision_id: row.get(2)?,
                position: row.get(3)?,
                outcome_type: outcome_type(row.get(4)?),
                item_id: row.get(5)?,
                value: row.get(6)?,
                attributed: row.get(7)?,
                placement: row.get(8)?,
                strategy: row.get(9)?,
                channel: row.get(10)?,
                rule_ids: row.get(11)?,
            })
        })
        .collect()
}

fn outcome_type(number: i64) -> i32 {
    i32::try_from(number).unwrap_or_default()
}

/// Drops the outcomes of decisions before an id.
pub async fn trim(tx: &mut Tx, before_id: &str) -> Result<u64, Error> {
    const TRIM: &str = "delete from outcomes where decision_id < $1";
    tx.execute(TRIM, args![before_id]).await
}
