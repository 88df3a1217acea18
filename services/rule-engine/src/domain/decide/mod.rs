//! From a request to slots: candidates, eligibility, score, rules, exploration,
//! diversity, reasons. Reads memory only and is repeatable: the same state, request
//! and seed give the same answer.

mod active;
mod draw;
mod eligibility;
mod past;
mod places;
mod pool;
mod reasons;
mod slots;
mod sources;
mod stages;
mod terms;
pub mod trace;

use std::sync::Arc;

use attune_expr::{Matches, Scope};
use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use super::{
    audience::Memberships,
    exposures::History,
    filter::{Filters, ItemFilter},
    inverted::Neighbour,
    items::{ItemIndex, Items},
    models::Models,
    plan::{ConditionId, PlacementPlan, RuleAction, RuleBase, RulePlan, StrategyPlan},
    subject::{RecentItem, Subject},
};
use active::active_rules;
pub use active::{RuleOutcome, RuleUse, Unused, rule_outcomes};
use eligibility::{BY_REQUEST, SHOWN, THERE};
use past::Past;
use places::Places;
use pool::{Feature, Pool};
use reasons::Told;
use slots::{Origin, Slots};
pub use stages::{Stage, Stages};
use trace::{Depth, Tally, Trace};

/// What is known when a decision is made.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    pub items: &'a Items,
    pub models: &'a Models,
    pub base: &'a RuleBase,
    pub similar: &'a dyn SimilarItems,
}

/// The items most like one, the most alike first; remembered by whoever implements it.
pub trait SimilarItems {
    fn similar(&self, items: &Items, models: &Models, index: ItemIndex) -> Arc<[Neighbour]>;
}

/// Who asks for what, with ids resolved.
pub struct Request<'a> {
    pub channel: &'a str,
    pub now_ms: i64,
    pub locale: &'a str,
    pub subject: Subject<'a>,
    /// The newest first; empty where the person may not be known.
    pub recent: &'a [RecentItem],
    /// Every purchase that is known of the person, the newest first.
    pub bought: &'a [RecentItem],
    /// The person and the situation, for expressions.
    pub scope: &'a dyn Scope,
    pub cart: &'a [ItemIndex],
    pub page_item: Option<ItemIndex>,
    pub excluded: &'a [ItemIndex],
    pub rule_use: &'a dyn RuleUse,
    /// What the person was shown and did; none where they may not be known.
    pub history: Option<&'a History>,
    pub placements: &'a [PlacementAsk],
    /// How much of the decision will be told.
    pub depth: Depth,
}

/// One placement to fill.
pub struct PlacementAsk {
    pub plan: Arc<PlacementPlan>,
    pub count: usize,
    /// The item the placement is about.
    pub item: Option<ItemIndex>,
    pub filter: Option<Arc<ItemFilter>>,
    /// Of whatever is left to chance.
    pub seed: u64,
}

/// A placement, filled.
#[derive(Debug)]
pub struct Decided {
    pub slots: Vec<DecidedSlot>,
    /// Only the placement's fallback was left.
    pub is_fallback: bool,
    /// How it came about, as deep as was asked.
    pub trace: Option<Box<Trace>>,
}

#[derive(Debug)]
pub struct DecidedSlot {
    pub index: ItemIndex,
    pub item_id: Arc<str>,
    pub score: f64,
    /// The probability with which this item was put here.
    pub propensity: f64,
    /// The strongest first.
    pub reasons: SmallVec<[Why; 3]>,
}

impl DecidedSlot {
    /// Rules that touched it, the strongest first.
    pub fn rule_ids(&self) -> impl Iterator<Item = &str> {
        self.reasons.iter().filter_map(|why| match &why.kind {
            WhyKind::Rule(rule) => Some(&*rule.id),
            _ => None,
        })
    }
}

/// Why an item is where it is.
#[derive(Debug, Clone)]
pub struct Why {
    pub kind: WhyKind,
    /// The source's share of the score, or the rule's factor.
    pub weight: f64,
    pub related_id: Option<Arc<str>>,
}

