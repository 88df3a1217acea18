//! SQL for audiences on their way to destinations, and for who of a segment's members is
//! in a batch. Decides nothing.

use std::sync::Arc;

use attune_storage::{Database, Error, Row, Sql, Tx, Value, args};

use super::codec;
use crate::domain::{
    ProfileId,
    audience::{Counts, Layout},
    delivery::{Delivery, Order, State},
};

/// Members of a segment after an id, up to another where there is one, in the order of
/// their ids.
pub async fn members(
    database: &Database,
    workspace: &str,
    segment_id: &str,
    after: &str,
    until: &str,
    limit: i64,
) -> Result<Vec<ProfileId>, Error> {
    const MEMBERS: &str = "select profile_id from segment_members \
         where workspace = $1 and segment_id = $2 and profile_id > $3 \
         and ($4 = '' or profile_id <= $4) order by profile_id limit $5";
    let args = args![workspace, segment_id, after, until, limit];
    let rows = database.fetch_all(MEMBERS, args).await?;
    rows.iter().map(|row| codec::profile_id(row, 0)).collect()
}

/// How many members a segment has; None if there is no such segment.
pub async fn size(
    database: &Database,
    workspace: &str,
    segment_id: &str,
) -> Result<Option<i64>, Error> {
    const SIZE: &str = "select (select c.member_count from segment_counts c \
         where c.workspace = r.workspace and c.segment_id = r.id) \
         from resources r where r.workspace = $1 and r.kind = 'segment' and r.id = $2";
    let row = database
        .fetch_optional(SIZE, args![workspace, segment_id])
        .await?;
    row.map(|row| Ok(row.get::<Option<i64>>(0)?.unwrap_or(0)))
        .transpose()
}

const COLUMNS: &str = "workspace, audience_delivery_id, segment_id, purpose, layout, \
     destination, state, after_id, until_id, batch_count, attempt_count, failure, total, \
     exported_count, withheld_count, unmatchable_count, next_ms, create_ms, update_ms";

/// False if there is one with this id.
pub async fn create(tx: &mut Tx, workspace: &Arc<str>, delivery: &Delivery) -> Result<bool, Error> {
    let sql = format!(
        "insert into audience_deliveries ({COLUMNS}) values ($1, $2, $3, $4, $5, $6, $7, \
         $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) \
         on conflict (workspace, audience_delivery_id) do nothing"
    );
    let order = &delivery.order;
    let args = args![
        workspace,
        &order.delivery_id,
        &order.segment_id,
        &order.purpose,
        order.layout.number(),
        &order.destination,
        delivery.state.number(),
        &delivery.after,
        &delivery.until,
        delivery.batch_count,
        delivery.attempt_count,
        &delivery.failure,
        delivery.total,
        delivery.counts.exported,
        delivery.counts.withheld,
        delivery.counts.unmatchable,
        delivery.next_ms,
        delivery.create_ms,
        delivery.update_ms,
    ];
    Ok(tx.execute(Sql::built(sql), args).await? > 0)
}

pub async fn get(
    database: &Database,
    workspace: &str,
    delivery_id: &str,
) -> Result<Option<Delivery>, Error> {
    let sql = format!(
        "select {COLUMNS} from audience_deliveries \
         where workspace = $1 and audience_delivery_id = $2"
    );
    let row = database
        .fetch_optional(Sql::built(sql), args![workspace, delivery_id])
        .await?;
    row.map(|row| Ok(read(&row)?.1)).transpose()
}

