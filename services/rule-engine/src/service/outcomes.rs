//! What people did with what they were shown, and the decisions it is about.

use std::{collections::HashSet, sync::Arc};

use attune_api::{
    rules::v1::{Decision, Outcome, RecordOutcomesResponse, RecordedOutcome},
    time,
};
use attune_errors::Violations;
use attune_rpc::Workspace;
use attune_storage::{Database, Tx};
use uuid::Uuid;

use super::{
    decision_log::{self, DecisionLog},
    exposures::{self, Effects, Spent},
    metrics::Metrics,
    workspace::Workspaces,
};
use crate::{
    convert::{self, outcomes::Taking},
    domain::{attribution::Windows, token::TokenKey},
    error::Error,
    store::{self, outcomes::StoredOutcome},
};

/// Records outcomes and reads decisions with theirs.
pub struct Outcomes {
    pub workspaces: Arc<Workspaces>,
    pub database: Database,
    pub token_key: TokenKey,
    pub windows: Windows,
    pub decision_log: Arc<DecisionLog>,
    pub metrics: Arc<Metrics>,
}

impl Outcomes {
    pub async fn record(
        &self,
        workspace: &Workspace,
        outcomes: &[Outcome],
    ) -> Result<RecordOutcomesResponse, Error> {
        let now_ms = time::now_ms();
        let taking = Taking {
            key: &self.token_key,
            workspace: workspace.as_str(),
            windows: self.windows,
            now_ms,
        };
        let mut checked = convert::outcomes::check(outcomes, &taking)?;
        let state = self.workspaces.get_or_add(workspace.as_str());
        for outcome in &mut checked {
            if state.people.is_erased(&outcome.profile_id) {
                outcome.profile_id.clear();
            }
        }
        let effects = Arc::new(Effects::of(&state, &checked));
        let checked = Arc::new(checked);
        let inserting = Arc::clone(&checked);
        let (accepted, spent) = self
            .database
            .write(move |tx: &mut Tx| {
                let (effects, outcomes) = (Arc::clone(&effects), Arc::clone(&inserting));
                Box::pin(async move { insert(tx, &effects, &outcomes, now_ms).await })
            })
            .await?;
        // A key that came twice in this report was new once.
        let new: HashSet<&str> = accepted.iter().map(String::as_str).collect();
        let mut counted = HashSet::new();
        let is_new = |o: &&StoredOutcome| new.contains(o.key.as_str());
        for outcome in checked.iter().filter(is_new) {
            if counted.insert(&outcome.key) {
                self.metrics.recorded(outcome.outcome_type, outcome.value);
            }
        }
        exposures::committed(&state, checked.iter().filter(is_new), &spent);
        // Who was erased meanwhile may have been just before these rows.
        for outcome in checked.iter() {
            if state.people.is_erased(&outcome.profile_id) {
                self.forget(workspace, &outcome.profile_id).await?;
            }
        }
        Ok(RecordOutcomesResponse {
            accepted_count: accepted.len() as i32,
            duplicate_count: (checked.len() - accepted.len()) as i32,
        })
    }

    /// Forgets whose outcomes a person's were, and what they are not to see again.
    pub async fn forget(&self, workspace: &Workspace, profile_id: &str) -> Result<(), Error> {
        let workspace = workspace.as_str();
        exposures::forget(&self.database, &self.workspaces, workspace, profile_id).await?;
        Ok(())
    }

    /// A decision with what came of it, also if it is still on its way to the database.
    pub async fn decision(&self, workspace: &Workspace, id: &str) -> Result<Decision, Error> {
        let Ok(decision_id) = Uuid::try_parse(id) else {
            let rule = "must be the id of a decision";
            return Err(Violations::of("decision_id", rule).into());
        };
        let id = decision_id.to_string();
        self.decision_log.flush().await;
        let workspace = workspace.as_str();
        let chunks = store::decisions::around(&self.database, workspace, &id).await?;
        let mut found = chunks
            .into_iter()
            .find_map(|chunk| decision_log::find(chunk, &id))
            .ok_or_else(|| Error::NotFound {
                kind: "decision",
                id: id.clone(),
            })?;
        let outcomes = store::outcomes::of_decision(&self.database, workspace, &id).await?;
        let outcomes = outcomes.into_iter();
        let outcomes = outcomes.map(|outcome| RecordedOutcome {
            position: outcome.position as i32,
            r#type: outcome.outcome_type,
            value: outcome.value,
            time: Some(time::from_ms(outcome.time_ms)),
            attributed: outcome.attributed,
        });
        found.outcomes = outcomes.collect();
        Ok(found)
    }
}

/// Gives the keys of those that were new, and what they have spent.
async fn insert(
    tx: &mut Tx,
    effects: &Effects,
    outcomes: &[StoredOutcome],
    now_ms: i64,
) -> Result<(Vec<String>, Spent), attune_storage::Error> {
    let keys = store::outcomes::insert(tx, &effects.workspace, outcomes, now_ms).await?;
    let new: HashSet<&str> = keys.iter().map(String::as_str).collect();
    let spent = effects.apply(tx, |o| new.contains(o.key.as_str())).await?;
    Ok((keys, spent))
}
