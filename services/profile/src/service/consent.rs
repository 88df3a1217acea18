//! Recording what a person decided about purposes, and what they decided before. Goes
//! through the one writer, so that it has its place among the events around it.

use std::sync::Arc;

use attune_api::profile::v1::ListConsentHistoryResponse;
use attune_errors::Violations;
use attune_storage::Tx;
use futures::FutureExt;

use super::{
    Service, Shared,
    declarations::Declarations,
    lookup, read,
    write::{self, Asked, Written},
};
use crate::{
    Error,
    convert::page,
    domain::{
        ProfileId, Record,
        consent::{self, Decision},
        linking::Step,
        purposes::Purposes,
        tcf::Tcf,
    },
    store::{
        consents::{self, Entry},
        profiles,
        timeline::Place,
    },
};

/// Decisions on their way in.
#[derive(Debug, Clone)]
pub struct ConsentChange {
    pub workspace: Arc<str>,
    pub profile_id: ProfileId,
    pub said: Said,
    pub source: String,
    /// None means now, unless the same was decided before.
    pub time_ms: Option<i64>,
    pub traceparent: String,
}

impl ConsentChange {
    /// What it is about, in short.
    pub fn about(&self) -> &str {
        match &self.said {
            Said::Purpose { purpose, .. } => purpose,
            Said::Tcf(_) => consent::TCF,
        }
    }
}

/// How a person decided.
#[derive(Debug, Clone)]
pub enum Said {
    Purpose {
        purpose: String,
        granted: bool,
        policy_version: String,
        evidence: String,
    },
    Tcf(Tcf),
}

/// Part of the history of a person's consent.
#[derive(Debug, Clone)]
pub struct DecisionsAsked {
    pub profile_id: ProfileId,
    pub size: i64,
    pub before: Option<Place>,
}

/// What holds for each purpose that was spoken of.
pub type Held = Vec<(String, Decision)>;

impl Service {
    /// What holds for each purpose afterwards: this, or a later decision.
    pub async fn set_consent(&self, change: ConsentChange) -> Result<Held, Error> {
        let change = Arc::new(change);
        self.in_turn(move |shared| async move { write(&shared, change).await }.boxed())
            .await
    }

    /// The newest first.
    pub async fn consent_history(
        &self,
        workspace: &str,
        asked: DecisionsAsked,
    ) -> Result<ListConsentHistoryResponse, Error> {
        let row = self.living_row(workspace, asked.profile_id).await?;
        let before = asked.before.unwrap_or(Place {
            time_ms: i64::MAX,
            sequence: i64::MAX,
        });
        let (database, codec) = (&self.shared.database, &self.shared.codec);
        let (id, limit) = (row.profile_id, asked.size + 1);
        let mut rows = consents::page(database, codec, workspace, id, before, limit).await?;
        let next_page_token = page::cut(&mut rows, asked.size, |(place, _)| {
            page::place_token(*place)
        });
        let consents = rows
            .into_iter()
            .map(|(_, entry)| read::consent(&entry.purpose, &entry.decision));
        Ok(ListConsentHistoryResponse {
            consents: consents.collect(),
            next_page_token,
        })
    }
}

async fn write(shared: &Arc<Shared>, change: Arc<ConsentChange>) -> Result<Held, Error> {
    let tried = shared.clone();
    let (held, mut written) = shared
        .database
        .write(move |tx| {
            let (shared, change) = (tried.clone(), change.clone());
            async move { decide(&shared, tx, &change).await }.boxed()
        })
        .await?;
    write::committed(shared, written.as_mut_slice()).await;
    Ok(held)
}

