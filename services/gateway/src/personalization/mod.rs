//! The main job: one answer out of four services, within the caller's deadline. What a
//! peer cannot give costs its part of the answer and is named in `degradations`; only
//! what the caller did wrong is an error.

mod compose;
mod degradations;
mod editorial;
mod once;
mod render;
mod rpc;
mod stale;
pub mod wire;

pub use rpc::Server;

use std::time::{Duration, Instant};

use attune_api::{
    gateway::v1::PersonalizedProfile,
    profile::v1::{Basis, GetSnapshotRequest, GetSnapshotResponse, IngestRequest},
    rules::v1::{PlacementRequest, RecordOutcomesRequest, RecordOutcomesResponse},
    time,
    r#type::v1::{Scope, Subject},
};
use attune_rpc::{Caller, Tasks};
use bytes::Bytes;
use uuid::Uuid;

use self::{
    compose::Items,
    degradations::{Degradations, Peer},
    editorial::Editorial,
    stale::{PlacementKey, Stale},
};
use crate::{
    Error,
    clients::Clients,
    config::Config,
    convert::{collection, personalize as convert, verdict},
    domain::{
        budget::{Budget, Shares},
        key::{Scopes, scope_name},
    },
    door::Signal,
};

pub struct Personalization {
    clients: Clients,
    shares: Shares,
    deadline_default: Duration,
    batch_concurrency: usize,
    stale: Stale,
    editorial: Editorial,
    metrics: degradations::Metrics,
}

/// What an answer may rest on about the person.
#[derive(Clone, Default)]
pub(crate) struct Person {
    pub profile_id: String,
    pub basis: i32,
    pub segments: Vec<String>,
    /// A `Snapshot`; empty for a stranger.
    pub snapshot: Bytes,
}

impl Person {
    /// Somebody whose consent could not be asked for, and so nobody's data is used.
    fn out_of_reach() -> Self {
        Self {
            basis: Basis::ContextOnly.into(),
            ..Self::default()
        }
    }
}

/// One answer in the making.
struct Answer<'a> {
    caller: &'a Caller,
    budget: Budget,
    degraded: Degradations<'a>,
}

impl Answer<'_> {
    fn slice(&self, share: f64) -> Duration {
        self.budget.slice(Instant::now(), share)
    }
}

impl Personalization {
    pub fn new(config: &Config, clients: Clients) -> Self {
        let settings = &config.personalize;
        Self {
            editorial: Editorial::new(clients.rules.clone(), settings.stale_rankings_max),
            clients,
            shares: settings.shares(),
            deadline_default: Duration::from_millis(settings.deadline_default_ms),
            batch_concurrency: settings.batch_concurrency_max,
            stale: Stale::new(settings),
            metrics: degradations::Metrics::new(),
        }
    }

    pub fn start(&self, tasks: &Tasks) {
        self.editorial.start(tasks);
    }

    /// Consent was changed: what is remembered of people may hold what was withdrawn.
    pub fn forget_profiles(&self) {
        self.stale.forget_profiles();
    }

    pub async fn personalize(
        &self,
        caller: &Caller,
        scopes: Scopes,
        request: wire::PersonalizeRequest,
        signal: Signal,
    ) -> Result<wire::PersonalizeResponse, Error> {
        let mut request = convert::personalize(request)?;
        request.signal = signal;
        let mut answer = self.begin(caller);
        let events = std::mem::take(&mut request.events);
        if !events.is_empty() {
            if !scopes.allow(Scope::Write) {
                return Err(Error::Scope(scope_name(Scope::Write)));
            }
            self.ingest(&mut answer, &request.subject, events, signal)
                .await?;
        }
        self.answer(answer, request).await
    }

    /// Everything after the events: also the body of a batch.
    async fn answer(
        &self,
        mut answer: Answer<'_>,
        request: convert::Personalize,
    ) -> Result<wire::PersonalizeResponse, Error> {
        let region = convert::region(&request.context);
        let person = self
            .person(&mut answer, request.subject, region, request.signal)
            .await?;
        let context = request.context;
        let decided = self
            .decide(&mut answer, &person, request.decide, &context)
            .await?;
        let items = self.items(&mut answer, &decided).await?;
        let contents = self
            .render(&mut answer, &person, &context, &decided, &items)
            .await;
        Ok(wire::PersonalizeResponse {
            response_id: Uuid::now_v7().to_string(),
            profile: Some(PersonalizedProfile {
                id: person.profile_id,
                segments: person.segments,
            }),
            basis: person.basis,
            placements: compose::placements(decided, &items, contents),
            degradations: answer.degraded.into_list(),
        })
    }

    fn begin<'a>(&'a self, caller: &'a Caller) -> Answer<'a> {
        Answer {
            caller,
            budget: Budget::new(Instant::now(), caller.deadline, self.deadline_default),
            degraded: Degradations::new(&self.metrics),
        }
    }

    /// Events that the profile service cannot take are named as its degradation: the
    /// caller may send them again, since they have ids.
    async fn ingest(
        &self,
        answer: &mut Answer<'_>,
        subject: &Subject,
        events: Vec<attune_api::gateway::v1::TrackRequest>,
        signal: Signal,
    ) -> Result<(), Error> {
        let setting = collection::Setting {
            receive_ms: time::now_ms(),
            signal,
            ..collection::Setting::default()
        };
        let (messages, shapes) = collection::events_of(subject, events, &setting);
        let request = IngestRequest { messages };
        let slice = answer.slice(self.shares.ingest);
        let request = answer.caller.request_within(request, slice);
        match self.clients.profile.clone().ingest(request).await {
            Ok(_) => Ok(()),
            Err(status) => answer
                .degraded
                .note(Peer::Profile, verdict::rename(status, "events", &shapes)),
        }
    }