#[derive(Debug, Clone)]
pub enum WhyKind {
    Source {
        name: &'static str,
        score: f64,
        text: SourceText,
    },
    /// With the term's name.
    Term(Arc<str>),
    Rule(Arc<RulePlan>),
    Fallback,
    Exploration,
    Promotion,
}

/// What a customer could be told of a source: words, and the title of the item that led
/// to this one where there is one. Put together by whoever writes it somewhere.
#[derive(Debug, Clone)]
pub struct SourceText {
    pub words: &'static str,
    pub title: Option<Arc<str>>,
}

impl Why {
    /// What a customer could be shown, in two parts.
    pub fn text(&self) -> [&str; 2] {
        match &self.kind {
            WhyKind::Source { text, .. } => [text.words, text.title.as_deref().unwrap_or("")],
            WhyKind::Term(label) => [label, ""],
            WhyKind::Rule(rule) => [&rule.label, ""],
            WhyKind::Fallback => ["Our recommendation", ""],
            WhyKind::Exploration => ["Something new to discover", ""],
            WhyKind::Promotion => ["Promoted", ""],
        }
    }
}

/// Memory that decisions reuse.
#[derive(Default)]
pub struct Scratch {
    pool: Pool,
    /// Shown nowhere (any more) in this answer.
    blocked: Places,
    /// Conditions that hold for this request.
    holding: FxHashSet<ConditionId>,
    matches: Matches<ConditionId>,
    sources: sources::Workspace,
    tally: Tally,
    past: Past,
    memberships: Memberships,
    slots: Slots,
}

/// Fills every placement of a request, no item twice.
pub fn decide(
    scene: &Scene<'_>,
    request: &Request<'_>,
    scratch: &mut Scratch,
    stages: &mut impl Stages,
) -> Vec<Decided> {
    scratch.blocked.clear();
    for index in request.excluded {
        scratch.blocked.get_or_insert(*index, BY_REQUEST);
    }
    for index in request.cart {
        scratch.blocked.get_or_insert(*index, THERE);
    }
    scratch.sources.begin();
    scratch.past.begin_request();
    scratch.memberships.clear();
    active::judge_conditions(scene, request, &mut scratch.matches, &mut scratch.holding);
    stages.done(Stage::Conditions);
    request
        .placements
        .iter()
        .zip(SHOWN..)
        .map(|(ask, mark)| {
            let active = active_rules(scene, request, ask, &scratch.holding);
            let excluding = active.iter().zip(0..);
            let excluding = excluding.filter(|(rule, _)| rule.action == RuleAction::Exclude);
            let mut placement = Placement {
                excluding: excluding.map(|(_, number)| number).collect(),
                scene,
                request,
                ask,
                strategy: &ask.plan.strategy,
                active: &active,
                filters: Filters::default(),
                pool: &mut scratch.pool,
                blocked: &mut scratch.blocked,
                tally: &mut scratch.tally,
                past: &mut scratch.past,
                memberships: &scratch.memberships,
                mark,
                holding: &scratch.holding,
            };
            placement.decide(&mut scratch.sources, &mut scratch.slots, stages)
        })
        .collect()
}

/// One placement while it is being decided.
struct Placement<'a> {
    scene: &'a Scene<'a>,
    request: &'a Request<'a>,
    ask: &'a PlacementAsk,
    /// The one at work: the placement's own or one that it falls back to.
    strategy: &'a StrategyPlan,
    active: &'a [&'a Arc<RulePlan>],
    /// Those of the active rules that keep items out, by their numbers: every item that
    /// comes up is held against them.
    excluding: SmallVec<[u16; 4]>,
    filters: Filters<'a>,
    pool: &'a mut Pool,
    blocked: &'a mut Places,
    tally: &'a mut Tally,
    /// Of the person with items, as the strategy at work takes it.
    past: &'a mut Past,
    memberships: &'a Memberships,
    /// In `blocked`, of what this placement shows.
    mark: u32,
    holding: &'a FxHashSet<ConditionId>,
}

fn filters_of<'a>(
    scene: &'a Scene<'a>,
    request: &'a Request<'a>,
    ask: &'a PlacementAsk,
    strategy: &'a StrategyPlan,
) -> Filters<'a> {
    let filter = strategy.filter.as_ref();
    Filters::new(scene.items, request.scope, filter, ask.filter.as_deref())
}

