//! Deciding twice what was or could be asked, once with what is in force and once with
//! drafts, to tell what would change. Nothing is recorded, counted or shown to anyone;
//! caps and budgets are only read.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use attune_api::{
    profile::v1::{GetSnapshotRequest, profile_service_client::ProfileServiceClient},
    rules::v1::{
        DecideRequest, PlacementRequest, SimulateRequest, SimulateResponse, SimulatedAnswer,
        SimulatedDecisions, SimulatedProfiles, simulate_request::Population,
    },
    time,
    r#type::v1::{Context, Subject, subject::Id},
};
use attune_errors::{Fault, Violations};
use attune_rpc::{Caller, Channel};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::Semaphore;
use tonic::Status;
use uuid::Uuid;

use super::{
    analysis::{Analysis, Wanted},
    decide::{self, Asks, CheckedAsk, Question},
    filters,
    retention::decision_id,
    rules::{Rules, Trial},
    workspace::{State, Workspaces},
};
use crate::{
    convert::{answer, simulation as convert},
    domain::{
        comparison::Comparison,
        decide::{Decided, trace::Depth},
        plan::RuleBase,
    },
    error::Error,
};

/// Simulations that run at a time: each takes a core.
const RUNNING_MAX: usize = 1;
/// Questions decided before others get their turn.
const BATCH: usize = 200;
/// People asked for at a time.
const ASKED_AT_ONCE: usize = 16;
const SNAPSHOT_WAIT: Duration = Duration::from_secs(5);
/// What a simulation may take where the caller has set no deadline.
const DEADLINE_DEFAULT: Duration = Duration::from_secs(120);
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Runs simulations.
pub struct Simulator {
    workspaces: Arc<Workspaces>,
    rules: Arc<Rules>,
    analysis: Arc<Analysis>,
    profile: Mutex<Option<Channel>>,
    running: Semaphore,
}

/// Something that is asked twice.
struct Case {
    profile_id: String,
    /// Empty for chosen people.
    decision_id: String,
    channel: String,
    context: Option<Context>,
    placements: Vec<PlacementRequest>,
}

/// What of a recorded decision it takes to ask again; the tags are the contract's.
#[derive(Clone, PartialEq, prost::Message)]
struct Recorded {
    #[prost(string, tag = "1")]
    decision_id: String,
    #[prost(string, tag = "3")]
    profile_id: String,
    #[prost(string, tag = "4")]
    channel: String,
    #[prost(string, tag = "5")]
    placement: String,
    #[prost(message, optional, tag = "11")]
    context: Option<Context>,
    #[prost(int32, tag = "12")]
    count: i32,
    #[prost(string, tag = "13")]
    item_id: String,
}

impl From<Recorded> for Case {
    fn from(recorded: Recorded) -> Self {
        Self {
            profile_id: recorded.profile_id,
            decision_id: recorded.decision_id,
            channel: recorded.channel,
            context: recorded.context,
            placements: vec![PlacementRequest {
                placement: recorded.placement,
                count: recorded.count,
                item_id: recorded.item_id,
                filter: String::new(),
            }],
        }
    }
}

impl Simulator {
    pub fn new(workspaces: &Arc<Workspaces>, rules: &Arc<Rules>, analysis: &Arc<Analysis>) -> Self {
        Self {
            workspaces: Arc::clone(workspaces),
            rules: Arc::clone(rules),
            analysis: Arc::clone(analysis),
            profile: Mutex::default(),
            running: Semaphore::new(RUNNING_MAX),
        }
    }

    /// From now on people can be asked for.
    pub fn connect(&self, profile: Channel) {
        *self.profile.lock() = Some(profile);
    }

    pub async fn simulate(
        &self,
        caller: &Caller,
        request: SimulateRequest,
    ) -> Result<SimulateResponse, Error> {
        let ask = convert::ask(request)?;
        let deadline = caller.deadline;
        let deadline = deadline.unwrap_or_else(|| Instant::now() + DEADLINE_DEFAULT);
        let running = async {
            // Never closed.
            let _turn = self.running.acquire().await;
            self.run(caller, ask, deadline).await
        };
        let run = tokio::time::timeout_at(deadline.into(), running).await;
        run.unwrap_or_else(|_| Err(Error::Refused(Fault::deadline_exceeded())))
    }

