//! From outcomes to counts, behind the answers. The position up to which outcomes were
//! counted is stored with the counts, so that each counts once, whatever process
//! counted it and whenever it stopped. Holds nothing that the database does not.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use attune_rpc::{Slept, Tasks};
use attune_storage::{Database, Error, Tx};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::{
    SERVICE,
    domain::{
        attribution::{self, Kind},
        decide::Decided,
        plan::PlacementPlan,
        report::{DAY_MS, Measures},
    },
    store::{
        self,
        outcomes::SequencedOutcome,
        reports::{Breakdown, RowKey},
    },
};

/// The name of the outcomes as something that is followed.
const OUTCOMES: &str = "outcomes";
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// Outcomes counted in one transaction.
const BATCH_MAX: i64 = 2_000;
/// What channels and items are counted under when a day has its fill of rows.
const OTHER: &str = "(other)";
/// Days whose rows are watched at a time: who reports late reports of few days.
const WATCHED_MAX: usize = 10_000;

/// Counts to be added, in the order in which they are.
pub type Counts = BTreeMap<RowKey, Measures>;

/// A day of a workspace.
type Day = (Arc<str>, i64);

/// Counts outcomes.
pub struct Reports {
    database: Database,
    rows_per_day_max: i64,
    days: Mutex<HashMap<Day, Rows>>,
}

/// How many rows a day has, at most.
#[derive(Clone, Copy)]
struct Rows {
    counted: i64,
    /// Counts added since; some of them to rows that were there.
    added: i64,
}

impl Reports {
    pub fn new(database: &Database, rows_per_day_max: u32) -> Self {
        Self {
            database: database.clone(),
            rows_per_day_max: rows_per_day_max.into(),
            days: Mutex::default(),
        }
    }

    /// Counts what is reported until it is time to stop.
    pub async fn follow(self: Arc<Self>, tasks: Tasks) {
        loop {
            match self.count_some().await {
                Ok(Some(BATCH_MAX)) if !tasks.token().is_cancelled() => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "outcomes could not be counted"),
            }
            if tasks.sleep(COUNT_EVERY).await == Slept::UntilStopped {
                return;
            }
        }
    }

    /// Counts the next outcomes and says how many; None where another replica did.
    async fn count_some(&self) -> Result<Option<i64>, Error> {
        let from = self.database.position(SERVICE, OUTCOMES).await?;
        let outcomes = store::outcomes::after(&self.database, from, BATCH_MAX).await?;
        let Some(last) = outcomes.last() else {
            return Ok(Some(0));
        };
        let (to, count) = (last.sequence, outcomes.len() as i64);
        let days: HashSet<Day> = outcomes.iter().filter_map(day_of).collect();
        let full = Arc::new(self.full_days(days).await?);
        let outcomes = Arc::new(outcomes);
        let added: Option<Counts> = self
            .database
            .write(move |tx: &mut Tx| {
                let (outcomes, full) = (Arc::clone(&outcomes), Arc::clone(&full));
                Box::pin(async move {
                    if !store::reports::advance(tx, SERVICE, OUTCOMES, from, to).await? {
                        return Ok::<_, Error>(None);
                    }
                    let counts = fold(count_outcomes(tx, &outcomes).await?, &full);
                    store::reports::add(tx, counts.iter()).await?;
                    Ok(Some(counts))
                })
            })
            .await?;
        Ok(added.map(|counts| {
            self.note(&counts);
            count
        }))
    }

    /// Counts that can be added without a day outgrowing its bound. Call
    /// [`Reports::note`] when they were.
    pub async fn fit(&self, counts: Counts) -> Result<Counts, Error> {
        let days = counts
            .keys()
            .map(|key| (Arc::clone(&key.workspace), key.day));
        let full = self.full_days(days.collect()).await?;
        Ok(fold(counts, &full))
    }

    pub fn note(&self, counts: &Counts) {
        let mut days = self.days.lock();
        for key in counts.keys() {
            if let Some(rows) = days.get_mut(&(Arc::clone(&key.workspace), key.day)) {
                rows.added += 1;
            }
        }
    }

    /// Days that take no more rows. The database is asked only when a day could be full.
    async fn full_days(&self, wanted: HashSet<Day>) -> Result<HashSet<Day>, Error> {
        let mut full = HashSet::new();
        for day in wanted {
            let known = self.days.lock().get(&day).copied();
            let max = self.rows_per_day_max;
            let counted = match known {
                Some(rows) if rows.counted >= max => rows.counted,
                Some(rows) if rows.counted + rows.added < max => continue,
                _ => store::reports::row_count(&self.database, &day.0, day.1).await?,
            };
            if counted >= max {
                full.insert(day.clone());
            }
            let mut days = self.days.lock();
            if days.len() >= WATCHED_MAX {
                days.clear();
            }
            days.insert(day, Rows { counted, added: 0 });
        }
        Ok(full)
    }
}

