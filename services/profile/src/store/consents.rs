//! SQL for the history of consent: every grant and withdrawal with its evidence. What
//! holds is in the profile's record, which is not read here.

use std::sync::Arc;

use attune_storage::{Database, Error, Insert, Kind, Tx, args};
use bytes::Bytes;

use super::{
    Turn,
    codec::{self, Codec, Seals},
    kept::{Kept, KeptRow, kept_columns},
    timeline::Place,
};
use crate::domain::{ProfileId, consent::Decision, outcome::DecisionRow};

/// A decision and what it is about, as the history keeps it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entry {
    #[prost(string, tag = "1")]
    pub purpose: String,
    #[prost(message, required, tag = "2")]
    pub decision: Decision,
}

/// The table, whose rows move with merges.
pub const CONSENT_HISTORY: Kept = Kept {
    insert: Insert {
        table: "consent_history",
        columns: kept_columns![("decision", Kind::Bytes),],
        tail: "",
    },
};

/// Adds decisions, in their order.
pub async fn append(
    tx: &mut Tx,
    seals: &Seals,
    workspace: &Arc<str>,
    decided: &[DecisionRow],
    turn: &mut Turn,
) -> Result<(), Error> {
    let rows = decided.iter().map(|decided| {
        let entry = Entry {
            purpose: decided.purpose.clone(),
            decision: decided.decision.clone(),
        };
        Ok(KeptRow {
            owner: decided.owner,
            time_ms: decided.decision.time_ms,
            rest: args![seals.decision_bytes(decided.owner.origin_id, &entry)?],
        })
    });
    let rows = rows.collect::<Result<_, Error>>()?;
    CONSENT_HISTORY.append(tx, workspace, rows, turn).await
}

/// Decisions of one moment.
pub async fn at(
    tx: &mut Tx,
    seals: &mut Seals,
    workspace: &Arc<str>,
    profile_id: ProfileId,
    time_ms: i64,
) -> Result<Vec<Entry>, Error> {
    const AT: &str = "select origin_id, decision from consent_history \
         where workspace = $1 and profile_id = $2 and time_ms = $3 \
         order by sequence limit 1000";
    let args = args![workspace, profile_id.to_string(), time_ms];
    let rows = tx.fetch_all(AT, args).await?;
    let owners = rows.iter().map(|row| codec::profile_id(row, 0));
    let owners: Vec<_> = owners.collect::<Result<_, _>>()?;
    seals.add(tx, owners.iter().copied()).await?;
    rows.iter()
        .zip(owners)
        .map(|(row, owner)| seals.decision(owner, &row.get::<Bytes>(1)?))
        .collect()
}

/// Decisions before a place, newest first.
pub async fn page(
    database: &Database,
    codec: &Codec,
    workspace: &str,
    profile_id: ProfileId,
    before: Place,
    limit: i64,
) -> Result<Vec<(Place, Entry)>, Error> {
    const PAGE: &str = "select origin_id, time_ms, sequence, decision from consent_history \
         where workspace = $1 and profile_id = $2 \
         and (time_ms, sequence) < ($3, $4) \
         order by time_ms desc, sequence desc limit $5";
    let args = args![
        workspace,
        profile_id.to_string(),
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
            Ok((place, seals.decision(owner, &row.get::<Bytes>(3)?)?))
        })
        .collect()
}
