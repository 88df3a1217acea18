//! SQL for the history of consent: every grant and withdrawal with its evidence. What
//! holds is in the profile's record, which is not read here.

use std::sync::Arc;

use attune_storage::{Database, Error, Insert, Kind, Row, Tx, args};
use bytes::Bytes;

use super::{
    Turn,
    codec::{self, Codec, Seals},
    kept::{Kept, KeptRow, kept_columns},
    profiles::texts,
    timeline::Place,
};
use crate::domain::{Owner, ProfileId, consent::Decision, outcome::DecisionRow};

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

/// A decision without what it says.
#[derive(Debug, Clone)]
pub struct OldDecision {
    pub owner: Owner,
    pub purpose: String,
    pub place: Place,
}

/// Where a page of some people's old decisions ended.
#[derive(Debug, Clone)]
pub struct OldPlace {
    profile_id: String,
    place: Place,
}

/// Decisions of some people from before a moment, each person's oldest first; and where
/// the next page begins, if this one is full.
pub async fn old(
    database: &Database,
    codec: &Codec,
    workspace: &str,
    people: &[ProfileId],
    before_ms: i64,
    after: Option<&OldPlace>,
    limit: i64,
) -> Result<(Vec<OldDecision>, Option<OldPlace>), Error> {
    const OLD: &str = "select origin_id, profile_id, time_ms, sequence, decision \
         from consent_history where workspace = $1 and profile_id in list($2) \
         and time_ms < $3 and (profile_id, time_ms, sequence) > ($4, $5, $6) \
         order by profile_id, time_ms, sequence limit $7";
    let (id, place) = match after {
        Some(after) => (after.profile_id.as_str(), after.place),
        None => ("", Place::BEFORE_ALL),
    };
    let (time_ms, sequence) = (place.time_ms, place.sequence);
    let args = args![
        workspace,
        texts(people),
        before_ms,
        id,
        time_ms,
        sequence,
        limit
    ];
    let rows = database.fetch_all(OLD, args).await?;
    let place = |row: &Row| {
        Ok::<_, Error>(Place {
            time_ms: row.get(2)?,
            sequence: row.get(3)?,
        })
    };
    let is_full = i64::try_from(rows.len()).is_ok_and(|count| count == limit);
    let last = rows.last().filter(|_| is_full);
    let next = last
        .map(|row| {
            Ok::<_, Error>(OldPlace {
                profile_id: row.get(1)?,
                place: place(row)?,
            })
        })
        .transpose()?;
    let (owned, seals) = codec::owned(database, codec, workspace, &rows).await?;
    let old = owned.into_iter().map(|(origin_id, row)| {
        Ok(OldDecision {
            owner: Owner {
                profile_id: codec::profile_id(row, 1)?,
                origin_id,
            },
            purpose: seals.decision(origin_id, &row.get::<Bytes>(4)?)?.purpose,
            place: place(row)?,
        })
    });
    Ok((old.collect::<Result<_, Error>>()?, next))
}

/// Drops decisions. Those that belong to somebody else by now stay.
pub async fn remove(
    tx: &mut Tx,
    workspace: &str,
    decisions: &[(ProfileId, Place)],
) -> Result<u64, Error> {
    const REMOVE: &str = "delete from consent_history where workspace = $1 \
         and profile_id = $2 and time_ms = $3 and sequence = $4";
    let mut removed = 0;
    for (profile_id, place) in decisions {
        let args = args![
            workspace,
            profile_id.to_string(),
            place.time_ms,
            place.sequence
        ];
        removed += tx.execute(REMOVE, args).await?;
    }
    Ok(removed)
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