/// After an id, in the order of ids.
pub async fn page(
    database: &Database,
    workspace: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Delivery>, Error> {
    let sql = format!(
        "select {COLUMNS} from audience_deliveries \
         where workspace = $1 and audience_delivery_id > $2 \
         order by audience_delivery_id limit $3"
    );
    let rows = database
        .fetch_all(Sql::built(sql), args![workspace, after, limit])
        .await?;
    rows.iter().map(|row| Ok(read(row)?.1)).collect()
}

/// The one that is to be worked on first, whenever that is.
pub async fn next(database: &Database) -> Result<Option<(Arc<str>, Delivery)>, Error> {
    let sql = format!(
        "select {COLUMNS} from audience_deliveries where state = 1 \
         order by next_ms, workspace, audience_delivery_id limit 1"
    );
    let row = database.fetch_optional(Sql::built(sql), args![]).await?;
    row.map(|row| read(&row)).transpose()
}

/// Moves one ahead before it is worked on; false if somebody else did, or it is over.
pub async fn claim(
    tx: &mut Tx,
    workspace: &Arc<str>,
    delivery: &Delivery,
    until_ms: i64,
) -> Result<bool, Error> {
    const CLAIM: &str = "update audience_deliveries set next_ms = $4 \
         where workspace = $1 and audience_delivery_id = $2 and next_ms = $3 and state = 1";
    let id = &delivery.order.delivery_id;
    let args = args![workspace, id, delivery.next_ms, until_ms];
    Ok(tx.execute(CLAIM, args).await? > 0)
}

/// Writes how far it is, if whoever claimed it until `held_ms` still holds it and it was
/// not cancelled meanwhile.
pub async fn put(
    tx: &mut Tx,
    workspace: &Arc<str>,
    delivery: &Delivery,
    held_ms: i64,
) -> Result<bool, Error> {
    const PUT: &str = "update audience_deliveries set state = $3, after_id = $4, \
         until_id = $5, batch_count = $6, attempt_count = $7, failure = $8, \
         exported_count = $9, withheld_count = $10, unmatchable_count = $11, \
         next_ms = $12, update_ms = $13 \
         where workspace = $1 and audience_delivery_id = $2 and state = 1 \
         and next_ms = $14";
    let args: Vec<Value> = args![
        workspace,
        &delivery.order.delivery_id,
        delivery.state.number(),
        &delivery.after,
        &delivery.until,
        delivery.batch_count,
        delivery.attempt_count,
        &delivery.failure,
        delivery.counts.exported,
        delivery.counts.withheld,
        delivery.counts.unmatchable,
        delivery.next_ms,
        delivery.update_ms,
        held_ms,
    ];
    Ok(tx.execute(PUT, args).await? > 0)
}

/// Ends one that is not over.
pub async fn cancel(
    tx: &mut Tx,
    workspace: &Arc<str>,
    delivery_id: &str,
    now_ms: i64,
) -> Result<(), Error> {
    const CANCEL: &str = "update audience_deliveries set state = 4, update_ms = $3 \
         where workspace = $1 and audience_delivery_id = $2 and state = 1";
    let args = args![workspace, delivery_id, now_ms];
    tx.execute(CANCEL, args).await.map(drop)
}

fn read(row: &Row) -> Result<(Arc<str>, Delivery), Error> {
    let (layout, state): (i64, i64) = (row.get(4)?, row.get(6)?);
    let (exported, withheld, unmatchable) = (row.get(13)?, row.get(14)?, row.get(15)?);
    let delivery = Delivery {
        order: Order {
            delivery_id: row.get(1)?,
            segment_id: row.get(2)?,
            purpose: row.get(3)?,
            layout: Layout::of(layout).ok_or_else(|| broken(4, "a layout"))?,
            destination: row.get(5)?,
        },
        state: State::of(state).ok_or_else(|| broken(6, "a state"))?,
        after: row.get(7)?,
        until: row.get(8)?,
        batch_count: row.get(9)?,
        attempt_count: row.get(10)?,
        failure: row.get(11)?,
        total: row.get(12)?,
        counts: Counts {
            members: exported + withheld + unmatchable,
            exported,
            withheld,
            unmatchable,
        },
        next_ms: row.get(16)?,
        create_ms: row.get(17)?,
        update_ms: row.get(18)?,
    };
    Ok((row.get(0)?, delivery))
}

fn broken(index: usize, expected: &'static str) -> Error {
    Error::Column {
        index,
        expected,
        found: "another number".to_owned(),
    }
}
