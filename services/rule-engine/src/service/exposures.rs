//! What caps and fatigue count, kept durable and the same on every replica: written in
//! the transaction of the outcomes, read again at the start, and followed where others
//! write to the same database.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use attune_api::{
    events::v1::{LogEntry, log_entry::Change},
    rules::v1::OutcomeType,
    time,
};
use attune_rpc::{Slept, Tasks};
use attune_storage::{Database, Error, Tx};
use rustc_hash::FxHashMap;

use super::{
    people::Recorded,
    workspace::{State, Workspaces},
};
use crate::{
    domain::{
        caps,
        plan::{Budget, RuleBase, RulePlan},
    },
    store::{
        exposures::{self, Dismissal, Followed, Merge, PAGE, Parting, RuleExposures},
        outcomes::StoredOutcome,
    },
};

const POLL_EVERY: Duration = Duration::from_secs(1);
/// The longest period of any cap.
const KEPT_MS: i64 = 90 * 86_400_000;
/// Pages that are read before the first answer; the rest comes behind it.
const START_PAGES: usize = 10;

/// How far the outcomes are known: those committed up to `newest`, and from `oldest` on.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    pub newest: i64,
    oldest: i64,
}

/// Reads what counts most: merges, dismissals, budgets and the latest outcomes.
pub async fn load(database: &Database, workspaces: &Workspaces) -> Result<Known, Error> {
    // Before all else: what is committed meanwhile is then read again.
    let newest = exposures::head(database).await?;
    for merge in exposures::merges(database).await?.iter().rev() {
        let state = workspaces.get_or_add(&merge.workspace);
        state.people.merge(&merge.kept_id, &merge.merged_id);
    }
    for held in exposures::dismissals(database).await?.iter().rev() {
        let state = workspaces.get_or_add(&held.workspace);
        let items = state.items.read();
        let people = &state.people;
        people.dismissed(&items, &held.profile_id, &held.item_id, held.time_ms);
    }
    for (workspace, profile_id) in exposures::forgotten(database).await? {
        workspaces.get_or_add(&workspace).people.forget(&profile_id);
    }
    note_spent(database, workspaces).await?;
    let mut known = Known {
        newest,
        oldest: newest + 1,
    };
    for _ in 0..START_PAGES {
        if !load_older(database, workspaces, &mut known).await? {
            break;
        }
    }
    Ok(known)
}

/// Goes one page back. False where nothing is left that counts, or no room.
async fn load_older(
    database: &Database,
    workspaces: &Workspaces,
    known: &mut Known,
) -> Result<bool, Error> {
    let since_ms = time::now_ms() - KEPT_MS;
    let page = exposures::before(database, known.oldest, since_ms).await?;
    let Some(last) = page.last() else {
        return Ok(false);
    };
    known.oldest = last.sequence;
    take_in(workspaces, &page);
    let has_room = workspaces.all().iter().all(|state| !state.people.is_full());
    Ok(has_room && page.len() as i64 == PAGE)
}

/// Reads what the start left, and what others commit, until it is time to stop.
pub async fn keep(tasks: Tasks, database: Database, workspaces: Arc<Workspaces>, mut known: Known) {
    loop {
        match load_older(&database, &workspaces, &mut known).await {
            Ok(true) if !tasks.token().is_cancelled() => tokio::task::yield_now().await,
            Ok(_) => break,
            Err(error) => {
                tracing::warn!(%error, "older exposures could not be read");
                if tasks.sleep(POLL_EVERY).await == Slept::UntilStopped {
                    return;
                }
            }
        }
    }
    while database.is_shared() && tasks.sleep(POLL_EVERY).await == Slept::Through {
        if let Err(error) = poll(&database, &workspaces, &mut known).await {
            tracing::warn!(%error, "what other replicas recorded could not be read");
        }
    }
}

/// What this replica recorded comes again, and changes nothing.
async fn poll(
    database: &Database,
    workspaces: &Workspaces,
    known: &mut Known,
) -> Result<(), Error> {
    loop {
        let page = exposures::after(database, known.newest).await?;
        let Some(last) = page.last() else {
            break;
        };
        known.newest = last.sequence;
        take_in(workspaces, &page);
    }
    note_spent(database, workspaces).await
}

