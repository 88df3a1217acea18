//! SQL for what decisions led to: the state of each slot, and counts by day, place and
//! key. Counts are only ever added to; what they mean is not known here.

use std::{collections::HashMap, sync::Arc};

use attune_storage::{Database, Error, Insert, Kind, Row, Sql, Tx, Value, args};

use crate::domain::report::{Measures, SlotState};

/// What the key of a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Breakdown {
    None = 0,
    Item = 1,
    Rule = 2,
}

/// Which count something adds to. Ordered, because replicas that add to the same rows
/// in one order never wait for each other in a circle.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    pub workspace: Arc<str>,
    pub breakdown: Breakdown,
    /// Days since 1970 in UTC.
    pub day: i64,
    pub placement: Arc<str>,
    pub strategy: Arc<str>,
    pub channel: Arc<str>,
    /// The item or rule; else empty.
    pub key: Arc<str>,
}

/// Takes the position from where it was expected to where it is now; false if somebody
/// else has taken it, and then nothing of what follows may be done.
pub async fn advance(
    tx: &mut Tx,
    consumer: &str,
    source: &str,
    from: i64,
    to: i64,
) -> Result<bool, Error> {
    const BEGIN: &str = "insert into consumer_positions (consumer, source, position) \
         values ($1, $2, 0) on conflict do nothing";
    const ADVANCE: &str = "update consumer_positions set position = $4 \
         where consumer = $1 and source = $2 and position = $3";
    tx.execute(BEGIN, args![consumer, source]).await?;
    let advanced = tx.execute(ADVANCE, args![consumer, source, from, to]);
    Ok(advanced.await? == 1)
}

/// What became so far of the slots of some decisions, by decision and position.
pub async fn slots(
    tx: &mut Tx,
    workspace: &str,
    decision_ids: Vec<String>,
) -> Result<HashMap<(String, i64), SlotState>, Error> {
    const SLOTS: &str = "select decision_id, position, seen, revenue from slot_outcomes \
         where workspace = $1 and decision_id in list($2)";
    let rows = tx.fetch_all(SLOTS, args![workspace, decision_ids]).await?;
    rows.iter()
        .map(|row| {
            let state = SlotState {
                seen: row.get(2)?,
                revenue: row.get(3)?,
            };
            Ok(((row.get(0)?, row.get(1)?), state))
        })
        .collect()
}

pub async fn put_slots<'a>(
    tx: &mut Tx,
    workspace: &str,
    slots: impl Iterator<Item = (&'a (String, i64), &'a SlotState)>,
) -> Result<(), Error> {
    const PUT: Insert = Insert {
        table: "slot_outcomes",
        columns: &[
            ("workspace", Kind::Text),
            ("decision_id", Kind::Text),
            ("position", Kind::Int),
            ("seen", Kind::Int),
            ("revenue", Kind::Real),
        ],
        tail: "on conflict (workspace, decision_id, position) \
             do update set seen = excluded.seen, revenue = excluded.revenue",
    };
    let rows = slots.map(|((decision_id, position), state)| -> Vec<Value> {
        args![workspace, decision_id, *position, state.seen, state.revenue]
    });
    tx.insert_many(&PUT, rows.collect()).await.map(drop)
}

/// Adds to counts, each key at most once and in order.
pub async fn add<'a>(
    tx: &mut Tx,
    rows: impl Iterator<Item = (&'a RowKey, &'a Measures)>,
) -> Result<(), Error> {
    const ADD: Insert = Insert {
        table: "report_rows",
        columns: &[
            ("workspace", Kind::Text),
            ("breakdown", Kind::Int),
            ("day", Kind::Int),
            ("placement", Kind::Text),
            ("strategy", Kind::Text),
            ("channel", Kind::Text),
            ("key", Kind::Text),
            ("decision_count", Kind::Int),
            ("exposure_count", Kind::Int),
            ("click_count", Kind::Int),
            ("dismiss_count", Kind::Int),
            ("conversion_count", Kind::Int),
            ("revenue", Kind::Real),
            ("revenue_squares", Kind::Real),
        ],
        tail: "on conflict (workspace, breakdown, day, placement, strategy, channel, key) \
             do update set \
             decision_count = report_rows.decision_count + excluded.decision_count, \
             exposure_count = report_rows.exposure_count + excluded.exposure_count, \
             click_count = report_rows.click_count + excluded.click_count, \
             dismiss_count = report_rows.dismiss_count + excluded.dismiss_count, \
             conversion_count = report_rows.conversion_count + excluded.conversion_count, \
             revenue = report_rows.revenue + excluded.revenue, \
             revenue_squares = report_rows.revenue_squares + excluded.revenue_squares",
    };
    let rows = rows.map(|(key, added)| -> Vec<Value> {
        args![
            &key.workspace,
            key.breakdown as i64,
            key.day,
            &key.placement,
            &key.strategy,
            &key.channel,
            &key.key,
            added.decisions,
            added.exposures,
            added.clicks,
            added.dismissals,
            added.conversions,
            added.revenue,
            added.revenue_squares
        ]
    });
    tx.insert_many(&ADD, rows.collect()).await.map(drop)
}