/// What one decision adds: to its place, and to the rules that touched what it shows.
pub fn count_decision(
    counts: &mut Counts,
    workspace: &Arc<str>,
    decision_id: Uuid,
    channel: &Arc<str>,
    plan: &PlacementPlan,
    decided: &Decided,
) {
    let key = |breakdown, key: Arc<str>| RowKey {
        workspace: Arc::clone(workspace),
        breakdown,
        day: attribution::decision_ms(decision_id).div_euclid(DAY_MS),
        placement: Arc::clone(&plan.id),
        strategy: Arc::clone(&plan.strategy.id),
        channel: Arc::clone(channel),
        key,
    };
    let one = Measures {
        decisions: 1,
        ..Measures::default()
    };
    add(counts, key(Breakdown::None, "".into()), &one);
    let mut rules: Vec<&str> = decided
        .slots
        .iter()
        .flat_map(|slot| slot.rule_ids())
        .collect();
    rules.sort_unstable();
    rules.dedup();
    for rule in rules {
        add(counts, key(Breakdown::Rule, rule.into()), &one);
    }
}

fn day_of(outcome: &SequencedOutcome) -> Option<Day> {
    let id = Uuid::try_parse(&outcome.decision_id).ok()?;
    let day = attribution::decision_ms(id).div_euclid(DAY_MS);
    Some((Arc::clone(&outcome.workspace), day))
}

/// Takes outcomes into the states of their slots.
async fn count_outcomes(tx: &mut Tx, outcomes: &[SequencedOutcome]) -> Result<Counts, Error> {
    let mut by_workspace: BTreeMap<&Arc<str>, Vec<&SequencedOutcome>> = BTreeMap::new();
    // Tokens of before tokens told where they were shown cannot be counted anywhere.
    let counted = outcomes
        .iter()
        .filter(|o| o.attributed && !o.placement.is_empty());
    for outcome in counted {
        let held = by_workspace.entry(&outcome.workspace).or_default();
        held.push(outcome);
    }
    let mut counts = Counts::new();
    for (workspace, outcomes) in by_workspace {
        let ids: HashSet<&String> = outcomes.iter().map(|o| &o.decision_id).collect();
        let ids = ids.into_iter().cloned().collect();
        let mut slots = store::reports::slots(tx, workspace, ids).await?;
        let mut touched = BTreeMap::new();
        for outcome in outcomes {
            let (Some(kind), Some((_, day))) =
                (Kind::of_number(outcome.outcome_type), day_of(outcome))
            else {
                continue;
            };
            let slot = (outcome.decision_id.clone(), outcome.position);
            let state = slots.entry(slot.clone()).or_default();
            let added = state.take(kind, outcome.value);
            touched.insert(slot, *state);
            if added != Measures::default() {
                count_outcome(&mut counts, outcome, day, &added);
            }
        }
        store::reports::put_slots(tx, workspace, touched.iter()).await?;
    }
    Ok(counts)
}

fn count_outcome(counts: &mut Counts, outcome: &SequencedOutcome, day: i64, added: &Measures) {
    let key = |breakdown, key: Arc<str>| RowKey {
        workspace: Arc::clone(&outcome.workspace),
        breakdown,
        day,
        placement: Arc::clone(&outcome.placement),
        strategy: Arc::clone(&outcome.strategy),
        channel: Arc::clone(&outcome.channel),
        key,
    };
    add(counts, key(Breakdown::None, "".into()), added);
    let item = Arc::clone(&outcome.item_id);
    add(counts, key(Breakdown::Item, item), added);
    for rule in outcome.rule_ids.split_whitespace() {
        add(counts, key(Breakdown::Rule, rule.into()), added);
    }
}

fn add(counts: &mut Counts, key: RowKey, added: &Measures) {
    counts.entry(key).or_default().add(added);
}

/// What goes to full days is counted without its channel and item, which anybody can
/// make up or have many of; placements, strategies and rules are bounded.
fn fold(counts: Counts, full: &HashSet<Day>) -> Counts {
    if full.is_empty() {
        return counts;
    }
    let mut folded = Counts::new();
    for (mut key, added) in counts {
        if full.contains(&(Arc::clone(&key.workspace), key.day)) {
            key.channel = OTHER.into();
            if key.breakdown == Breakdown::Item {
                key.key = OTHER.into();
            }
        }
        add(&mut folded, key, &added);
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_day_takes_no_new_channels_and_items() {
        let key = |day, breakdown, channel: &str, key: &str| RowKey {
            workspace: "w".into(),
            breakdown,
            day,
            placement: "home".into(),
            strategy: "default".into(),
            channel: channel.into(),
            key: key.into(),
        };
        let seen = Measures {
            exposures: 1,
            ..Measures::default()
        };
        let rows = [
            key(1, Breakdown::None, "a", ""),
            key(1, Breakdown::None, "b", ""),
            key(1, Breakdown::Item, "a", "tent"),
            key(1, Breakdown::Item, "b", "stove"),
            key(1, Breakdown::Rule, "a", "sale"),
            key(2, Breakdown::Item, "a", "tent"),
        ];
        let counts = rows.into_iter().map(|key| (key, seen)).collect();
        let full = HashSet::from([("w".into(), 1)]);
        let folded: Vec<_> = fold(counts, &full)
            .into_iter()
            .map(|(key, added)| (key.day, key.channel, key.key, added.exposures))
            .collect();
        let expected: Vec<(i64, Arc<str>, Arc<str>, i64)> = vec![
            (1, OTHER.into(), "".into(), 2),
            (1, OTHER.into(), OTHER.into(), 2),
            (2, "a".into(), "tent".into(), 1),
            (1, OTHER.into(), "sale".into(), 1),
        ];
        assert_eq!(folded, expected);
    }
}