async fn note_spent(database: &Database, workspaces: &Workspaces) -> Result<(), Error> {
    for spent in exposures::spent(database).await? {
        note(&workspaces.get_or_add(&spent.workspace), &spent);
    }
    Ok(())
}

fn note(state: &State, spent: &RuleExposures) {
    let count = u64::try_from(spent.count).unwrap_or(0);
    let mut budgets = state.budgets.write();
    budgets.note(&spent.rule_id, spent.period_start_ms, count);
}

fn take_in(workspaces: &Workspaces, outcomes: &[Followed]) {
    for of_one in outcomes.chunk_by(|a, b| a.workspace == b.workspace) {
        let state = workspaces.get_or_add(&of_one[0].workspace);
        state.people.record(&state.items.read(), of_one);
    }
}

/// What a report of outcomes changes besides the outcomes themselves.
#[derive(Debug, Default)]
pub struct Effects {
    pub workspace: Arc<str>,
    outcomes: Vec<StoredOutcome>,
    /// By decision and position, what each exposure spends.
    spending: BTreeMap<Slot, Vec<(Arc<str>, i64)>>,
}

/// A decision and a position in it.
type Slot = (String, i64);

/// Committed effects, to be taken into memory.
pub type Spent = Vec<RuleExposures>;

impl Effects {
    pub fn of(state: &State, outcomes: &[StoredOutcome]) -> Self {
        let base = state.base.load();
        let exposure = i32::from(OutcomeType::Exposure);
        let exposed = outcomes.iter().filter(|o| o.outcome_type == exposure);
        let mut by_placement = FxHashMap::default();
        let spending = exposed.filter(|outcome| !outcome.rule_ids.is_empty());
        let spending = spending.filter_map(|outcome| {
            let placement = outcome.placement.as_str();
            let rules = by_placement.entry(placement);
            let rules = rules.or_insert_with(|| with_budget(&base, placement));
            let spent = spent_by(rules, outcome);
            let slot = (outcome.decision_id.clone(), outcome.position);
            (!spent.is_empty()).then_some((slot, spent))
        });
        Self {
            workspace: Arc::clone(&state.name),
            outcomes: outcomes.to_vec(),
            spending: spending.collect(),
        }
    }

    /// Stores them for the outcomes that are new.
    pub async fn apply(
        &self,
        tx: &mut Tx,
        is_new: impl Fn(&StoredOutcome) -> bool,
    ) -> Result<Spent, Error> {
        let new: Vec<&StoredOutcome> = self.outcomes.iter().filter(|o| is_new(o)).collect();
        let dismissals = self.dismissals(&new);
        if !dismissals.is_empty() {
            exposures::dismiss(tx, &dismissals).await?;
        }
        if self.spending.is_empty() {
            return Ok(Spent::new());
        }
        let mut spent = self.spent(tx, &new).await?;
        exposures::spend(tx, &mut spent).await?;
        Ok(spent)
    }

    fn dismissals(&self, new: &[&StoredOutcome]) -> Vec<Dismissal> {
        let dismiss = i32::from(OutcomeType::Dismiss);
        let told = new.iter().filter(|o| o.outcome_type == dismiss);
        let mut latest: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for outcome in told.filter(|outcome| !outcome.profile_id.is_empty()) {
            let key = (outcome.profile_id.as_str(), outcome.item_id.as_str());
            let time_ms = latest.entry(key).or_insert(outcome.time_ms);
            *time_ms = outcome.time_ms.max(*time_ms);
        }
        let dismissals = latest.into_iter();
        let dismissals = dismissals.map(|((profile_id, item_id), time_ms)| Dismissal {
            workspace: Arc::clone(&self.workspace),
            profile_id: profile_id.to_owned(),
            item_id: item_id.to_owned(),
            time_ms,
        });
        dismissals.collect()
    }

