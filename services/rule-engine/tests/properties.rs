//! What holds for every catalog, rule base and request: nothing twice, nothing that is
//! excluded, pins where they belong, and remembered verdicts equal to fresh ones.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use attune_api::{
    catalog::v1::{Item, ItemState},
    profile::v1::Basis,
    r#type::v1::Money,
};
use attune_expr::{Expression, Judged, Scope, Value, Vocabulary};
use attune_rule_engine::domain::{
    decide::{
        Decided, PlacementAsk, Request, Scene, Scratch, SimilarItems, Unused, WhyKind, decide,
        trace::Depth,
    },
    filter::{Filters, ItemFilter, PersonalFilter},
    inverted::Neighbour,
    items::{ItemIndex, Items},
    models::{Learnt, Models, PeopleMax},
    plan::{
        DiversityPlan, LoosePlacement, RuleAction, RuleBase, RulePlan, SourceKind, SourcePlan,
        StrategyFilter, StrategyPlan,
    },
    popularity::Signal,
    subject::{RecentItem, Subject},
};
use proptest::prelude::*;
use roaring::RoaringBitmap;

const ITEMS: u32 = 60;
const NOW_MS: i64 = 1_700_000_000_000;

struct Fresh;

impl SimilarItems for Fresh {
    fn similar(&self, items: &Items, models: &Models, index: ItemIndex) -> Arc<[Neighbour]> {
        let standing = |other| models.popularity.standing(other);
        items
            .inverted()
            .neighbours(items, index, &models.reach, standing)
            .into()
    }
}

struct Nobody;
impl Scope for Nobody {}

/// An item as the generator describes it.
#[derive(Debug, Clone, Copy)]
struct Sketch {
    leaf: u8,
    price: u8,
    stock: Option<i64>,
    is_published: bool,
}

