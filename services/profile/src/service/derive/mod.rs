//! Brings what is derived of people up to date, inside the transaction that changes
//! them: finds out what reads what was touched, loads what is judged in bulk, and adds
//! what came of it to the batch's outcome. What is judged, and how, is the domain's.

mod person;

use std::{collections::BTreeSet, sync::Arc};

use attune_storage::Tx;
use rustc_hash::FxHashMap;

use super::{
    Shared,
    declarations::Declarations,
    windows::{Histories, Since, Wanted, Writing},
};
use crate::{
    Error,
    domain::{
        Occurrence, ProfileId,
        derive::{Derived, Extent, Touched},
        outcome::{self, Outcome, Told},
        people::Stored,
    },
    store::{Turn, codec::Seals, profiles},
};

pub use person::{Known, Nobody};

/// People to be looked at although nothing about them changed.
#[derive(Debug, Default)]
pub struct Again {
    pub profile_ids: Vec<ProfileId>,
    pub extent: Extent,
    /// For [`Extent::Filling`]: what is filled in.
    pub first: BTreeSet<u32>,
}

/// Whom to judge, and what first.
struct Plan {
    profile_id: ProfileId,
    extent: Extent,
    first: BTreeSet<u32>,
    past: Since,
}

/// In what a batch is carried out.
pub struct Context<'a> {
    pub shared: &'a Shared,
    pub workspace: &'a Arc<str>,
    pub declared: &'a Declarations,
    pub turn: &'a Turn,
}

/// Adds to an outcome, whose events are on the timeline by now, what is derived of it.
/// The histories are to be kept after the commit.
pub async fn derive(
    context: &Context<'_>,
    tx: &mut Tx,
    seals: &mut Seals,
    outcome: &mut Outcome,
    again: &Again,
) -> Result<Histories, Error> {
    let derived = &context.declared.derived;
    let mut plans = touched_plans(derived, outcome);
    let now_ms = context.shared.clock.now_ms();
    let mut loaded = FxHashMap::default();
    if !derived.is_empty() || !plans.is_empty() || !again.profile_ids.is_empty() {
        let planned = plans.iter().map(|plan| plan.profile_id);
        let ids = planned.chain(again.profile_ids.iter().copied());
        loaded = load(tx, seals, context.workspace, outcome, ids).await?;
        tell_segments(outcome, &loaded);
    }
    plans.extend(plans_again(derived, again, &loaded, now_ms));
    let wanted: Vec<_> = plans.iter().map(|plan| plan.wanted(derived)).collect();
    let writing = Writing {
        shared: context.shared,
        tx,
        seals,
        workspace: context.workspace,
        turn: context.turn,
        timeline: &outcome.timeline,
        now_ms,
    };
    // Also where nobody is judged: what is held of histories has to hear of the events.
    let histories = Histories::prepare(writing, &wanted).await?;
    for plan in plans {
        let id = plan.profile_id;
        let (changed, loaded) = (outcome.profiles.remove(&id), loaded.remove(&id));
        let is_changed = changed.is_some();
        // Of a merged profile nothing is derived.
        let living = changed.or(loaded).filter(|s| s.merged_into.is_none());
        let Some(mut stored) = living else {
            // Gone since it was noted when to look at it.
            outcome.derivations.due.push((id, None));
            continue;
        };
        let purposes = &context.declared.purposes;
        let person = Known {
            key: id.to_string(),
            history: histories.of(id),
            purposes,
            allowed: purposes.standing(&stored.record).allowed,
            now_ms,
        };
        let record = &mut stored.record;
        let mut changes = derived.derive(plan.first, plan.extent, &person, record, now_ms);
        // What was noted is over, whatever the record says of it.
        changes.due |= plan.extent == Extent::Time;
        if is_changed || !changes.is_empty() {
            outcome.derived(id, stored, changes, now_ms);
        }
    }
    Ok(histories)
}

impl Plan {
    fn wanted(&self, derived: &Derived) -> Wanted {
        let aggregates = derived.aggregates(&self.first);
        Wanted {
            profile_id: self.profile_id,
            aggregates: aggregates.into_iter().cloned().collect(),
            past: self.past,
        }
    }
}