    /// An exposure of a slot counts once, under whatever ids it is reported.
    async fn spent(&self, tx: &mut Tx, new: &[&StoredOutcome]) -> Result<Spent, Error> {
        let exposure = i32::from(OutcomeType::Exposure);
        let mut fresh: FxHashMap<(&str, i64), usize> = FxHashMap::default();
        for outcome in new.iter().filter(|o| o.outcome_type == exposure) {
            let slot = (outcome.decision_id.as_str(), outcome.position);
            *fresh.entry(slot).or_default() += 1;
        }
        let mut counts: BTreeMap<(Arc<str>, i64), i64> = BTreeMap::new();
        let mut stored: Option<(&str, Vec<i64>)> = None;
        // In order of decisions, so that each is asked for once.
        for ((decision_id, position), spent) in &self.spending {
            let Some(told) = fresh.get(&(decision_id.as_str(), *position)) else {
                continue;
            };
            if stored.as_ref().is_none_or(|(held, _)| held != decision_id) {
                let workspace = &self.workspace;
                let positions =
                    exposures::exposed_positions(tx, workspace, decision_id, exposure).await?;
                stored = Some((decision_id, positions));
            }
            let stored = stored.iter().flat_map(|(_, positions)| positions);
            if stored.filter(|stored| *stored == position).count() > *told {
                continue;
            }
            for (rule_id, period_start_ms) in spent {
                *counts
                    .entry((Arc::clone(rule_id), *period_start_ms))
                    .or_default() += 1;
            }
        }
        let counts = counts.into_iter();
        let counts = counts.map(|((rule_id, period_start_ms), count)| RuleExposures {
            workspace: Arc::clone(&self.workspace),
            rule_id,
            period_start_ms,
            count,
        });
        Ok(counts.collect())
    }
}

/// The rules with a budget that may apply in a placement.
fn with_budget<'a>(base: &'a RuleBase, placement: &str) -> Vec<(&'a RulePlan, Budget)> {
    let rules = base.rules.tables(placement).flat_map(|table| table.all());
    rules
        .filter_map(|rule| Some((&**rule, rule.budget?)))
        .collect()
}

/// Those that touched an outcome's slot, with the period it falls in.
fn spent_by(rules: &[(&RulePlan, Budget)], outcome: &StoredOutcome) -> Vec<(Arc<str>, i64)> {
    let touching = rules.iter().filter(|(rule, _)| {
        let mut ids = outcome.rule_ids.iter();
        ids.any(|id| **id == *rule.id)
    });
    let spent = touching.map(|(rule, budget)| {
        let start_ms = caps::period_start_ms(rule, *budget, outcome.time_ms);
        (Arc::clone(&rule.id), start_ms)
    });
    spent.collect()
}

/// After the commit: what was new, and what has been spent by now.
pub fn committed<'a>(
    state: &State,
    new: impl Iterator<Item = &'a StoredOutcome>,
    spent: &[RuleExposures],
) {
    let new: Vec<Followed> = new.map(|outcome| followed(state, outcome)).collect();
    state.people.record(&state.items.read(), &new);
    for one in spent {
        note(state, one);
    }
}

fn followed(state: &State, outcome: &StoredOutcome) -> Followed {
    Followed {
        sequence: 0,
        workspace: Arc::clone(&state.name),
        decision_id: outcome.decision_id.clone(),
        outcome_type: outcome.outcome_type,
        item_id: outcome.item_id.clone(),
        profile_id: outcome.profile_id.clone(),
        time_ms: outcome.time_ms,
        placement: outcome.placement.clone(),
        channel: outcome.channel.clone(),
        rule_ids: outcome.rule_ids.join(" "),
    }
}

/// Who is who from now on.
#[derive(Debug, Clone)]
enum Regrouping {
    Merged(Merge),
    Parted(Parting),
}

