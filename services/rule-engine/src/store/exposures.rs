//! SQL for what caps and fatigue count: outcomes in the order in which they were
//! committed, dismissals, merged people, and what was shown of rules with a budget.

use std::sync::Arc;

use attune_storage::{Database, Error, Insert, Kind, Row, Tx, Value, args};

/// Outcomes read at a time.
pub const PAGE: i64 = 5000;
const LOADED_MAX: i64 = 500_000;

/// One outcome as it is followed.
#[derive(Debug, Clone)]
pub struct Followed {
    pub sequence: i64,
    pub workspace: Arc<str>,
    pub decision_id: String,
    pub outcome_type: i32,
    pub item_id: String,
    pub profile_id: String,
    pub time_ms: i64,
    pub placement: String,
    pub channel: String,
    /// Separated by blanks.
    pub rule_ids: String,
}

/// A number that every committed outcome has at most.
pub async fn head(database: &Database) -> Result<i64, Error> {
    const HEAD: &str = "select sequence from outcome_head where id = 1";
    let row = database.fetch_optional(HEAD, args![]).await?;
    row.map_or(Ok(0), |row| row.get(0))
}

/// A page of what came after a number, in order of commits.
pub async fn after(database: &Database, sequence: i64) -> Result<Vec<Followed>, Error> {
    const AFTER: &str = "select sequence, workspace, decision_id, outcome_type, item_id, \
         profile_id, time_ms, placement, channel, rule_ids from outcomes \
         where sequence > $1 order by sequence limit $2";
    let rows = database.fetch_all(AFTER, args![sequence, PAGE]).await?;
    rows.iter().map(followed).collect()
}

/// A page of what came before a number and is not older than a time, the newest first.
pub async fn before(
    database: &Database,
    sequence: i64,
    since_ms: i64,
) -> Result<Vec<Followed>, Error> {
    const BEFORE: &str = "select sequence, workspace, decision_id, outcome_type, item_id, \
         profile_id, time_ms, placement, channel, rule_ids from outcomes \
         where sequence < $1 and sequence > 0 and record_ms >= $2 \
         order by sequence desc limit $3";
    let args = args![sequence, since_ms, PAGE];
    let rows = database.fetch_all(BEFORE, args).await?;
    rows.iter().map(followed).collect()
}

fn followed(row: &Row) -> Result<Followed, Error> {
    let outcome_type: i64 = row.get(3)?;
    Ok(Followed {
        sequence: row.get(0)?,
        workspace: row.get(1)?,
        decision_id: row.get(2)?,
        outcome_type: i32::try_from(outcome_type).unwrap_or_default(),
        item_id: row.get(4)?,
        profile_id: row.get(5)?,
        time_ms: row.get(6)?,
        placement: row.get(7)?,
        channel: row.get(8)?,
        rule_ids: row.get(9)?,
    })
}

/// What a person does not want to see.
#[derive(Debug, Clone)]
pub struct Dismissal {
    pub workspace: Arc<str>,
    pub profile_id: String,
    pub item_id: String,
    pub time_ms: i64,
}

/// Each person and item at most once.
pub async fn dismiss(tx: &mut Tx, dismissals: &[Dismissal]) -> Result<(), Error> {
    const PUT: Insert = Insert {
        table: "dismissals",
        columns: &[
            ("workspace", Kind::Text),
            ("profile_id", Kind::Text),
            ("item_id", Kind::Text),
            ("time_ms", Kind::Int),
        ],
        tail: "on conflict (workspace, profile_id, item_id) do update \
             set time_ms = excluded.time_ms where excluded.time_ms > dismissals.time_ms",
    };
    let rows = dismissals.iter().map(|dismissal| -> Vec<Value> {
        args![
            &dismissal.workspace,
            &dismissal.profile_id,
            &dismissal.item_id,
            dismissal.time_ms
        ]
    });
    tx.insert_many(&PUT, rows.collect()).await.map(drop)
}

/// A merge that was undone.
#[derive(Debug, Clone)]
pub struct Parting {
    pub workspace: Arc<str>,
    pub kept_id: String,
    pub unmerged_id: String,
    /// Merged profiles that are part of the one that stayed, and of the other.
    pub staying_ids: Vec<String>,
    pub leaving_ids: Vec<String>,
}

impl Parting {
    /// The ids of the one that stayed, and those of the other.
    pub fn sides(&self) -> [Vec<String>; 2] {
        let side = |living: &String, parts: &[String]| {
            let ids = std::iter::once(living).chain(parts);
            ids.cloned().collect()
        };
        [
            side(&self.kept_id, &self.staying_ids),
            side(&self.unmerged_id, &self.leaving_ids),
        ]
    }
}