    async fn run(
        &self,
        caller: &Caller,
        ask: convert::Ask,
        deadline: Instant,
    ) -> Result<SimulateResponse, Error> {
        let state = self.workspaces.get_or_add(caller.workspace.as_str());
        let cases = match ask.population {
            Population::Profiles(profiles) => chosen(&state, profiles)?,
            Population::Decisions(decisions) => self.recorded(caller, decisions).await?,
        };
        let trial = self.rules.trial(caller, &state, ask.drafts).await?;
        let mut simulation = Simulation::new(state, trial, ask.sample_max, deadline);
        let mut missing = Vec::new();
        let mut cases = cases.into_iter();
        loop {
            let batch: Vec<Case> = cases.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            let snapshots = self.snapshots(caller, &batch).await?;
            let asked = with_snapshots(batch, &snapshots, &mut missing);
            simulation = simulation.decide(asked).await?;
        }
        missing.sort();
        missing.dedup();
        Ok(simulation.response(missing))
    }

    /// The last so many decisions.
    async fn recorded(
        &self,
        caller: &Caller,
        decisions: SimulatedDecisions,
    ) -> Result<Vec<Case>, Error> {
        let wanted = Wanted {
            placement: decisions.placement,
            ..Wanted::default()
        };
        let count = usize::try_from(decisions.count).unwrap_or(0);
        let found = self
            .analysis
            .find(&caller.workspace, wanted, String::new(), count, i64::MAX)
            .await?;
        let records = found.records.into_iter();
        let recorded = records.filter_map(|(_, record)| Recorded::decode(record).ok());
        Ok(recorded.map(Case::from).collect())
    }

    /// What is known of the people of some cases, as of now. Strangers are not asked
    /// for, and those that do not exist are left out.
    async fn snapshots(
        &self,
        caller: &Caller,
        cases: &[Case],
    ) -> Result<HashMap<String, Bytes>, Error> {
        let ids = cases.iter().map(|case| case.profile_id.clone());
        let ids: HashSet<String> = ids.filter(|id| !id.is_empty()).collect();
        let Some(channel) = self.profile.lock().clone() else {
            return Err(away());
        };
        let asked: Vec<_> = ids
            .into_iter()
            .map(|id| {
                let mut client = ProfileServiceClient::new(channel.clone());
                let subject = Subject {
                    id: Some(Id::ProfileId(id.clone())),
                };
                let request = GetSnapshotRequest {
                    subject: Some(subject),
                    ..GetSnapshotRequest::default()
                };
                let request = caller.request_within(request, SNAPSHOT_WAIT);
                async move {
                    let found = client.get_snapshot(request).await?.into_inner();
                    let snapshot = found.found.then_some(found.snapshot);
                    Ok::<_, Status>(snapshot.map(|snapshot| (id, snapshot)))
                }
            })
            .collect();
        let found = futures::stream::iter(asked).buffer_unordered(ASKED_AT_ONCE);
        let found: Result<Vec<_>, Status> = found.try_collect().await;
        match found {
            Ok(found) => Ok(found.into_iter().flatten().collect()),
            Err(status) => {
                tracing::warn!(code = ?status.code(), "people could not be asked for");
                Err(away())
            }
        }
    }
}

fn away() -> Error {
    Error::Refused(Fault::unavailable("profile", RETRY_AFTER))
}

/// One case for each person, if the question can be asked at all.
fn chosen(state: &State, profiles: SimulatedProfiles) -> Result<Vec<Case>, Error> {
    let SimulatedProfiles {
        profile_ids,
        channel,
        placements,
        context,
    } = profiles;
    let question = DecideRequest {
        channel: channel.clone(),
        placements: placements.clone(),
        context: context.clone(),
        ..DecideRequest::default()
    };
    if let Err(Error::Invalid(faults)) = decide::check(state, &question) {
        let mut found = Violations::new();
        found.within("profiles", |found| {
            for fault in faults.iter() {
                found.push(&fault.field, fault.rule.as_str());
            }
        });
        return Err(found.into());
    }
    let cases = profile_ids.into_iter().map(|profile_id| Case {
        profile_id,
        decision_id: String::new(),
        channel: channel.clone(),
        context: context.clone(),
        placements: placements.clone(),
    });
    Ok(cases.collect())
}

/// A case as it is asked.
type Asked = (Case, DecideRequest);

fn with_snapshots(
    cases: Vec<Case>,
    snapshots: &HashMap<String, Bytes>,
    missing: &mut Vec<String>,
) -> Vec<Asked> {
    let mut asked = Vec::with_capacity(cases.len());
    for mut case in cases {
        let snapshot = match case.profile_id.is_empty() {
            true => Bytes::new(),
            false => match snapshots.get(&case.profile_id) {
                Some(snapshot) => snapshot.clone(),
                None => {
                    missing.push(case.profile_id);
                    continue;
                }
            },
        };
        let request = DecideRequest {
            snapshot,
            channel: case.channel.clone(),
            placements: std::mem::take(&mut case.placements),
            context: case.context.take(),
            ..DecideRequest::default()
        };
        asked.push((case, request));
    }
    asked
}