fn touched_plans(derived: &Derived, outcome: &Outcome) -> Vec<Plan> {
    let mut events: FxHashMap<ProfileId, Vec<&Occurrence>> = FxHashMap::default();
    for row in &outcome.timeline {
        events
            .entry(row.owner.profile_id)
            .or_default()
            .push(&row.event);
    }
    let quiet = outcome.touched.keys().filter(|id| !events.contains_key(id));
    let ids: Vec<ProfileId> = quiet.chain(events.keys()).copied().collect();
    let planned = ids.into_iter().map(|profile_id| {
        let touched = touched(outcome, profile_id, events.get(&profile_id));
        Plan {
            profile_id,
            extent: touched.extent,
            first: derived.first(&touched),
            past: past(touched.extent),
        }
    });
    planned.filter(|plan| !plan.first.is_empty()).collect()
}

fn plans_again<'a>(
    derived: &'a Derived,
    again: &'a Again,
    loaded: &'a FxHashMap<ProfileId, Stored>,
    now_ms: i64,
) -> impl Iterator<Item = Plan> + 'a {
    again.profile_ids.iter().map(move |id| Plan {
        profile_id: *id,
        extent: again.extent,
        past: Since::Held,
        first: match (again.extent, loaded.get(id)) {
            (Extent::Filling, _) => again.first.clone(),
            (_, Some(stored)) => derived.due(&stored.record, now_ms),
            (_, None) => BTreeSet::new(),
        },
    })
}

fn touched<'a>(
    outcome: &'a Outcome,
    profile_id: ProfileId,
    events: Option<&Vec<&'a Occurrence>>,
) -> Touched<'a> {
    let events = events.into_iter().flatten();
    let mut touched = Touched {
        event_types: events.map(|event| event.kind.as_str()).collect(),
        ..Touched::default()
    };
    if let Some(changed) = outcome.touched.get(&profile_id) {
        touched.extent = extent(outcome, profile_id, changed);
        touched.traits = changed.traits.iter().map(String::as_str).collect();
        touched.consents = changed.consents.iter().map(String::as_str).collect();
        touched.lists = changed.lists.iter().map(String::as_str).collect();
    }
    touched
}

fn extent(outcome: &Outcome, profile_id: ProfileId, changed: &outcome::Touched) -> Extent {
    let took_over = || outcome.merges.iter().any(|m| m.survivor == profile_id);
    match changed.everything {
        true if outcome.created.contains(&profile_id) && !took_over() => Extent::New,
        true => Extent::Everything,
        false => Extent::Named,
    }
}

fn past(extent: Extent) -> Since {
    match extent {
        Extent::New => Since::None,
        Extent::Everything => Since::Moved,
        _ => Since::Held,
    }
}

/// What is stored of those who are judged or did something, and did not change.
async fn load(
    tx: &mut Tx,
    seals: &mut Seals,
    workspace: &Arc<str>,
    outcome: &Outcome,
    judged: impl Iterator<Item = ProfileId>,
) -> Result<FxHashMap<ProfileId, Stored>, Error> {
    let active = outcome.timeline.iter().map(|row| row.owner.profile_id);
    let ids: BTreeSet<_> = judged.chain(active).collect();
    let ids: Vec<_> = ids
        .into_iter()
        .filter(|id| !outcome.profiles.contains_key(id))
        .collect();
    Ok(profiles::stored(tx, seals, workspace, &ids).await?)
}

/// An event is told with the segments its person was in before.
fn tell_segments(outcome: &mut Outcome, loaded: &FxHashMap<ProfileId, Stored>) {
    let Outcome {
        tellings, profiles, ..
    } = outcome;
    for telling in tellings {
        let id = &telling.profile_id;
        if let Told::Recorded { segments, .. } = &mut telling.told
            && let Some(stored) = profiles.get(id).or_else(|| loaded.get(id))
        {
            *segments = stored.record.segments.keys().cloned().collect();
        }
    }
}