/// Takes the merges of a batch of the profile's log, made and undone, into the database
/// and memory. Safe to repeat.
pub async fn follow_merges(
    database: &Database,
    workspaces: &Workspaces,
    entries: &[LogEntry],
) -> Result<(), Error> {
    let regrouped: Vec<_> = entries.iter().filter_map(regrouping_of).collect();
    if regrouped.is_empty() {
        return Ok(());
    }
    let regrouped = Arc::new(regrouped);
    let storing = Arc::clone(&regrouped);
    database
        .write(move |tx: &mut Tx| {
            let regrouped = Arc::clone(&storing);
            Box::pin(async move {
                for regrouping in regrouped.iter() {
                    match regrouping {
                        Regrouping::Merged(merge) => exposures::merge(tx, merge).await?,
                        Regrouping::Parted(parting) => exposures::part(tx, parting).await?,
                    }
                }
                Ok::<(), Error>(())
            })
        })
        .await?;
    for regrouping in regrouped.iter() {
        match regrouping {
            Regrouping::Merged(merge) => {
                let state = workspaces.get_or_add(&merge.workspace);
                state.people.merge(&merge.kept_id, &merge.merged_id);
            }
            Regrouping::Parted(parting) => part(database, workspaces, parting).await?,
        }
    }
    Ok(())
}

/// Gives each side what was recorded under its own ids: what they saw while they were one
/// was recorded for the one that stayed.
async fn part(
    database: &Database,
    workspaces: &Workspaces,
    parting: &Parting,
) -> Result<(), Error> {
    let state = workspaces.get_or_add(&parting.workspace);
    let recorded = recorded(database, parting).await?;
    state.people.part(&state.items.read(), parting, &recorded);
    // What was reported since it was read is in memory by now, or is found now.
    let recorded = self::recorded(database, parting).await?;
    let items = state.items.read();
    state.people.record(&items, &recorded.outcomes);
    for held in &recorded.dismissals {
        let people = &state.people;
        people.dismissed(&items, &held.profile_id, &held.item_id, held.time_ms);
    }
    Ok(())
}

async fn recorded(database: &Database, parting: &Parting) -> Result<Recorded, Error> {
    let since_ms = time::now_ms() - KEPT_MS;
    let workspace = &parting.workspace;
    let mut recorded = Recorded::default();
    // One after the other, so that neither takes the other's room.
    for ids in parting.sides() {
        let outcomes = exposures::of_people(database, workspace, ids.clone(), since_ms).await?;
        recorded.outcomes.extend(outcomes);
        let dismissals = exposures::dismissals_of(database, workspace, ids).await?;
        recorded.dismissals.extend(dismissals);
    }
    Ok(recorded)
}

fn regrouping_of(entry: &LogEntry) -> Option<Regrouping> {
    let workspace = entry.workspace.as_str().into();
    match entry.change.as_ref()? {
        Change::ProfilesMerged(merged) => {
            let time = entry.commit_time.as_ref();
            Some(Regrouping::Merged(Merge {
                workspace,
                kept_id: merged.profile_id.clone(),
                merged_id: merged.merged_profile_id.clone(),
                time_ms: time.map_or_else(time::now_ms, time::to_ms),
            }))
        }
        Change::ProfilesUnmerged(parted) => Some(Regrouping::Parted(Parting {
            workspace,
            kept_id: parted.profile_id.clone(),
            unmerged_id: parted.unmerged_profile_id.clone(),
            staying_ids: parted.staying_profile_ids.clone(),
            leaving_ids: parted.leaving_profile_ids.clone(),
        })),
        _ => None,
    }
}

/// Forgets a person: in memory, in what is kept of them, and in the outcomes, which
/// stay as those of a stranger.
pub async fn forget(
    database: &Database,
    workspaces: &Workspaces,
    workspace: &str,
    profile_id: &str,
) -> Result<(), Error> {
    let (name, id): (Arc<str>, Arc<str>) = (workspace.into(), profile_id.into());
    // First in memory: who records outcomes looks there before and after.
    workspaces.get_or_add(workspace).people.forget(profile_id);
    database
        .write(move |tx: &mut Tx| {
            let (name, id) = (Arc::clone(&name), Arc::clone(&id));
            Box::pin(async move { exposures::forget(tx, &name, &id).await })
        })
        .await?;
    Ok(())
}