/// A simulation so far.
struct Simulation {
    state: Arc<State>,
    live: Arc<RuleBase>,
    draft: RuleBase,
    comparison: Comparison,
    /// Pairs that differ, and pairs that do not.
    changed: Vec<SimulatedAnswer>,
    same: Vec<SimulatedAnswer>,
    sample_max: usize,
    deadline: Instant,
    now_ms: i64,
}

/// Stops the work when nobody waits for it any more.
struct Cancel(Arc<AtomicBool>);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Simulation {
    fn new(state: Arc<State>, trial: Trial, sample_max: usize, deadline: Instant) -> Self {
        let Trial {
            live,
            base,
            draft_ids,
        } = trial;
        Self {
            state,
            live,
            draft: base,
            comparison: Comparison::with_rules(draft_ids.iter().map(String::as_str)),
            changed: Vec::new(),
            same: Vec::new(),
            sample_max,
            deadline,
            now_ms: time::now_ms(),
        }
    }

    /// Takes in some cases, off the reactor.
    async fn decide(mut self, asked: Vec<Asked>) -> Result<Self, Error> {
        let is_cancelled = Arc::new(AtomicBool::new(false));
        let cancel = Cancel(Arc::clone(&is_cancelled));
        let deciding = tokio::task::spawn_blocking(move || {
            for (case, request) in &asked {
                if is_cancelled.load(Ordering::Relaxed) || Instant::now() >= self.deadline {
                    return Err(Error::Refused(Fault::deadline_exceeded()));
                }
                self.take(case, request)?;
            }
            Ok(self)
        });
        let decided = deciding.await;
        drop(cancel);
        decided.unwrap_or_else(|_| Err(attune_storage::Error::Panicked.into()))
    }

    fn take(&mut self, case: &Case, request: &DecideRequest) -> Result<(), Error> {
        let (Some(before), Some(after)) = (
            self.asks(&self.live, request),
            self.asks(&self.draft, request),
        ) else {
            // The placement is gone, or gone from the channel.
            return Ok(());
        };
        // A recorded decision has its own luck again.
        let first = Uuid::try_parse(&case.decision_id);
        let first = first.unwrap_or_else(|_| decision_id(self.now_ms));
        let others = request.placements.iter().skip(1);
        let others = others.map(|_| decision_id(self.now_ms));
        let ids: Vec<Uuid> = [first].into_iter().chain(others).collect();
        let question = |base, asks| Question {
            state: &self.state,
            base,
            asks,
            ids: &ids,
            request,
            now_ms: self.now_ms,
            depth: Depth::Counts,
        };
        let before = question(&*self.live, &before[..]);
        let after = question(&self.draft, &after[..]);
        let [before, after] = decide::make_both(&before, &after)?;
        let pairs = before.decided.iter().zip(&after.decided);
        for ((before, after), sent) in pairs.zip(&request.placements) {
            self.compare(case, &sent.placement, before, after);
        }
        Ok(())
    }

    fn asks(&self, base: &RuleBase, request: &DecideRequest) -> Option<Asks> {
        let asks = request.placements.iter().map(|sent| {
            let plan = base.placements.get(sent.placement.as_str())?;
            // Checked before.
            let filter = filters::of_request(&mut Violations::new(), &self.state, &sent.filter);
            plan.is_on(&request.channel).then(|| CheckedAsk {
                plan: Arc::clone(plan),
                filter,
            })
        });
        asks.collect()
    }

    fn compare(&mut self, case: &Case, placement: &str, before: &Decided, after: &Decided) {
        let is_changed = self.comparison.take(before, after);
        let samples = if is_changed {
            &mut self.changed
        } else {
            &mut self.same
        };
        if samples.len() < self.sample_max {
            samples.push(SimulatedAnswer {
                profile_id: case.profile_id.clone(),
                placement: placement.to_owned(),
                before: answer::slot_messages(&before.slots),
                after: answer::slot_messages(&after.slots),
                decision_id: case.decision_id.clone(),
            });
        }
    }

    fn response(self, missing: Vec<String>) -> SimulateResponse {
        let mut samples = self.changed;
        samples.extend(self.same);
        samples.truncate(self.sample_max);
        convert::response(&self.comparison, samples, missing)
    }
}
