//! Catalogs, behaviour, rule bases and requests as they are drawn, and the answers to
//! them. Asserts nothing.

use std::{collections::BTreeMap, sync::Arc};

use attune_api::{
    catalog::v1::{Item, ItemState},
    profile::v1::Basis,
    r#type::v1::Money,
};
use attune_expr::{Expression, Scope, Vocabulary};
use attune_rule_engine::domain::{
    decide::{
        Decided, PlacementAsk, Request, Scene, Scratch, SimilarItems, Unused, decide, trace::Depth,
    },
    filter::ItemFilter,
    inverted::Neighbour,
    items::{ItemIndex, Items},
    models::{Learnt, Models, PeopleMax},
    plan::{
        DiversityPlan, LoosePlacement, RuleAction, RuleBase, RulePlan, SourceKind, SourcePlan,
        StrategyPlan,
    },
    popularity::Signal,
    subject::{RecentItem, Subject},
};
use proptest::prelude::*;

pub const ITEMS: u32 = 60;
pub const NOW_MS: i64 = 1_700_000_000_000;

pub struct Fresh;

impl SimilarItems for Fresh {
    fn similar(&self, items: &Items, models: &Models, index: ItemIndex) -> Arc<[Neighbour]> {
        let standing = |other| models.popularity.standing(other);
        items
            .inverted()
            .neighbours(items, index, &models.reach, standing)
            .into()
    }
}

pub struct Nobody;
impl Scope for Nobody {}

/// An item as the generator describes it.
#[derive(Debug, Clone, Copy)]
pub struct Sketch {
    pub leaf: u8,
    pub price: u8,
    pub stock: Option<i64>,
    pub is_published: bool,
}

pub fn sketch() -> impl Strategy<Value = Sketch> {
    (
        0..5_u8,
        0..100_u8,
        prop::option::weighted(0.3, 0..3_i64),
        prop::bool::weighted(0.9),
    )
        .prop_map(|(leaf, price, stock, is_published)| Sketch {
            leaf,
            price,
            stock,
            is_published,
        })
}

pub fn item(index: u32, sketch: Sketch) -> Item {
    let state = if sketch.is_published {
        ItemState::Published
    } else {
        ItemState::Draft
    };
    Item {
        item_id: format!("i{index}"),
        item_type: "product".into(),
        categories: vec![format!("leaf-{}", sketch.leaf)],
        price: Some(Money {
            currency_code: "EUR".into(),
            amount: sketch.price.into(),
        }),
        stock: sketch.stock,
        state: state.into(),
        ..Default::default()
    }
}

#[derive(Debug, Clone)]
pub enum Act {
    Scale(f64),
    Pin(usize, Vec<u32>),
    Include(Vec<u32>),
    Exclude,
}

#[derive(Debug, Clone)]
pub struct RuleSketch {
    pub act: Act,
    pub price_below: u8,
    pub priority: i32,
}

pub fn rule() -> impl Strategy<Value = RuleSketch> {
    let ids = || prop::collection::vec(0..ITEMS, 1..4);
    let act = prop_oneof![
        (0.05..20.0).prop_map(Act::Scale),
        (0..8_usize, ids()).prop_map(|(at, ids)| Act::Pin(at, ids)),
        ids().prop_map(Act::Include),
        Just(Act::Exclude),
    ];
    (act, 0..40_u8, 0..3).prop_map(|(act, price_below, priority)| RuleSketch {
        act,
        price_below,
        priority,
    })
}

#[derive(Debug, Clone)]
pub struct World {
    pub sketches: Vec<Sketch>,
    pub events: Vec<(u32, u8, u8)>,
    pub rules: Vec<RuleSketch>,
    pub excluded: Vec<u32>,
    pub cart: Vec<u32>,
    pub recent: Vec<u32>,
    pub count: usize,
    pub category_max: usize,
    pub share: f64,
    pub seed: u64,
}

pub fn world() -> impl Strategy<Value = World> {
    (
        prop::collection::vec(sketch(), ITEMS as usize),
        prop::collection::vec((0..ITEMS, 0..3_u8, 0..6_u8), 0..150),
        prop::collection::vec(rule(), 0..6),
        (
            prop::collection::vec(0..ITEMS, 0..8),
            prop::collection::vec(0..ITEMS, 0..4),
            prop::collection::vec(0..ITEMS, 0..6),
        ),
        (
            1..15_usize,
            0..4_usize,
            prop_oneof![Just(0.0), Just(0.4)],
            any::<u64>(),
        ),
    )
        .prop_map(
            |(sketches, events, rules, (excluded, cart, recent), (count, max, share, seed))| {
                World {
                    sketches,
                    events,
                    rules,
                    excluded,
                    cart,
                    recent,
                    count,
                    category_max: max,
                    share,
                    seed,
                }
            },
        )
}