impl<'a> Placement<'a> {
    /// The strategy, then those it falls back to, then the placement's own fallback,
    /// then what is popular or new; each fills what is empty still.
    fn decide(
        &mut self,
        sources: &mut sources::Workspace,
        slots: &mut Slots,
        stages: &mut impl Stages,
    ) -> Decided {
        let plan = &self.ask.plan;
        let mut told = Told::default();
        self.tally.begin(self.request.depth);
        if past::is_placement_capped(self.request, plan) {
            return self.stay_empty();
        }
        self.take_up(&plan.strategy);
        slots.begin(self.ask.count, self.ask.seed);
        let mut fallbacks = plan.fallback_strategies.iter();
        loop {
            self.pool.clear();
            sources::collect(self, sources);
            terms::add(self);
            stages.done(Stage::Candidates);
            self.apply_rules();
            stages.done(Stage::Rules);
            if told.is_first() {
                slots.pin(self);
            }
            slots.rank(self);
            let Some(next) = fallbacks.next().filter(|_| !slots.is_full()) else {
                break;
            };
            // Reasons are read off the candidates, which make room for the next ones.
            told.tell(self, &slots.filled);
            self.tally.stop();
            self.take_up(next);
        }
        if !self.is_own_strategy() {
            self.take_up(&plan.strategy);
        }
        slots.fall_back(self);
        slots.top_up(self);
        told.tell(self, &slots.filled);
        let filled = slots.filled.iter().flatten();
        let mut is_fallback = filled.map(|slot| slot.origin == Origin::Fallback);
        let decided = Decided {
            is_fallback: !told.is_empty() && is_fallback.all(|is_fallback| is_fallback),
            trace: told.take_trace(),
            slots: told.into_slots(),
        };
        stages.done(Stage::Slots);
        decided
    }

    /// The person has seen the placement, or its channel, as often as allowed.
    fn stay_empty(&mut self) -> Decided {
        self.pool.clear();
        self.tally.refuse_all();
        Decided {
            slots: Vec::new(),
            is_fallback: false,
            trace: trace::of(self, &[]),
        }
    }

    fn take_up(&mut self, strategy: &'a StrategyPlan) {
        self.strategy = strategy;
        self.filters = filters_of(self.scene, self.request, self.ask, strategy);
        let plan = &self.ask.plan;
        self.past.begin(self.request, plan, strategy);
    }

    /// Whether the strategy at work is the placement's own.
    fn is_own_strategy(&self) -> bool {
        std::ptr::eq(self.strategy, &*self.ask.plan.strategy)
    }

    /// Includes first, so that boosts reach what was included.
    fn apply_rules(&mut self) {
        for (number, rule) in self.active.iter().enumerate() {
            if let RuleAction::Include { items } = &rule.action {
                let entry_score = self.pool.best_score() / 2.0;
                for &index in items {
                    if self.pool.contains(index) || self.is_eligible(index) {
                        let feature = Feature::Rule(number as u16);
                        self.pool.include(index, entry_score, feature);
                    }
                }
            }
        }
        for (number, rule) in self.active.iter().enumerate() {
            if let RuleAction::Scale(factor) = rule.action {
                let items = self.scene.items;
                let feature = Feature::Rule(number as u16);
                self.pool.scale(feature, |index| {
                    targets(rule, items, index).then_some(factor)
                });
            }
        }
        self.wear();
    }

    /// What was shown in vain counts less.
    fn wear(&mut self) {
        let past = &*self.past;
        if let Some(fatigue) = self.strategy.fatigue.filter(|_| past.has_worn()) {
            self.pool.scale(Feature::Fatigue, |index| {
                let exposures = past.exposures_in_vain(index)?;
                Some(fatigue.factor(exposures))
            });
        }
    }
}

fn targets(rule: &RulePlan, items: &Items, index: ItemIndex) -> bool {
    rule.targets
        .as_ref()
        .is_none_or(|filter| filter.holds(items, index))
}