/// How many counts a day has.
pub async fn row_count(database: &Database, workspace: &str, day: i64) -> Result<i64, Error> {
    const COUNT: &str = "select count(*) from report_rows \
         where workspace = $1 and breakdown in (0, 1, 2) and day = $2";
    let row = database
        .fetch_optional(COUNT, args![workspace, day])
        .await?;
    row.map_or(Ok(0), |row| row.get(0))
}

/// Drops the counts of days before one, and the slots of decisions before an id.
pub async fn trim(tx: &mut Tx, before_day: i64, before_id: &str) -> Result<u64, Error> {
    const ROWS: &str = "delete from report_rows where day < $1";
    const SLOTS: &str = "delete from slot_outcomes where decision_id < $1";
    let rows = tx.execute(ROWS, args![before_day]).await?;
    Ok(rows + tx.execute(SLOTS, args![before_id]).await?)
}

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    Placement,
    Strategy,
    Rule,
    Channel,
    Item,
    Day,
}

impl Dimension {
    pub const ALL: [(&'static str, Self); 6] = [
        ("placement", Self::Placement),
        ("strategy", Self::Strategy),
        ("rule", Self::Rule),
        ("channel", Self::Channel),
        ("item", Self::Item),
        ("day", Self::Day),
    ];

    fn breakdown(self) -> Breakdown {
        match self {
            Self::Item => Breakdown::Item,
            Self::Rule => Breakdown::Rule,
            _ => Breakdown::None,
        }
    }

    /// The column, and how its rows are ordered.
    fn column_and_order(self) -> (&'static str, &'static str) {
        const BY_EXPOSURES: &str = "sum(exposure_count) desc, sum(decision_count) desc, ";
        match self {
            Self::Placement => ("placement", BY_EXPOSURES),
            Self::Strategy => ("strategy", BY_EXPOSURES),
            Self::Channel => ("channel", BY_EXPOSURES),
            Self::Item | Self::Rule => ("key", BY_EXPOSURES),
            Self::Day => ("day", ""),
        }
    }
}

/// Which counts a report takes; an empty text means any.
#[derive(Debug, Clone)]
pub struct Narrowing {
    pub workspace: String,
    pub first_day: i64,
    /// Exclusive.
    pub end_day: i64,
    pub placement: String,
    pub strategy: String,
    pub channel: String,
}

/// Whole numbers stay whole, which a sum on PostgreSQL would not.
const SUMS: &str = "cast(coalesce(sum(decision_count), 0) as bigint), \
     cast(coalesce(sum(exposure_count), 0) as bigint), \
     cast(coalesce(sum(click_count), 0) as bigint), \
     cast(coalesce(sum(dismiss_count), 0) as bigint), \
     cast(coalesce(sum(conversion_count), 0) as bigint), \
     coalesce(sum(revenue), 0.0), coalesce(sum(revenue_squares), 0.0)";
const NARROWED: &str = "from report_rows \
     where workspace = $1 and breakdown = $2 and day >= $3 and day < $4 \
     and ($5 = '' or placement = $5) and ($6 = '' or strategy = $6) \
     and ($7 = '' or channel = $7)";

/// The counts by each value of a dimension; a day's value is its number.
pub async fn by(
    database: &Database,
    dimension: Dimension,
    narrowing: &Narrowing,
    row_max: i64,
) -> Result<Vec<(String, Measures)>, Error> {
    let (column, order) = dimension.column_and_order();
    let sql = Sql::built(format!(
        "select cast({column} as text), {SUMS} {NARROWED} group by {column} \
         order by {order}{column} limit $8"
    ));
    let mut args = arguments(dimension.breakdown(), narrowing);
    args.push(row_max.into());
    let rows = database.fetch_all(sql, args).await?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, measures(row, 1)?)))
        .collect()
}

/// The counts of everything.
pub async fn total(database: &Database, narrowing: &Narrowing) -> Result<Measures, Error> {
    let sql = Sql::built(format!("select {SUMS} {NARROWED}"));
    let args = arguments(Breakdown::None, narrowing);
    let row = database.fetch_optional(sql, args).await?;
    row.map_or(Ok(Measures::default()), |row| measures(&row, 0))
}

fn arguments(breakdown: Breakdown, narrowing: &Narrowing) -> Vec<Value> {
    args![
        &narrowing.workspace,
        breakdown as i64,
        narrowing.first_day,
        narrowing.end_day,
        &narrowing.placement,
        &narrowing.strategy,
        &narrowing.channel
    ]
}

fn measures(row: &Row, first: usize) -> Result<Measures, Error> {
    Ok(Measures {
        decisions: row.get(first)?,
        exposures: row.get(first + 1)?,
        clicks: row.get(first + 2)?,
        dismissals: row.get(first + 3)?,
        conversions: row.get(first + 4)?,
        revenue: row.get(first + 5)?,
        revenue_squares: row.get(first + 6)?,
    })
}