/// What holds, and what was written for it to hold.
async fn decide(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    change: &ConsentChange,
) -> Result<(Held, Option<Written>), Error> {
    let mut turn = write::begin(shared, tx, 0).await?;
    let workspace = &change.workspace;
    let declared = shared
        .declared
        .at(&shared.database, workspace, turn.revision);
    let declared: Arc<Declarations> = declared.await?;
    let found = lookup::people(shared, tx, workspace, &[change.profile_id]).await?;
    let unknown = || Error::ProfileNotFound(change.profile_id.to_string());
    let owner = found
        .directory
        .owner(change.profile_id)
        .ok_or_else(unknown)?;
    let profile_id = owner.profile_id;
    let mut seals = shared.codec.of(workspace);
    let stored = profiles::stored(tx, &mut seals, workspace, &[profile_id]).await?;
    let record = &stored.get(&profile_id).ok_or_else(unknown)?.record;
    let own = stored.get(&owner.origin_id).ok_or_else(unknown)?.said();
    let decisions = decisions(change, own, &declared.purposes, shared.clock.now_ms())?;
    let (mut held, mut steps) = (Held::new(), Vec::new());
    for (purpose, decision) in decisions {
        let earlier = record.consents.get(&purpose);
        let holds = earlier.is_none_or(|earlier| earlier.gives_way_to(&decision));
        let holding = if holds { Some(&decision) } else { earlier };
        held.extend(holding.map(|holding| (purpose.clone(), holding.clone())));
        let entry = Entry { purpose, decision };
        // What comes too late to hold is part of the history, unless it came before.
        let is_new = holds || {
            let time_ms = entry.decision.time_ms;
            let known = consents::at(tx, &mut seals, workspace, profile_id, time_ms).await?;
            !known.contains(&entry)
        };
        if is_new {
            steps.push(Step::Decide {
                owner,
                purpose: entry.purpose,
                decision: entry.decision,
            });
        }
    }
    if steps.is_empty() {
        return Ok((held, None));
    }
    let asked = Asked {
        workspace: workspace.clone(),
        steps: vec![steps],
        traceparents: vec![change.traceparent.clone()],
        found,
        seals,
    };
    let written = write::carry_out(shared, tx, &mut turn, asked).await?;
    Ok((held, Some(written)))
}

/// The decisions to be recorded. Without a time, the same decision again is the one that
/// is held by the same profile, so that sending it twice records it once; by another that
/// is part of the person it is a decision of its own, which goes with it should they be
/// parted.
fn decisions(
    change: &ConsentChange,
    own: &Record,
    purposes: &Purposes,
    now_ms: i64,
) -> Result<Held, Violations> {
    let time_ms = change.time_ms.unwrap_or(now_ms);
    let mut decisions = match &change.said {
        Said::Tcf(tcf) => consent::by_tcf(tcf, &change.source, time_ms, purposes),
        Said::Purpose {
            purpose,
            granted,
            policy_version,
            evidence,
        } => {
            if purposes.get(purpose).is_none() {
                return Err(Violations::of("purpose", undeclared(purpose, purposes)));
            }
            let decision = Decision {
                granted: *granted,
                source: change.source.clone(),
                policy_version: policy_version.clone(),
                time_ms,
                evidence: evidence.clone(),
            };
            vec![(purpose.clone(), decision)]
        }
    };
    for (purpose, decision) in &mut decisions {
        if let (None, Some(held)) = (change.time_ms, own.consents.get(purpose)) {
            let again = Decision {
                time_ms: held.time_ms,
                ..decision.clone()
            };
            if again == *held {
                *decision = again;
            }
        }
    }
    Ok(decisions)
}

/// Names the purposes there are, and the one that may have been meant.
/// What must be instead of a purpose that is not declared.
pub fn undeclared(sent: &str, purposes: &Purposes) -> String {
    let ids: Vec<&str> = purposes.iter().map(|p| p.id.as_str()).collect();
    let meant = attune_expr::nearest(sent, ids.iter().copied());
    let meant = meant.map_or(String::new(), |id| format!("; did you mean `{id}`?"));
    format!(
        "must be one of the purposes that are declared ({}){meant}",
        ids.join(", ")
    )
}