/// Notes whom each stands for from now on. What was recorded is under the ids of then.
pub async fn part(tx: &mut Tx, parting: &Parting) -> Result<(), Error> {
    const DELETE: &str = "delete from merged_people \
         where workspace = $1 and merged_profile_id = $2";
    const LEAD: &str = "update merged_people set profile_id = $3 \
         where workspace = $1 and merged_profile_id in list($2)";
    let Parting {
        workspace,
        kept_id,
        unmerged_id,
        staying_ids,
        leaving_ids,
    } = parting;
    tx.execute(DELETE, args![workspace, unmerged_id]).await?;
    for (ids, living) in [(staying_ids, kept_id), (leaving_ids, unmerged_id)] {
        if !ids.is_empty() {
            tx.execute(LEAD, args![workspace, ids.clone(), living])
                .await?;
        }
    }
    Ok(())
}

/// What is recorded under some ids and still counts, the newest first.
pub async fn of_people(
    database: &Database,
    workspace: &str,
    ids: Vec<String>,
    since_ms: i64,
) -> Result<Vec<Followed>, Error> {
    const OF_PEOPLE: &str = "select sequence, workspace, decision_id, outcome_type, item_id, \
         profile_id, time_ms, placement, channel, rule_ids from outcomes \
         where workspace = $1 and profile_id in list($2) \
         and sequence > 0 and record_ms >= $3 order by sequence desc limit $4";
    let args = args![workspace, ids, since_ms, PAGE];
    let rows = database.fetch_all(OF_PEOPLE, args).await?;
    rows.iter().map(followed).collect()
}

/// What is dismissed under some ids.
pub async fn dismissals_of(
    database: &Database,
    workspace: &str,
    ids: Vec<String>,
) -> Result<Vec<Dismissal>, Error> {
    const OF_PEOPLE: &str = "select workspace, profile_id, item_id, time_ms from dismissals \
         where workspace = $1 and profile_id in list($2) order by time_ms desc limit $3";
    let rows = database
        .fetch_all(OF_PEOPLE, args![workspace, ids, LOADED_MAX])
        .await?;
    rows.iter().map(dismissal).collect()
}

/// As many as are held in memory, the latest first.
pub async fn dismissals(database: &Database) -> Result<Vec<Dismissal>, Error> {
    const LATEST: &str = "select workspace, profile_id, item_id, time_ms from dismissals \
         order by time_ms desc limit $1";
    let rows = database.fetch_all(LATEST, args![LOADED_MAX]).await?;
    rows.iter().map(dismissal).collect()
}

fn dismissal(row: &Row) -> Result<Dismissal, Error> {
    Ok(Dismissal {
        workspace: row.get(0)?,
        profile_id: row.get(1)?,
        item_id: row.get(2)?,
        time_ms: row.get(3)?,
    })
}

/// Two profiles that are one person.
#[derive(Debug, Clone)]
pub struct Merge {
    pub workspace: Arc<str>,
    pub kept_id: String,
    pub merged_id: String,
    pub time_ms: i64,
}

/// Remembers a merge, as one step from every merged id to who lives. Outcomes and
/// dismissals stay with the id under which they were recorded, so that a merge can be
/// undone.
pub async fn merge(tx: &mut Tx, merge: &Merge) -> Result<(), Error> {
    const PUT: &str = "insert into merged_people \
         (workspace, merged_profile_id, profile_id, time_ms) values ($1, $2, $3, $4) \
         on conflict (workspace, merged_profile_id) do update \
         set profile_id = excluded.profile_id, time_ms = excluded.time_ms";
    const LEAD: &str = "update merged_people set profile_id = $3, time_ms = $4 \
         where workspace = $1 and profile_id = $2";
    let Merge {
        workspace,
        kept_id,
        merged_id,
        time_ms,
    } = merge;
    let led = args![workspace, merged_id, kept_id, *time_ms];
    tx.execute(LEAD, led).await?;
    let put = args![workspace, merged_id, kept_id, *time_ms];
    tx.execute(PUT, put).await.map(drop)
}

/// As many as are held in memory, the latest first.
pub async fn merges(database: &Database) -> Result<Vec<Merge>, Error> {
    const LATEST: &str = "select workspace, profile_id, merged_profile_id, time_ms \
         from merged_people order by time_ms desc limit $1";
    let rows = database.fetch_all(LATEST, args![LOADED_MAX]).await?;
    rows.iter()
        .map(|row| {
            Ok(Merge {
                workspace: row.get(0)?,
                kept_id: row.get(1)?,
                merged_id: row.get(2)?,
                time_ms: row.get(3)?,
            })
        })
        .collect()
}

