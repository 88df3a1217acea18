//! SQL for the history of consent: every grant and withdrawal with its evidence. What
//! holds is in the profile's record, which is not read here.

use std::sync::Arc;

use attune_storage::{Database, Error, Insert, Kind, Tx, args};
use bytes::Bytes;

use super::{
    Turn,
    codec::{self, Codec, Seals},
    profiles::texts,
    timeline::Place,
};
use crate::domain::{
    ProfileId,
    consent::Decision,
    merge::{Merged, Parted},
    outcome::DecisionRow,
};

/// A decision and what it is about, as the history keeps it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entry {
    #[prost(string, tag = "1")]
    pub purpose: String,
    #[prost(message, required, tag = "2")]
    pub decision: Decision,
}

/// Adds decisions, in their order.
pub async fn append(
    tx: &mut Tx,
    seals: &Seals,
    workspace: &Arc<str>,
    decided: &[DecisionRow],
    turn: &mut Turn,
) -> Result<(), Error> {
    const APPEND: Insert = Insert {
        table: "consent_history",
        columns: &[
            ("workspace", Kind::Text),
            ("profile_id", Kind::Text),
            ("time_ms", Kind::Int),
            ("sequence", Kind::Int),
            ("origin_id", Kind::Text),
            ("decision", Kind::Bytes),
        ],
        tail: "",
    };
    if decided.is_empty() {
        return Ok(());
    }
    let first = turn.take_more(tx, decided.len()).await?;
    let rows = decided
        .iter()
        .zip(first..)
        .map(|(decided, sequence)| {
            let entry = Entry {
                purpose: decided.purpose.clone(),
                decision: decided.decision.clone(),
            };
            Ok(args![
                workspace,
                decided.owner.profile_id.to_string(),
                decided.decision.time_ms,
                sequence,
                decided.owner.origin_id.to_string(),
                seals.decision_bytes(decided.owner.origin_id, &entry)?,
            ])
        })
        .collect::<Result<_, Error>>()?;
    tx.insert_many(&APPEND, rows).await.map(drop)
}

/// Hands over all decisions of a merged profile.
pub async fn hand_over(tx: &mut Tx, workspace: &Arc<str>, merged: &Merged) -> Result<(), Error> {
    const HAND_OVER: &str = "update consent_history set profile_id = $3 \
         where workspace = $1 and profile_id = $2";
    let (from, to) = (merged.merged.to_string(), merged.survivor.to_string());
    tx.execute(HAND_OVER, args![workspace, from, to])
        .await
        .map(drop)
}

/// Hands back the decisions that came by a profile that is a person of its own again, and
/// by those joined to it.
pub async fn hand_back(tx: &mut Tx, workspace: &Arc<str>, parted: &Parted) -> Result<(), Error> {
    const HAND_BACK: &str = "update consent_history set profile_id = $3 \
         where workspace = $1 and profile_id = $2 and origin_id in list($4)";
    let (from, to) = (parted.survivor.to_string(), parted.unmerged.to_string());
    let args = args![workspace, from, to, texts(&parted.parts)];
    tx.execute(HAND_BACK, args).await.map(drop)
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
         and (time_ms < $3 or (time_ms = $3 and sequence < $4)) \
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