pub fn strategy(world: &World) -> StrategyPlan {
    let source = |kind, weight| SourcePlan { kind, weight };
    let sources = vec![
        source(SourceKind::Popular { signal: None }, 1.0),
        source(SourceKind::Trending { signal: None }, 0.5),
        source(SourceKind::RecentlyViewed, 0.6),
        source(SourceKind::AlsoBought, 1.0),
        source(SourceKind::Similar, 0.8),
    ];
    StrategyPlan {
        diversity: DiversityPlan {
            category_max: world.category_max,
            ..DiversityPlan::default()
        },
        exploration_share: world.share,
        ..StrategyPlan::new("s", sources)
    }
}

pub fn build(world: &World) -> (Items, Models, RuleBase) {
    let mut items = Items::default();
    let mut models = Models::new(PeopleMax {
        purchasers: 100,
        viewers: 100,
    });
    for (index, sketch) in (0..).zip(&world.sketches) {
        let change = items.upsert(&item(index, *sketch), None);
        models.item_changed(change, items.offerable());
    }
    items.refresh();
    for (at, (index, signal, person)) in (0..).zip(&world.events) {
        let learnt = Learnt {
            signal: [Signal::View, Signal::AddToCart, Signal::Purchase][*signal as usize],
            person: u128::from(*person),
            items: vec![*index],
            segments: vec![],
            time_ms: NOW_MS - at * 60_000,
        };
        models.record(&learnt, &items);
    }
    models.popularity.refresh(items.offerable());
    let rules = (0..).zip(&world.rules).map(|(number, sketch)| {
        let below = format!("item.price < {}.0", sketch.price_below);
        let expression = Expression::compile(&below, &Vocabulary::item()).unwrap();
        let action = match &sketch.act {
            Act::Scale(factor) => RuleAction::Scale(*factor),
            Act::Pin(position, items) => RuleAction::Pin {
                position: *position,
                items: items.clone(),
            },
            Act::Include(items) => RuleAction::Include {
                items: items.clone(),
            },
            Act::Exclude => RuleAction::Exclude,
        };
        Arc::new(RulePlan {
            targets: Some(items.filter(expression)),
            priority: sketch.priority,
            ..RulePlan::new(number, &format!("rule-{number}"), action)
        })
    });
    let mut base = RuleBase::default();
    for rule in rules.collect::<Vec<_>>() {
        base.rules.insert(&rule);
    }
    let strategies = BTreeMap::from([("s".to_owned(), Arc::new(strategy(world)))]);
    for id in ["first", "second"] {
        let placement = LoosePlacement {
            id: id.into(),
            channels: vec![],
            strategy_id: "s".into(),
            fallback: vec![1, 2, 3],
            template: String::new(),
            caps: vec![],
        };
        let plan = placement.plan(&strategies);
        base.placements.insert(id.into(), Arc::new(plan));
    }
    (items, models, base)
}

pub fn run(world: &World, items: &Items, models: &Models, base: &RuleBase) -> Vec<Decided> {
    run_within(world, items, models, base, None)
}

pub fn run_within(
    world: &World,
    items: &Items,
    models: &Models,
    base: &RuleBase,
    filter: Option<&Arc<ItemFilter>>,
) -> Vec<Decided> {
    let recent: Vec<RecentItem> = world
        .recent
        .iter()
        .map(|item| RecentItem {
            signal: Signal::View,
            item: *item,
            time_ms: NOW_MS,
        })
        .collect();
    let placements = ["first", "second"].map(|id| PlacementAsk {
        plan: Arc::clone(&base.placements[id]),
        count: world.count,
        item: None,
        filter: filter.cloned(),
        seed: world.seed,
    });
    let scene = Scene {
        items,
        models,
        base,
        similar: &Fresh,
    };
    let request = Request {
        channel: "web",
        now_ms: NOW_MS,
        locale: "",
        subject: Subject {
            profile_id: "",
            basis: Basis::Full,
        },
        recent: &recent,
        bought: &[],
        scope: &Nobody,
        cart: &world.cart,
        page_item: None,
        excluded: &world.excluded,
        rule_use: &Unused,
        history: None,
        placements: &placements,
        depth: Depth::Full,
    };
    decide(&scene, &request, &mut Scratch::default(), &mut ())
}

pub fn is_kept_out(world: &World, index: u32) -> bool {
    let sketch = world.sketches[index as usize];
    let rules = world.rules.iter();
    world.excluded.contains(&index)
        || world.cart.contains(&index)
        || !sketch.is_published
        || sketch.stock == Some(0)
        || rules
            .filter(|rule| matches!(rule.act, Act::Exclude))
            .any(|rule| sketch.price < rule.price_below)
}
