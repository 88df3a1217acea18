//! Drops what has been kept as long as its class allows: a pass over all people, a page
//! at a time, through the writer's turn wherever something has to go, so that what is
//! derived from it follows. One process does it at a time, and another goes on where it
//! stopped. Never drops what a class does not name.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use attune_rpc::{Caller, Slept, Tasks, Workspace};
use attune_storage::{Database, Tx};
use futures::FutureExt;
use rustc_hash::FxHashSet;

use super::{
    Service, Shared,
    declarations::Declarations,
    erase, lookup,
    write::{self, Asked, Written},
};
use crate::{
    Error,
    domain::{
        ProfileId,
        linking::Step,
        retention::{self, Classes, Rule},
    },
    store::{
        self, audit, profiles,
        retention::{self as stored, Claim, Place, Table, Times},
    },
};

mod decisions;
#[cfg(test)]
mod tests;

/// After a pass that failed.
const RETRY_AFTER: Duration = Duration::from_secs(60);
/// Between pages, so that a pass never is what a service does most.
const PAUSE: Duration = Duration::from_millis(5);
const LEASE_MS: i64 = 10 * 60_000;
/// People looked at together.
const PAGE: i64 = 200;
/// Rows dropped in one write.
const ROWS_MAX: i64 = 2_000;
/// Pages after which progress is written down.
const PAGES_NOTED: usize = 25;

/// Until the tasks stop. A pass that fails is told in the log and resumed later.
pub async fn run(service: Arc<Service>, tasks: Tasks) {
    let token = tasks.token();
    while !token.is_cancelled() {
        match pass(&service, &tasks).await {
            Ok(next_ms) => tokio::select! {
                () = service.shared.clock.sleep_until(next_ms) => {}
                () = token.cancelled() => {}
            },
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "what is too old could not be dropped"
                );
                tasks.sleep(RETRY_AFTER).await;
            }
        }
    }
}

/// A pass, if it is time for one. Says when it may be time for the next.
async fn pass(service: &Arc<Service>, tasks: &Tasks) -> Result<i64, Error> {
    let settings = &service.shared.config.retention;
    let times = Times {
        now_ms: service.shared.clock.now_ms(),
        every_ms: i64::from(settings.every_hours) * 3_600_000,
        lease_ms: LEASE_MS,
    };
    let database = &service.shared.database;
    let claimed = database
        .write(move |tx| async move { stored::claim(tx, times).await }.boxed())
        .await?;
    let mut place = match claimed {
        Claim::From(place) => place,
        Claim::NotBefore(next_ms) => return Ok(next_ms),
    };
    let classes = Classes::new(&settings.days);
    loop {
        if !place.workspace.is_empty() {
            let workspace = Arc::from(place.workspace.as_str());
            let keep = Keep::of(service, &classes, workspace).await?;
            if place.profile_id.is_empty() {
                keep.drop_messages().await?;
                keep.drop_audit_entries().await?;
            }
            if keep.people(&mut place, tasks).await? == Slept::UntilStopped {
                // Whoever looks next may go on at once.
                note(database, &place, 0).await?;
                return Ok(times.now_ms);
            }
        }
        let Some(workspace) = stored::workspace_after(database, &place.workspace).await? else {
            break;
        };
        let profile_id = String::new();
        place = Place {
            workspace,
            profile_id,
        };
    }
    database
        .write(|tx| async move { stored::finish(tx).await }.boxed())
        .await?;
    Ok(times.now_ms.saturating_add(times.every_ms))
}

async fn note(database: &Database, place: &Place, now_ms: i64) -> Result<(), Error> {
    let place = place.clone();
    database
        .write(move |tx| {
            let place = place.clone();
            async move { Ok(stored::progress(tx, &place, now_ms).await?) }.boxed()
        })
        .await
}

/// What is kept of a workspace's data, and from when on.
struct Keep<'a> {
    service: &'a Arc<Service>,
    workspace: Arc<str>,
    events: Vec<Rule>,
    past: Vec<Rule>,
    /// By trait.
    traits: Arc<BTreeMap<String, i64>>,
    messages_ms: Option<i64>,
    audit_ms: Option<i64>,
    consents_ms: Option<i64>,
    anonymous_ms: Option<i64>,
}

