//! Deciding for one request: looks up what it names, decides from memory, and hands
//! what was decided to the log. Waits for nobody.

use std::{cell::RefCell, sync::Arc, time::Instant};

use attune_api::{profile::v1::Basis, rules::v1::DecideRequest, time, r#type::v1::Context};
use attune_errors::Violations;
use attune_expr::SubjectScope;
use attune_rpc::Workspace;
use smallvec::SmallVec;
use uuid::Uuid;

use super::{
    decision_log::{DecisionLog, Logged},
    filters,
    metrics::Metrics,
    retention::decision_id,
    workspace::{State, Workspaces},
};
use crate::{
    convert::{
        answer::{self, Detail, Header},
        asks,
        wire::{Writer, Written},
    },
    domain::{
        caps::Shown,
        decide::{
            self, Decided, PlacementAsk, Request, Scene, Scratch, Stage, Stages, trace::Depth,
        },
        filter::ItemFilter,
        items::{ItemIndex, Items},
        models::Models,
        plan::{PlacementPlan, RuleBase},
        subject::{self, Behaviour, LazySubject, Wanted},
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
    behaviour: Behaviour,
}

thread_local! {
    static REUSED: RefCell<Reused> = RefCell::default();
}

/// A request whose names are known to exist.
pub struct Checked {
    pub base: Arc<RuleBase>,
    /// In the order of the request's placements.
    pub asks: Asks,
}

pub type Asks = SmallVec<[CheckedAsk; 4]>;

pub struct CheckedAsk {
    pub plan: Arc<PlacementPlan>,
    pub filter: Option<Arc<ItemFilter>>,
}

/// What most slots of an answer need at most.
const SLOT_BYTES: usize = 512;

impl Decider {
    /// Whether deciding takes no longer than usual. Otherwise filters have to be made
    /// ready first, which is no work for a reactor's thread.
    pub fn is_ready_for(&self, workspace: &Workspace, request: &DecideRequest) -> bool {
        let state = self.workspaces.get(workspace.as_str());
        state.is_none_or(|state| filters::are_known(&state, request))
    }

    /// The answer is a `DecideResponse`.
    pub fn decide(
        &self,
        workspace: &Workspace,
        mut request: DecideRequest,
        stages: &mut impl Stages,
    ) -> Result<Written, Error> {
        let started = Instant::now();
        let state = self.workspaces.get(workspace.as_str());
        let Some(state) = state else {
            return Err(unknown_workspace(&request).into());
        };
        let checked = check(&state, &request)?;
        let now_ms = time::now_ms();
        let ids: Ids = checked.asks.iter().map(|_| decision_id(now_ms)).collect();
        let question = Question {
            state: &state,
            base: &checked.base,
            asks: &checked.asks,
            ids: &ids,
            request: &request,
            now_ms,
            depth: match (request.explain, request.preview) {
                (true, _) => Depth::Full,
                (false, false) => Depth::Counts,
                (false, true) => Depth::None,
            },
        };
        let made = make(&question, stages)?;
        let counted = Counted::of(&made.decided);
        let answer = self.answer(&state, &checked, &ids, &request, &made);
        if !request.preview {
            // The record has no use for it, and would keep it in memory.
            request.snapshot.clear();
            self.log(&state, checked.asks, &ids, request, now_ms, made);
        }
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

    fn answer(
        &self,
        state: &State,
        checked: &Checked,
        ids: &[Uuid],
        request: &DecideRequest,
        made: &Made,
    ) -> Written {
        let detail = Detail::of(request.explain);
        let slots: usize = made.decided.iter().map(|d| d.slots.len()).sum();
        let mut answer = Writer::with_capacity((slots + 1) * SLOT_BYTES);
        for ((ask, decided), id) in checked.asks.iter().zip(&made.decided).zip(ids) {
            let tokens = (!request.preview).then(|| {
                self.token_key.tokens(&token::Decision {
                    workspace: &state.name,
                    id: *id,
                    profile_id: &made.profile_id,
                    placement: &ask.plan.id,
                    strategy: &ask.plan.strategy.id,
                    channel: &request.channel,
                })
            });
            let id = (!request.preview).then_some(*id);
            answer::placement(&mut answer, &ask.plan, decided, id, tokens, detail);
        }
        Written(answer.into_bytes())
    }

    /// Lets the log have what was decided.
    fn log(
        &self,
        state: &State,
        asks: Asks,
        ids: &[Uuid],
        request: DecideRequest,
        now_ms: i64,
        made: Made,
    ) {
        let request = Arc::new(request);
        let decided = asks.into_iter().zip(made.decided).zip(ids).enumerate();
        for (place, ((ask, decided), id)) in decided {
            self.decision_log.push(Logged {
                workspace: Arc::clone(&state.name),
                header: Header {
                    decision_id: *id,
                    time_ms: now_ms,
                    profile_id: Arc::clone(&made.profile_id),
                    basis: made.basis,
                    request: Arc::clone(&request),
                    place,
                },
                plan: ask.plan,
                decided,
            });
        }
    }
}

/// What the metrics are told of an answer.
struct Counted {
    placements: usize,
    fallbacks: usize,
    slots: usize,
}

impl Counted {
    fn of(decided: &[Decided]) -> Self {
        Self {
            placements: decided.len(),
            fallbacks: decided.iter().filter(|d| d.is_fallback).count(),
            slots: decided.iter().map(|d| d.slots.len()).sum(),
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

pub fn check(state: &State, request: &DecideRequest) -> Result<Checked, Error> {
    let mut found = Violations::new();
    asks::check(&mut found, request);
    let base = state.base.load_full();
    let mut checked = Asks::new();
    for (index, sent) in request.placements.iter().enumerate() {
        let plan = base.placements.get(sent.placement.as_str());
        // Spelling where a fault could be costs more than finding that there is none.
        if let Some(plan) = plan.filter(|plan| plan.is_on(&request.channel))
            && sent.filter.is_empty()
        {
            checked.push(CheckedAsk {
                plan: Arc::clone(plan),
                filter: None,
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
            let filter = filters::of_request(found, state, &sent.filter);
            plan.map(|plan| CheckedAsk {
                plan: Arc::clone(plan),
                filter,
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

type Ids = SmallVec<[Uuid; 4]>;

/// What is to be decided, and from which rule base.
pub struct Question<'a> {
    pub state: &'a State,
    pub base: &'a RuleBase,
    pub asks: &'a [CheckedAsk],
    /// Of the decisions; chance follows from them.
    pub ids: &'a [Uuid],
    pub request: &'a DecideRequest,
    pub now_ms: i64,
    pub depth: Depth,
}

pub struct Made {
    pub profile_id: Arc<str>,
    pub basis: Basis,
    pub decided: Vec<Decided>,
}

/// Decides, and keeps nothing of it.
pub fn make(question: &Question<'_>, stages: &mut impl Stages) -> Result<Made, Error> {
    let (items, models) = (question.state.items.read(), question.state.models.read());
    let known = (&*items, &*models);
    REUSED.with_borrow_mut(|reused| make_with(question, known, reused, stages))
}

/// Decides two questions of one workspace from the same items and models.
pub fn make_both(one: &Question<'_>, other: &Question<'_>) -> Result<[Made; 2], Error> {
    let (items, models) = (one.state.items.read(), one.state.models.read());
    let known = (&*items, &*models);
    REUSED.with_borrow_mut(|reused| {
        Ok([
            make_with(one, known, reused, &mut ())?,
            make_with(other, known, reused, &mut ())?,
        ])
    })
}

fn make_with(
    question: &Question<'_>,
    (items, models): (&Items, &Models),
    reused: &mut Reused,
    stages: &mut impl Stages,
) -> Result<Made, Error> {
    let Question { state, request, .. } = question;
    let reads_purchases = question.asks.iter().any(|ask| ask.plan.reads_purchases());
    let wanted = match reads_purchases {
        true => Wanted::Purchases,
        false => Wanted::Recent,
    };
    let subject = subject::read(&request.snapshot, items, wanted, &mut reused.behaviour)
        .map_err(|fault| Violations::of("snapshot", fault.to_string()))?;
    // Who wants what everybody gets is told from nobody, neither by what they are at nor
    // by chance; only the time and the language of the answer stay.
    let same_for_all = subject.basis == Basis::NotPersonalized;
    let plain = request.context.as_ref().filter(|_| same_for_all);
    let plain = plain.map(|context| Context {
        time: context.time,
        locale: context.locale.clone(),
        ..Context::default()
    });
    let context = match same_for_all {
        true => plain.as_ref(),
        false => request.context.as_ref(),
    };
    let sent = request.placements.iter();
    let asks = question.asks.iter().zip(sent).zip(question.ids);
    let asks: Vec<PlacementAsk> = asks
        .map(|((ask, sent), id)| PlacementAsk {
            plan: Arc::clone(&ask.plan),
            count: asks::count(sent.count),
            item: items.index_of(&sent.item_id),
            filter: ask.filter.clone(),
            seed: id.as_u64_pair().1,
        })
        .collect();
    let scope = LazySubject::new(
        &request.snapshot,
        SubjectScope {
            snapshot: None,
            context,
            channel: &request.channel,
            now_ms: question.now_ms,
            subject_key: match same_for_all {
                true => "",
                false => subject.profile_id,
            },
        },
    );
    let now_ms = context
        .and_then(|context| context.time.as_ref())
        .map_or(question.now_ms, time::to_ms);
    let history = match subject.basis {
        Basis::ContextOnly | Basis::NotPersonalized => None,
        _ => state.people.of(subject.profile_id),
    };
    let shown = Shown {
        person: history.as_deref(),
        budgets: &state.budgets.read(),
        now_ms,
    };
    stages.done(Stage::Request);
    let decided = decide::decide(
        &Scene {
            items,
            models,
            base: question.base,
            similar: &state.similar,
        },
        &Request {
            channel: &request.channel,
            now_ms,
            locale: context.map_or("", |context| &context.locale),
            subject,
            recent: &reused.behaviour.recent,
            bought: &reused.behaviour.bought,
            scope: &scope,
            cart: &indexes(items, context.map_or(&[], |c| &c.cart_item_ids)),
            page_item: page_item(items, context),
            excluded: &indexes(items, &request.exclude_item_ids),
            rule_use: &shown,
            history: history.as_deref(),
            placements: &asks,
            depth: question.depth,
        },
        &mut reused.scratch,
        stages,
    );
    Ok(Made {
        profile_id: subject.profile_id.into(),
        basis: subject.basis,
        decided,
    })
}

/// Ids that have no index can neither lead anywhere nor be shown.
fn indexes(items: &Items, ids: &[String]) -> SmallVec<[ItemIndex; 16]> {
    ids.iter().filter_map(|id| items.index_of(id)).collect()
}

fn page_item(items: &Items, context: Option<&Context>) -> Option<ItemIndex> {
    items.index_of(&context?.page.as_ref()?.item_id)
}
