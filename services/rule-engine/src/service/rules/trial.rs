//! A rule base with drafts in it, put together beside the one in force: for trying out
//! what would be published. Checked as a publication is; changes nothing that is live.

use std::{collections::BTreeSet, sync::Arc};

use attune_api::rules::v1::{Rule, Strategy};
use attune_errors::Violations;
use attune_rpc::Caller;
use attune_storage::{
    Tx,
    resources::{Error, Resource},
};

use super::{
    Rules,
    check::{Naming, Standing, ToCheck},
    part::Part,
};
use crate::{
    domain::{claims::Claim, plan::RuleBase},
    service::workspace::State,
    store::{self, rules::Side},
};

/// Saved drafts that are tried at once.
const SAVED_DRAFTS_MAX: i64 = 1000;

/// What is tried, as it was sent.
#[derive(Debug, Clone, Default)]
pub struct Drafts {
    /// Each stands for the published rule of its id.
    pub rules: Vec<Rule>,
    pub deleted_rule_ids: Vec<String>,
    pub strategies: Vec<Strategy>,
    /// The saved drafts of all other rules too.
    pub saved: bool,
}

/// A rule base to try.
pub struct Trial {
    /// What was in force when the drafts were put in.
    pub live: Arc<RuleBase>,
    pub base: RuleBase,
    /// Ids of the drafts in it.
    pub draft_ids: Vec<String>,
}

impl Rules {
    /// Puts drafts among what is in force.
    pub async fn trial(
        &self,
        caller: &Caller,
        state: &Arc<State>,
        drafts: Drafts,
    ) -> Result<Trial, Error> {
        let Drafts {
            mut rules,
            deleted_rule_ids,
            strategies,
            saved,
        } = drafts;
        let sent = rules.len();
        if saved {
            let saved = self.saved_drafts(state).await?;
            let held: BTreeSet<String> = rules.iter().map(|r| r.rule_id.clone()).collect();
            rules.extend(saved.into_iter().filter(|r| !held.contains(&r.rule_id)));
        }
        for strategy in &strategies {
            self.learn(caller, state, strategy).await?;
        }
        self.check_strategies(state, &strategies).await?;
        let leaving: Vec<String> = rules.iter().map(|rule| rule.rule_id.clone()).collect();
        let to_check = ToCheck {
            rules,
            standing: Standing::Published,
            naming: Naming::Listed { sent },
            leaving: deleted_rule_ids.clone(),
        };
        let claims = self.checked(caller, state, to_check).await?;
        let draft_ids = leaving.clone();
        let gone = leaving.into_iter().chain(deleted_rule_ids).collect();
        let (live, base) = assemble_aside(state, claims, gone, strategies).await?;
        Ok(Trial {
            live,
            base,
            draft_ids,
        })
    }

    async fn saved_drafts(&self, state: &State) -> Result<Vec<Rule>, Error> {
        let (database, workspace) = (&self.database, &state.name);
        let page =
            store::rules::page(database, workspace, Side::Draft, "", SAVED_DRAFTS_MAX).await?;
        let drafts = page.into_iter();
        Ok(drafts
            .filter_map(|stored| Some(stored.draft?.rule))
            .collect())
    }

    /// As they are checked when they are saved.
    async fn check_strategies(
        &self,
        state: &Arc<State>,
        strategies: &[Strategy],
    ) -> Result<(), Error> {
        let mut found = Violations::new();
        for (index, strategy) in strategies.iter().enumerate() {
            let (strategy, state) = (strategy.clone(), Arc::clone(state));
            let checked: Result<(), Error> = self
                .database
                .write(move |tx: &mut Tx| {
                    let (strategy, state) = (strategy.clone(), Arc::clone(&state));
                    Box::pin(async move { strategy.check(tx, &state.name, &state).await })
                })
                .await;
            match checked {
                Err(Error::Invalid(faults)) => {
                    for fault in faults.iter() {
                        let field = fault.field.trim_start_matches("strategy");
                        found.push(format!("strategies[{index}]{field}"), fault.rule.as_str());
                    }
                }
                checked => checked?,
            }
        }
        Ok(found.into_result()?)
    }
}

/// Away from the reactor: thousands of conditions are indexed anew.
async fn assemble_aside(
    state: &Arc<State>,
    claims: Vec<Claim>,
    gone: Vec<String>,
    strategies: Vec<Strategy>,
) -> Result<(Arc<RuleBase>, RuleBase), Error> {
    let state = Arc::clone(state);
    let assembling = tokio::task::spawn_blocking(move || {
        let (mut parts, live) = {
            let parts = state.parts.lock();
            (parts.fork(), state.base.load_full())
        };
        for id in &gone {
            parts.remove_rule(id);
        }
        for claim in claims {
            parts.put_rule(claim);
        }
        let mut items = state.items.write();
        for strategy in &strategies {
            parts.put_strategy(strategy.id(), Some(strategy), &mut items);
        }
        parts.place(&mut items);
        drop(items);
        (live, parts.assembled())
    });
    assembling
        .await
        .map_err(|_| attune_storage::Error::Panicked.into())
}