impl<'a> Keep<'a> {
    async fn of(
        service: &'a Arc<Service>,
        classes: &Classes,
        workspace: Arc<str>,
    ) -> Result<Self, Error> {
        let shared = &service.shared;
        let declared = shared
            .declared
            .current(&shared.database, &workspace)
            .await?;
        let now_ms = shared.clock.now_ms();
        let at = |class| classes.cutoff_ms(class, now_ms);
        let traits = traits_with_classes(&declared);
        let mut past = retention::rules(classes, traits, "", now_ms);
        // Whatever the trait's own class says.
        past.extend(at(retention::TRAIT_HISTORY).map(Rule::for_all));
        Ok(Self {
            events: retention::rules(
                classes,
                event_types_with_classes(&declared),
                retention::EVENTS,
                now_ms,
            ),
            past,
            traits: Arc::new(retention::of_traits(
                classes,
                traits_with_classes(&declared),
                now_ms,
            )),
            messages_ms: at(retention::MESSAGES),
            audit_ms: at(retention::AUDIT),
            consents_ms: at(retention::CONSENT_HISTORY),
            anonymous_ms: at(retention::ANONYMOUS_PROFILES),
            workspace,
            service,
        })
    }

    /// Everybody after `place`, which moves on.
    async fn people(&self, place: &mut Place, tasks: &Tasks) -> Result<Slept, Error> {
        let database = &self.service.shared.database;
        let mut pages = 0;
        loop {
            let people = stored::people_after(database, place, PAGE).await?;
            let Some(last) = people.last() else {
                return Ok(Slept::Through);
            };
            place.profile_id = last.to_string();
            self.page(people).await?;
            pages += 1;
            if pages % PAGES_NOTED == 0 {
                note(database, place, self.service.shared.clock.now_ms()).await?;
            }
            if tasks.sleep(PAUSE).await == Slept::UntilStopped {
                return Ok(Slept::UntilStopped);
            }
        }
    }

    async fn page(&self, mut people: Vec<ProfileId>) -> Result<(), Error> {
        let gone = self.erase_idle(&people).await?;
        people.retain(|id| !gone.contains(id));
        for (table, rules) in [
            (Table::Events, &self.events),
            (Table::TraitHistory, &self.past),
        ] {
            for rule in rules {
                self.drop_rows(table, &people, rule).await?;
            }
        }
        self.drop_decisions(&people).await?;
        self.drop_traits(&people).await
    }

    async fn drop_rows(
        &self,
        table: Table,
        people: &[ProfileId],
        rule: &Rule,
    ) -> Result<(), Error> {
        let shared = &self.service.shared;
        let (database, workspace) = (&shared.database, &self.workspace);
        let owners = stored::owners(database, table, workspace, people, rule).await?;
        if owners.is_empty() {
            return Ok(());
        }
        let expiry = Arc::new(Expiry {
            workspace: workspace.clone(),
            people: owners,
            rows: Some((table, rule.clone())),
            traits: Arc::default(),
        });
        let class = match table {
            Table::Events => retention::EVENTS,
            Table::TraitHistory => retention::TRAIT_HISTORY,
        };
        loop {
            let dropped = self.expire(expiry.clone()).await?;
            shared.metrics.expired(class, dropped);
            if (dropped as i64) < ROWS_MAX {
                return Ok(());
            }
        }
    }

    /// Values that are held, of traits with a class of their own.
    async fn drop_traits(&self, people: &[ProfileId]) -> Result<(), Error> {
        if self.traits.is_empty() || people.is_empty() {
            return Ok(());
        }
        let expiry = Arc::new(Expiry {
            workspace: self.workspace.clone(),
            people: people.to_vec(),
            rows: None,
            traits: self.traits.clone(),
        });
        let dropped = self.expire(expiry).await?;
        self.service.shared.metrics.expired("traits", dropped);
        Ok(())
    }

    async fn expire(&self, expiry: Arc<Expiry>) -> Result<usize, Error> {
        let expire = move |shared| async move { expire(&shared, expiry).await }.boxed();
        self.service.in_turn(expire).await
    }

    /// People nobody knows and who do not come back. Says who went.
    async fn erase_idle(&self, people: &[ProfileId]) -> Result<FxHashSet<ProfileId>, Error> {
        let Some(since_ms) = self.anonymous_ms else {
            return Ok(FxHashSet::default());
        };
        let database = &self.service.shared.database;
        // Its name is valid, or it would not have come to hold people.
        let Ok(workspace) = Workspace::new(&self.workspace) else {
            return Ok(FxHashSet::default());
        };
        let mut gone = FxHashSet::default();
        for profile_id in stored::idle(database, &self.workspace, people, since_ms).await? {
            let asked = erase::Asked {
                caller: Caller::new(workspace.clone()),
                profile_id,
                reason: "not heard of for as long as anonymous people are kept".to_owned(),
                traceparent: String::new(),
                idle_since_ms: Some(since_ms),
            };
            if self.service.erase_if_idle(asked).await? {
                gone.insert(profile_id);
            }
        }
        if !gone.is_empty() {
            erase::empty_log_file(&self.service.shared).await?;
        }
        let metrics = &self.service.shared.metrics;
        metrics.expired(retention::ANONYMOUS_PROFILES, gone.len());
        Ok(gone)
    }