fn sketch() -> impl Strategy<Value = Sketch> {
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

fn item(index: u32, sketch: Sketch) -> Item {
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
enum Act {
    Scale(f64),
    Pin(usize, Vec<u32>),
    Include(Vec<u32>),
    Exclude,
}

#[derive(Debug, Clone)]
struct RuleSketch {
    act: Act,
    price_below: u8,
    priority: i32,
}

fn rule() -> impl Strategy<Value = RuleSketch> {
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
struct World {
    sketches: Vec<Sketch>,
    events: Vec<(u32, u8, u8)>,
    rules: Vec<RuleSketch>,
    excluded: Vec<u32>,
    cart: Vec<u32>,
    recent: Vec<u32>,
    count: usize,
    category_max: usize,
    share: f64,
    seed: u64,
}

fn world() -> impl Strategy<Value = World> {
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

fn strategy(world: &World) -> StrategyPlan {
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

fn build(world: &World) -> (Items, Models, RuleBase) {
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

fn run(world: &World, items: &Items, models: &Models, base: &RuleBase) -> Vec<Decided> {
    run_within(world, items, models, base, None)
}

fn run_within(
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

fn is_kept_out(world: &World, index: u32) -> bool {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn nothing_is_shown_twice_or_against_a_rule(world in world()) {
        let (items, models, base) = build(&world);
        let answer = run(&world, &items, &models, &base);
        let mut seen = HashSet::new();
        for placement in &answer {
            prop_assert!(placement.slots.len() <= world.count);
            for slot in &placement.slots {
                prop_assert!(seen.insert(slot.index), "{} twice", slot.item_id);
                prop_assert!(!is_kept_out(&world, slot.index), "{} shown", slot.item_id);
                prop_assert!(slot.propensity > 0.0 && slot.propensity <= 1.0);
                prop_assert!(!slot.reasons.is_empty());
            }
        }
    }

    #[test]
    fn a_limit_per_category_holds_for_all_but_pins(world in world()) {
        let (items, models, base) = build(&world);
        for placement in run(&world, &items, &models, &base) {
            let mut per_leaf: BTreeMap<u8, usize> = BTreeMap::new();
            for slot in &placement.slots {
                let is_pin = slot.reasons.iter().any(|why| matches!(&why.kind,
                    WhyKind::Rule(rule) if matches!(rule.action, RuleAction::Pin { .. })));
                if !is_pin {
                    *per_leaf.entry(world.sketches[slot.index as usize].leaf).or_default() += 1;
                }
            }
            if world.category_max > 0 {
                prop_assert!(per_leaf.values().all(|count| *count <= world.category_max));
            }
        }
    }

    #[test]
    fn pins_of_one_rule_stand_in_their_order_from_their_position(world in world()) {
        let mut world = world;
        // One rule alone, so that no other pin is in its way.
        world.rules.retain(|rule| matches!(rule.act, Act::Pin(..)));
        world.rules.truncate(1);
        let (items, models, base) = build(&world);
        let answer = run(&world, &items, &models, &base);
        let Some(RuleSketch { act: Act::Pin(position, pinned), .. }) = world.rules.first() else {
            return Ok(());
        };
        let mut distinct = HashSet::new();
        let shown: Vec<u32> = pinned
            .iter()
            .copied()
            .filter(|index| !is_kept_out(&world, *index) && distinct.insert(*index))
            .collect();
        let slots = &answer[0].slots;
        for (at, index) in shown.iter().enumerate() {
            // A short answer closes its gaps.
            if position + at < world.count && slots.len() == world.count {
                prop_assert_eq!(slots[position + at].index, *index);
            }
        }
    }

    #[test]
    fn the_same_request_gets_the_same_answer(world in world()) {
        let (items, models, base) = build(&world);
        let ids = |answer: Vec<Decided>| -> Vec<Vec<u32>> {
            let placements = answer.iter();
            placements.map(|p| p.slots.iter().map(|s| s.index).collect()).collect()
        };
        let first = ids(run(&world, &items, &models, &base));
        // Built anew, as after a restart.
        let (items, models, base) = build(&world);
        prop_assert_eq!(first, ids(run(&world, &items, &models, &base)));
    }

    #[test]
    fn a_filter_remembers_and_tells_what_a_fresh_judgement_says(
        before in prop::collection::vec(sketch(), ITEMS as usize),
        changes in prop::collection::vec((0..ITEMS, prop::option::of(sketch())), 0..40),
        below in 0..100_u8,
        wanted in 0..40_usize,
    ) {
        let mut items = Items::default();
        for (index, sketch) in (0..).zip(&before) {
            items.upsert(&item(index, *sketch), None);
        }
        let source = format!(
            "item.price < {below}.0 && item.categories.exists(c, c != \"leaf-1\") \
             || \"leaf-2\" in item.categories && item.stock != 1"
        );
        let expression = Expression::compile(&source, &Vocabulary::item()).unwrap();
        let filter = items.filter(expression.clone());
        for (at, (index, change)) in changes.into_iter().enumerate() {
            // Judged and remembered before each change.
            for index in 0..ITEMS {
                filter.holds(&items, index);
            }
            // Columns come up while items change.
            if at == wanted {
                items.want_columns(&expression);
            }
            items.build_columns(25);
            match change {
                Some(sketch) => { items.upsert(&item(index, sketch), None); }
                None => { items.remove(&format!("i{index}")); }
            }
            let mut members = RoaringBitmap::new();
            for index in 0..ITEMS {
                let fresh = items.scope(index).is_some_and(|scope| expression.matches(&scope));
                prop_assert_eq!(filter.holds(&items, index), fresh);
                if fresh {
                    members.insert(index);
                }
            }
            prop_assert_eq!(&*filter.all_members(&items), &members);
            while !items.build_columns(25) {}
            let anew = items.filter(Expression::compile(&format!("{source} "), &Vocabulary::item()).unwrap());
            let told = anew.members(&items);
            prop_assert_eq!(told.as_deref(), Some(&members));
        }
    }

    #[test]
    fn a_personal_filter_tells_each_their_items(
        before in prop::collection::vec(sketch(), ITEMS as usize),
        changes in prop::collection::vec((0..ITEMS, prop::option::of(sketch())), 0..20),
        people in prop::collection::vec((0..4_u8, 0..6_u8), 1..6),
    ) {
        let mut items = Items::default();
        for (index, sketch) in (0..).zip(&before) {
            items.upsert(&item(index, *sketch), None);
        }
        let source = "item.price < profile.budget && !(profile.leaf in item.categories)";
        let expression = Expression::compile(source, &Vocabulary::subject_and_item()).unwrap();
        items.want_columns(&expression);
        while !items.build_columns(ITEMS) {}
        let strategy = StrategyFilter::Personal(Arc::new(PersonalFilter::new(expression.clone())));
        let check = |items: &Items| {
            for (budget, leaf) in &people {
                let someone = Someone { budget: f64::from(*budget) * 30.0, leaf: format!("leaf-{leaf}") };
                let filters = Filters::new(items, &someone, Some(&strategy), None);
                for index in 0..ITEMS {
                    let fresh = items.scope(index).is_some_and(|item| {
                        expression.matches(&Judged { subject: &someone, item: &item })
                    });
                    assert_eq!(filters.strategy_holds(items, index), fresh);
                    if let Some(few) = filters.selective() {
                        assert_eq!(few.contains(index), fresh);
                    }
                }
            }
        };
        check(&items);
        for (index, change) in changes {
            match change {
                Some(sketch) => { items.upsert(&item(index, sketch), None); }
                None => { items.remove(&format!("i{index}")); }
            }
            check(&items);
        }
    }
}

/// Someone with a budget and a taste.
struct Someone {
    budget: f64,
    leaf: String,
}

impl Scope for Someone {
    fn profile(&self, trait_id: &str) -> Value<'_> {
        match trait_id {
            // 0 is none.
            "budget" if self.budget > 0.0 => Value::Number(self.budget),
            "leaf" => Value::text(&self.leaf),
            _ => Value::Missing,
        }
    }
}

#[test]
fn a_filter_is_right_after_more_changes_than_are_remembered() {
    let sketch = |price| Sketch {
        leaf: 0,
        price,
        stock: None,
        is_published: true,
    };
    let mut items = Items::default();
    for index in 0..3_000 {
        items.upsert(&item(index, sketch(10)), None);
    }
    let expression = Expression::compile("item.price < 50.0", &Vocabulary::item()).unwrap();
    let filter = items.filter(expression);
    // More than a set is patched for, then more than the log of changes holds.
    for (round, changes) in [(1, 600), (2, 9_000), (3, 1)] {
        assert_eq!(filter.all_members(&items).len(), 3_000);
        assert!((0..3_000).all(|index| filter.holds(&items, index)));
        for change in 0..changes {
            items.upsert(&item(change % 3_000, sketch(60)), None);
        }
        let changed = u64::from(changes).min(3_000);
        assert!(!filter.holds(&items, 0), "round {round}");
        assert_eq!(filter.all_members(&items).len(), 3_000 - changed);
        for index in 0..3_000 {
            items.upsert(&item(index, sketch(10)), None);
        }
    }
}

#[test]
fn a_narrow_filter_fills_the_slots_with_what_it_lets_through() {
    const COUNT: u32 = 6_000;
    // Neither among the most popular nor among the newest.
    const RARE: std::ops::Range<u32> = 5_980..5_992;
    let sketch = |index| Sketch {
        leaf: 0,
        price: if RARE.contains(&index) { 99 } else { 10 },
        stock: None,
        is_published: true,
    };
    let seen = [5_985, 5_985, 5_985, 5_981, 5_981, 5_990];
    let world = World {
        sketches: (0..COUNT).map(sketch).collect(),
        events: (0..1_200)
            .flat_map(|index| [(index, 2, 0), (index, 2, 1)])
            .chain(seen.map(|index| (index, 0, 0)))
            .collect(),
        rules: vec![],
        excluded: vec![5_982],
        cart: vec![],
        recent: vec![],
        count: 8,
        category_max: 0,
        share: 0.0,
        seed: 1,
    };
    let (mut items, models, base) = build(&world);
    let expression = Expression::compile("item.price > 50.0", &Vocabulary::item()).unwrap();
    items.want_columns(&expression);
    while !items.build_columns(COUNT) {}
    let filter = items.filter(expression);
    let shown: Vec<Vec<u32>> = run_within(&world, &items, &models, &base, Some(&filter))
        .iter()
        .map(|decided| decided.slots.iter().map(|slot| slot.index).collect())
        .collect();
    assert_eq!(shown[0].len(), 8);
    assert_eq!(shown[0][..3], [5_985, 5_981, 5_990]);
    let mut all: Vec<u32> = shown.concat();
    all.sort_unstable();
    let expected: Vec<u32> = RARE.filter(|index| *index != 5_982).collect();
    assert_eq!(all, expected);
}
