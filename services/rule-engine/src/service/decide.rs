//! Deciding for one request: looks up what it names, decides from memory, and hands
//! what was decided to the log. Waits for nobody.

use std::{cell::RefCell, sync::Arc, time::Instant};

use attune_api::{
    rules::v1::{DecideRequest, PlacementRequest},
    time,
    r#type::v1::Context,
};
use attune_errors::Violations;
use attune_expr::SubjectScope;
use attune_rpc::Workspace;
use smallvec::SmallVec;
use uuid::Uuid;

use super::{
    decision_log::{DecisionLog, Logged},
    metrics::Metrics,
    retention::decision_id,
    rules::Vocabularies,
    workspace::{State, Workspaces},
};
use crate::{
    convert::{
        answer::{self, Detail, Header},
        asks, check,
        wire::{Writer, Written},
    },
    domain::{
        decide::{self, Decided, PlacementAsk, Request, Scene, Scratch, Stage, Stages},
        filter::ItemFilter,
        items::{ItemIndex, Items},
        plan::{PlacementPlan, RuleBase},
        subject::{self, LazySubject, RecentItem, Subject},
        token::{self, TokenKey},
    },
    error::Error,
};

/// Answers requests to decide.
pub struct Decider {
    pub workspaces: Arc<Workspaces>,
    pub token_key: TokenKey,
    pub decision_log: Arc<DecisionLog>,
    pub metrics: Arc<Metrics>,
}

/// What a thread keeps from one decision to the next, to spare allocations.
#[derive(Default)]
struct Reused {
    scratch: Scratch,
    recent: Vec<RecentItem>,
}

thread_local! {
    static REUSED: RefCell<Reused> = RefCell::default();
}

/// A request whose names are known to exist.
struct Checked<'a> {
    base: Arc<RuleBase>,
    asks: SmallVec<[CheckedAsk<'a>; 4]>,
}

struct CheckedAsk<'a> {
    plan: Arc<PlacementPlan>,
    filter: Option<Arc<ItemFilter>>,
    sent: &'a PlacementRequest,
}

/// What most slots of an answer need at most.
const SLOT_BYTES: usize = 512;

impl Decider {
    /// The answer is a `DecideResponse`.
    pub fn decide(
        &self,
        workspace: &Workspace,
        request: &DecideRequest,
        stages: &mut impl Stages,
    ) -> Result<Written, Error> {
        let started = Instant::now();
        let state = self.workspaces.get(workspace.as_str());
        let Some(state) = state else {
            return Err(unknown_workspace(request).into());
        };
        let checked = check(&state, request)?;
        let now_ms = time::now_ms();
        let made = REUSED
            .with_borrow_mut(|reused| make(&state, &checked, request, now_ms, reused, stages));
        let Made { subject, decided } = made?;
        let counted = Counted::of(&decided);
        let answer = self.answer(&state, &checked, request, now_ms, subject, decided);
        stages.done(Stage::Answer);
        let seconds = started.elapsed().as_secs_f64();
        let Counted {
            placements,
            fallbacks,
            slots,
        } = counted;
        self.metrics.decided(placements, fallbacks, slots, seconds);
        Ok(answer)
    }

    /// Builds the answer and lets the log have what was decided.
    fn answer(
        &self,
        state: &State,
        checked: &Checked<'_>,
        request: &DecideRequest,
        now_ms: i64,
        subject: Subject<'_>,
        decided: Vec<(Uuid, Decided)>,
    ) -> Written {
        let detail = Detail::of(request.explain);
        let slots: usize = decided.iter().map(|(_, d)| d.slots.len()).sum();
        let mut answer = Writer::with_capacity((slots + 1) * SLOT_BYTES);
        for (ask, (id, decided)) in checked.asks.iter().zip(decided) {
            if request.preview {
                answer::placement(&mut answer, &ask.plan, &decided, None, None, detail);
                continue;
            }
            let tokens = self.token_key.tokens(&token::Decision {
                workspace: &state.name,
                id,
                profile_id: subject.profile_id,
                placement: &ask.plan.id,
                strategy: &ask.plan.strategy.id,
                channel: &request.channel,
            });
            let (id_told, tokens) = (Some(id), Some(tokens));
            answer::placement(&mut answer, &ask.plan, &decided, id_told, tokens, detail);
            self.decision_log.push(Logged {
                workspace: Arc::clone(&state.name),
                header: Header {
                    decision_id: id,
                    time_ms: now_ms,
                    profile_id: subject.profile_id.to_owned(),
                    channel: request.channel.clone(),
                    basis: subject.basis,
                },
                plan: Arc::clone(&ask.plan),
                decided,
            });
        }
        Written(answer.into_bytes())
    }
}

/// What the metrics are told of an answer.
struct Counted {
    placements: usize,
    fallbacks: usize,
    slots: usize,
}

impl Counted {
    fn of(decided: &[(Uuid, Decided)]) -> Self {
        let decided = || decided.iter().map(|(_, decided)| decided);
        Self {
            placements: decided().count(),
            fallbacks: decided().filter(|d| d.is_fallback).count(),
            slots: decided().map(|d| d.slots.len()).sum(),
        }
    }
}

