//! SQL for values of traits that hold no longer. What holds is in the profile's record,
//! which is not read here.

use std::sync::Arc;

use attune_storage::{Database, Error, Insert, Kind, Tx, args};
use bytes::Bytes;

use super::{
    Turn,
    codec::{self, Codec, Seals},
    kept::{Kept, KeptRow, kept_columns},
    timeline::Place,
};
use crate::domain::{ProfileId, outcome::PastRow, record::Timed};

/// The table, whose rows move with merges.
pub const TRAIT_HISTORY: Kept = Kept {
    insert: Insert {
        table: "trait_history",
        columns: kept_columns![("trait_id", Kind::Text), ("value", Kind::Bytes),],
        tail: "",
    },
};

/// Adds values, in their order.
pub async fn append(
    tx: &mut Tx,
    seals: &Seals,
    workspace: &Arc<str>,
    rows: &[PastRow],
    turn: &mut Turn,
) -> Result<(), Error> {
    let rows = rows.iter().map(|row| {
        Ok(KeptRow {
            owner: row.owner,
            time_ms: row.value.time_ms,
            rest: args![
                &row.trait_id,
                seals.trait_value_bytes(row.owner.origin_id, &row.value)?,
            ],
        })
    });
    let rows = rows.collect::<Result<_, Error>>()?;
    TRAIT_HISTORY.append(tx, workspace, rows, turn).await
}

/// Values of one trait before a place, newest first.
pub async fn page(
    database: &Database,
    codec: &Codec,
    workspace: &str,
    profile_id: ProfileId,
    trait_id: &str,
    before: Place,
    limit: i64,
) -> Result<Vec<(Place, Timed)>, Error> {
    const PAGE: &str = "select origin_id, time_ms, sequence, value from trait_history \
         where workspace = $1 and profile_id = $2 and trait_id = $3 \
         and (time_ms, sequence) < ($4, $5) \
         order by time_ms desc, sequence desc limit $6";
    let args = args![
        workspace,
        profile_id.to_string(),
        trait_id,
        before.time_ms,
        before.sequence,
        limit
    ];
    let rows = database.fetch_all(PAGE, args).await?;
    let (owned, seals) = codec::owned(database, codec, workspace, &rows).await?;
    owned
        .into_iter()
        .map(|(owner, row)| {
            let place = Place {
                time_ms: row.get(1)?,
                sequence: row.get(2)?,
            };
            let value = row.get::<Bytes>(3)?;
            Ok((place, seals.trait_value(owner, &value)?))
        })
        .collect()
}

/// Values of all of a person's traits after one of them, by trait and oldest first.
pub async fn of_person(
    database: &Database,
    codec: &Codec,
    workspace: &str,
    profile_id: ProfileId,
    after: Option<&(String, Place)>,
    limit: i64,
) -> Result<Vec<(String, Place, Timed)>, Error> {
    const OF_PERSON: &str = "select origin_id, trait_id, time_ms, sequence, value \
         from trait_history \
         where workspace = $1 and profile_id = $2 \
         and (trait_id, time_ms, sequence) > ($3, $4, $5) \
         order by trait_id, time_ms, sequence limit $6";
    let (trait_id, place) = match after {
        Some((trait_id, place)) => (trait_id.as_str(), *place),
        None => (
            "",
            Place {
                time_ms: i64::MIN,
                sequence: 0,
            },
        ),
    };
    let args = args![
        workspace,
        profile_id.to_string(),
        trait_id,
        place.time_ms,
        place.sequence,
        limit
    ];
    let rows = database.fetch_all(OF_PERSON, args).await?;
    let (owned, seals) = codec::owned(database, codec, workspace, &rows).await?;
    owned
        .into_iter()
        .map(|(owner, row)| {
            let place = Place {
                time_ms: row.get(2)?,
                sequence: row.get(3)?,
            };
            let value = row.get::<Bytes>(4)?;
            Ok((row.get(1)?, place, seals.trait_value(owner, &value)?))
        })
        .collect()
}