/// Takes a person out of everything that is kept of outcomes; what was counted stays
/// counted.
pub async fn forget(tx: &mut Tx, workspace: &str, profile_id: &str) -> Result<(), Error> {
    const DISMISSALS: &str = "delete from dismissals where workspace = $1 and profile_id = $2";
    const MERGES: &str = "delete from merged_people \
         where workspace = $1 and (profile_id = $2 or merged_profile_id = $2)";
    const OUTCOMES: &str =
        "update outcomes set profile_id = '' where workspace = $1 and profile_id = $2";
    const REMEMBER: &str = "insert into erased_people (workspace, profile_id, time_ms) \
         values ($1, $2, $3) on conflict do nothing";
    for sql in [DISMISSALS, MERGES, OUTCOMES] {
        tx.execute(sql, args![workspace, profile_id]).await?;
    }
    let now_ms = attune_api::time::now_ms();
    tx.execute(REMEMBER, args![workspace, profile_id, now_ms])
        .await
        .map(drop)
}

/// Workspaces and people that were taken out, those of late.
pub async fn forgotten(database: &Database) -> Result<Vec<(String, String)>, Error> {
    const LATELY: &str = "select workspace, profile_id from erased_people \
         order by time_ms desc limit 1000000";
    let rows = database.fetch_all(LATELY, args![]).await?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect()
}

/// What was shown of a rule with a budget, in one of its periods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleExposures {
    pub workspace: Arc<str>,
    pub rule_id: Arc<str>,
    pub period_start_ms: i64,
    pub count: i64,
}

/// Adds to the counts and gives what they are now.
pub async fn spend(tx: &mut Tx, spent: &mut [RuleExposures]) -> Result<(), Error> {
    const ADD: &str = "insert into rule_exposures \
         (workspace, rule_id, period_start_ms, exposure_count) values ($1, $2, $3, $4) \
         on conflict (workspace, rule_id, period_start_ms) do update \
         set exposure_count = rule_exposures.exposure_count + excluded.exposure_count \
         returning exposure_count";
    for one in spent {
        let args = args![&one.workspace, &one.rule_id, one.period_start_ms, one.count];
        let rows = tx.fetch_all(ADD, args).await?;
        if let Some(row) = rows.first() {
            one.count = row.get(0)?;
        }
    }
    Ok(())
}

/// All counts, the latest period of each rule last.
pub async fn spent(database: &Database) -> Result<Vec<RuleExposures>, Error> {
    const ALL: &str = "select workspace, rule_id, period_start_ms, exposure_count \
         from rule_exposures order by workspace, rule_id, period_start_ms limit $1";
    let rows = database.fetch_all(ALL, args![LOADED_MAX]).await?;
    rows.iter()
        .map(|row| {
            Ok(RuleExposures {
                workspace: row.get(0)?,
                rule_id: row.get(1)?,
                period_start_ms: row.get(2)?,
                count: row.get(3)?,
            })
        })
        .collect()
}

/// Slots of a decision of which an exposure is stored, each as often as there is one.
pub async fn exposed_positions(
    tx: &mut Tx,
    workspace: &str,
    decision_id: &str,
    outcome_type: i32,
) -> Result<Vec<i64>, Error> {
    const POSITIONS: &str = "select position from outcomes \
         where workspace = $1 and decision_id = $2 and outcome_type = $3 limit 10000";
    let args = args![workspace, decision_id, outcome_type];
    let rows = tx.fetch_all(POSITIONS, args).await?;
    rows.iter().map(|row| row.get(0)).collect()
}

/// Drops merges that nothing is left of, and periods long over.
pub async fn trim(tx: &mut Tx, before_ms: i64) -> Result<u64, Error> {
    // Dismissals outlive outcomes.
    const MERGES: &str = "delete from merged_people where time_ms < $1 \
         and not exists (select 1 from dismissals d \
             where d.workspace = merged_people.workspace \
             and d.profile_id = merged_people.merged_profile_id)";
    // The one that never ends began at 0.
    const PERIODS: &str =
        "delete from rule_exposures where period_start_ms <> 0 and period_start_ms < $1";
    let merges = tx.execute(MERGES, args![before_ms]).await?;
    let before_ms = before_ms - PERIOD_MS_MAX;
    Ok(merges + tx.execute(PERIODS, args![before_ms]).await?)
}

/// No budget's period is longer.
const PERIOD_MS_MAX: i64 = 400 * 86_400_000;