/// Nothing exists in a workspace that nobody has spoken of.
fn unknown_workspace(request: &DecideRequest) -> Violations {
    let mut found = Violations::new();
    asks::check(&mut found, request);
    for index in 0..request.placements.len() {
        let field = format!("placements[{index}].placement");
        found.push(field, "must be a placement that exists");
    }
    found
}

fn check<'a>(state: &State, request: &'a DecideRequest) -> Result<Checked<'a>, Error> {
    let mut found = Violations::new();
    asks::check(&mut found, request);
    let base = state.base.load_full();
    let mut checked = SmallVec::<[CheckedAsk<'_>; 4]>::new();
    for (index, sent) in request.placements.iter().enumerate() {
        let plan = base.placements.get(sent.placement.as_str());
        // Spelling where a fault could be costs more than finding that there is none.
        if let Some(plan) = plan.filter(|plan| plan.is_on(&request.channel))
            && sent.filter.is_empty()
        {
            checked.push(CheckedAsk {
                plan: Arc::clone(plan),
                filter: None,
                sent,
            });
            continue;
        }
        let ask = found.within_item("placements", index, |found| {
            match plan {
                None => found.push("placement", "must be a placement that exists"),
                Some(plan) if !plan.is_on(&request.channel) => {
                    found.push("placement", "must exist on the request's channel");
                }
                Some(_) => {}
            }
            let filter = request_filter(found, state, &sent.filter);
            plan.map(|plan| CheckedAsk {
                plan: Arc::clone(plan),
                filter,
                sent,
            })
        });
        checked.extend(ask);
    }
    found.into_result()?;
    Ok(Checked {
        base,
        asks: checked,
    })
}

/// The filter of a request, compiled once for all requests with the same text.
fn request_filter(found: &mut Violations, state: &State, source: &str) -> Option<Arc<ItemFilter>> {
    if source.is_empty() {
        return None;
    }
    if let Some(held) = state.request_filters.get(source) {
        return Some(held);
    }
    let vocabulary = Vocabularies::of(state).item;
    let expression = check::expression(found, "filter", source, &vocabulary)?;
    let filter = state.items.write().filter(expression);
    state
        .request_filters
        .insert(source.into(), Arc::clone(&filter));
    Some(filter)
}

struct Made<'a> {
    subject: Subject<'a>,
    decided: Vec<(Uuid, Decided)>,
}

fn make<'a>(
    state: &State,
    checked: &Checked<'_>,
    request: &'a DecideRequest,
    now_ms: i64,
    reused: &mut Reused,
    stages: &mut impl Stages,
) -> Result<Made<'a>, Error> {
    let context = request.context.as_ref();
    let items = state.items.read();
    let models = state.models.read();
    let subject = subject::read(&request.snapshot, &items, &mut reused.recent)
        .map_err(|fault| Violations::of("snapshot", fault.to_string()))?;
    let asks = checked.asks.iter().map(|ask| {
        let id = decision_id(now_ms);
        let ask = PlacementAsk {
            plan: Arc::clone(&ask.plan),
            count: asks::count(ask.sent.count),
            item: items.index_of(&ask.sent.item_id),
            filter: ask.filter.clone(),
            seed: id.as_u64_pair().1,
        };
        (id, ask)
    });
    let (ids, asks): (SmallVec<[Uuid; 4]>, Vec<PlacementAsk>) = asks.unzip();
    let scope = LazySubject::new(
        &request.snapshot,
        SubjectScope {
            snapshot: None,
            context,
            channel: &request.channel,
            now_ms,
            subject_key: subject.profile_id,
        },
    );
    stages.done(Stage::Request);
    let decided = decide::decide(
        &Scene {
            items: &items,
            models: &models,
            base: &checked.base,
            similar: &state.similar,
        },
        &Request {
            channel: &request.channel,
            now_ms: context
                .and_then(|context| context.time.as_ref())
                .map_or(now_ms, time::to_ms),
            locale: context.map_or("", |context| &context.locale),
            subject,
            recent: &reused.recent,
            scope: &scope,
            cart: &indexes(&items, context.map_or(&[], |c| &c.cart_item_ids)),
            page_item: page_item(&items, context),
            excluded: &indexes(&items, &request.exclude_item_ids),
            rule_use: &decide::Unused,
            placements: &asks,
        },
        &mut reused.scratch,
        stages,
    );
    Ok(Made {
        subject,
        decided: ids.into_iter().zip(decided).collect(),
    })
}

/// Ids that have no index can neither lead anywhere nor be shown.
fn indexes(items: &Items, ids: &[String]) -> SmallVec<[ItemIndex; 16]> {
    ids.iter().filter_map(|id| items.index_of(id)).collect()
}

fn page_item(items: &Items, context: Option<&Context>) -> Option<ItemIndex> {
    items.index_of(&context?.page.as_ref()?.item_id)
}