    async fn drop_messages(&self) -> Result<(), Error> {
        let Some(before_ms) = self.messages_ms else {
            return Ok(());
        };
        let shared = &self.service.shared;
        let mut after = String::new();
        loop {
            let (workspace, from) = (self.workspace.clone(), after);
            let step = shared
                .database
                .write(move |tx| {
                    let (workspace, from) = (workspace.clone(), from.clone());
                    async move {
                        store::lock(tx, 0).await?;
                        stored::drop_messages(tx, &workspace, &from, before_ms, ROWS_MAX).await
                    }
                    .boxed()
                })
                .await?;
            let Some((last, dropped)) = step else {
                return Ok(());
            };
            let dropped = usize::try_from(dropped).unwrap_or(usize::MAX);
            shared.metrics.expired(retention::MESSAGES, dropped);
            after = last;
        }
    }

    async fn drop_audit_entries(&self) -> Result<(), Error> {
        let Some(before_ms) = self.audit_ms else {
            return Ok(());
        };
        let shared = &self.service.shared;
        loop {
            let workspace = self.workspace.clone();
            let dropped = shared
                .database
                .write(move |tx| {
                    let workspace = workspace.clone();
                    async move {
                        store::lock(tx, 0).await?;
                        audit::trim(tx, &workspace, before_ms, ROWS_MAX).await
                    }
                    .boxed()
                })
                .await?;
            shared.metrics.expired(retention::AUDIT, dropped);
            if (dropped as i64) < ROWS_MAX {
                return Ok(());
            }
        }
    }
}

/// What is to go of some people, in one write.
struct Expiry {
    workspace: Arc<str>,
    people: Vec<ProfileId>,
    rows: Option<(Table, Rule)>,
    /// By trait, values from before a moment.
    traits: Arc<BTreeMap<String, i64>>,
}

/// In its turn. Says how many rows or values went.
async fn expire(shared: &Arc<Shared>, expiry: Arc<Expiry>) -> Result<usize, Error> {
    let tried = shared.clone();
    let (dropped, mut written) = shared
        .database
        .write(move |tx| {
            let (shared, expiry) = (tried.clone(), expiry.clone());
            async move { write(&shared, tx, &expiry).await }.boxed()
        })
        .await?;
    write::committed(shared, written.as_mut_slice()).await;
    Ok(dropped)
}

async fn write(
    shared: &Arc<Shared>,
    tx: &mut Tx,
    expiry: &Expiry,
) -> Result<(usize, Option<Written>), Error> {
    let mut turn = write::begin(shared, tx, 0).await?;
    let workspace = &expiry.workspace;
    let mut seals = shared.codec.of(workspace);
    let (dropped, concerned) = match &expiry.rows {
        Some((table, rule)) => {
            let people = &expiry.people;
            let owners = stored::drop_rows(tx, *table, workspace, people, rule, ROWS_MAX).await?;
            let count = owners.len();
            let owners: FxHashSet<_> = owners.into_iter().collect();
            // Nothing is derived from values that hold no longer.
            let derived = *table == Table::Events;
            (count, owners.into_iter().filter(|_| derived).collect())
        }
        None => {
            let held = profiles::stored(tx, &mut seals, workspace, &expiry.people).await?;
            let mut count = 0;
            let mut concerned = FxHashSet::default();
            for (id, stored) in &held {
                let too_old = stored.said().too_old(&expiry.traits).count();
                count += too_old;
                if too_old > 0 {
                    // What a part of a person says is the person's.
                    concerned.insert(stored.merged_into.unwrap_or(*id));
                }
            }
            (count, concerned.into_iter().collect())
        }
    };
    let concerned: Vec<ProfileId> = concerned;
    if concerned.is_empty() {
        return Ok((dropped, None));
    }
    let found = lookup::people(shared, tx, workspace, &concerned).await?;
    let steps = concerned.into_iter().map(|profile_id| Step::Expire {
        profile_id,
        traits: expiry.traits.clone(),
    });
    let asked = Asked {
        workspace: workspace.clone(),
        steps: vec![steps.collect()],
        traceparents: vec![String::new()],
        found,
        seals,
    };
    let written = write::carry_out(shared, tx, &mut turn, asked).await?;
    Ok((dropped, Some(written)))
}

/// Declared kinds of events with their classes.
fn event_types_with_classes(declared: &Declarations) -> impl Iterator<Item = (&str, &str)> {
    let declared = declared.schema.event_types.iter();
    declared.map(|(id, schema)| (id.as_str(), schema.retention_class.as_str()))
}

/// Declared traits with their classes.
fn traits_with_classes(declared: &Declarations) -> impl Iterator<Item = (&str, &str)> {
    let declared = declared.schema.traits.iter();
    declared.map(|(id, schema)| (id.as_str(), schema.retention_class.as_str()))
}