    async fn person(
        &self,
        answer: &mut Answer<'_>,
        subject: Subject,
        region: String,
        signal: Signal,
    ) -> Result<Person, Error> {
        let key = self.stale.subject(&answer.caller.workspace, &subject);
        let generation = self.stale.generation();
        let request = GetSnapshotRequest {
            subject: Some(subject),
            region,
            gpc: signal == Signal::Gpc,
        };
        let slice = answer.slice(self.shares.profile);
        let request = answer.caller.request_within(request, slice);
        let found = &self.clients.get_snapshot;
        match found.call::<_, GetSnapshotResponse>(request).await {
            Ok(found) => {
                let person = Person {
                    profile_id: found.profile_id,
                    basis: found.basis,
                    segments: found.segments,
                    snapshot: found.snapshot,
                };
                self.stale.remember_person(key, &person, generation);
                Ok(person)
            }
            Err(status) => {
                answer.degraded.note(Peer::Profile, status)?;
                let known = self.stale.person(key);
                Ok(known.unwrap_or_else(Person::out_of_reach))
            }
        }
    }

    async fn decide(
        &self,
        answer: &mut Answer<'_>,
        person: &Person,
        wanted: convert::Decide,
        context: &[Bytes],
    ) -> Result<Vec<wire::PlacementDecision>, Error> {
        let keys: Vec<_> = wanted
            .placements
            .iter()
            .map(|p| {
                let workspace = &answer.caller.workspace;
                self.stale
                    .placement(workspace, &wanted.channel, &p.placement)
            })
            .collect();
        let request = wire::DecideRequest {
            snapshot: person.snapshot.clone(),
            channel: wanted.channel,
            placements: wanted.placements.clone(),
            context: context.to_vec(),
            exclude_item_ids: wanted.exclude_item_ids.clone(),
            explain: wanted.explain,
            preview: wanted.preview,
        };
        let slice = answer.slice(self.shares.decide);
        let request = answer.caller.request_within(request, slice);
        let decided = self
            .clients
            .decide
            .call::<_, wire::DecideResponse>(request)
            .await;
        match decided {
            Ok(decided) => {
                let decided = decided.placements;
                for (key, decision) in keys.into_iter().zip(&decided) {
                    if self.stale.remember_ranking(key, decision) {
                        self.editorial.see(&answer.caller.workspace, decision);
                    }
                }
                Ok(decided)
            }
            Err(status) => {
                answer.degraded.note(Peer::RuleEngine, status)?;
                let stand_in = |(key, placement): (&PlacementKey, &PlacementRequest)| {
                    let excluded = &wanted.exclude_item_ids;
                    self.stand_in(answer.caller, *key, placement, excluded)
                };
                Ok(keys.iter().zip(&wanted.placements).map(stand_in).collect())
            }
        }
    }

    /// The last good ranking, else what an editor chose, else nothing.
    fn stand_in(
        &self,
        caller: &Caller,
        key: PlacementKey,
        wanted: &PlacementRequest,
        excluded: &[Bytes],
    ) -> wire::PlacementDecision {
        let ranking = self.stale.ranking(key);
        let (strategy, template, ids) = match &ranking {
            Some(last) if !last.item_ids.is_empty() => (
                last.strategy.clone(),
                last.template.clone(),
                last.item_ids.clone(),
            ),
            _ => {
                let chosen = self.editorial.of(&caller.workspace, &wanted.placement);
                (Bytes::new(), String::new(), chosen)
            }
        };
        let slots = ids.into_iter().filter(|id| !excluded.contains(id));
        wire::PlacementDecision {
            placement: Bytes::from(wanted.placement.clone()),
            decision_id: Bytes::new(),
            strategy,
            slots: slots
                .take(convert::count_of(wanted))
                .map(compose::fallback_slot)
                .collect(),
            template,
            fallback: true,
            explanation: None,
        }
    }

    async fn items(
        &self,
        answer: &mut Answer<'_>,
        decided: &[wire::PlacementDecision],
    ) -> Result<Items, Error> {
        let wanted = compose::Wanted::of(decided);
        if wanted.ids.is_empty() {
            return Ok(Items::nothing(wanted));
        }
        let request = wire::BatchGetItemsRequest {
            item_ids: wanted.ids.clone(),
        };
        let slice = answer.slice(self.shares.catalog);
        let request = answer.caller.request_within(request, slice);
        let found = self
            .clients
            .batch_get
            .call::<_, wire::BatchGetItemsResponse>(request)
            .await
            .and_then(|found| Items::found(&wanted, found));
        match found {
            Ok(items) => Ok(items),
            Err(status) => {
                answer.degraded.note(Peer::Catalog, status)?;
                Ok(Items::unknown(wanted))
            }
        }
    }

    pub async fn report(
        &self,
        caller: &Caller,
        request: attune_api::gateway::v1::ReportOutcomesRequest,
    ) -> Result<RecordOutcomesResponse, Error> {
        convert::outcomes(&request)?;
        let request = RecordOutcomesRequest {
            outcomes: request.outcomes,
        };
        let mut decisions = self.clients.decisions.clone();
        let recorded = decisions.record_outcomes(caller.request(request)).await?;
        Ok(recorded.into_inner())
    }
}
