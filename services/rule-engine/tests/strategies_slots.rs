//! What holds for every catalog and strategy where slots are filled: limits, the share
//! of promotions, exact propensities, order by relevance and unlikeness, the chain of
//! fallbacks, terms of the scorer, and the same answer for the same seed.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use attune_api::{
    catalog::v1::{Item, ItemState},
    json,
    profile::v1::Basis,
};
use attune_expr::{Expression, Kind, Scope, Vocabulary};
use attune_rule_engine::domain::{
    decide::{
        Decided, DecidedSlot, PlacementAsk, Request, Scene, Scratch, SimilarItems, Unused, WhyKind,
        decide, trace::Depth,
    },
    inverted::Neighbour,
    items::{ItemIndex, Items},
    models::{Learnt, Models, PeopleMax},
    plan::{
        DiversityPlan, LimitPlan, LoosePlacement, PromotionsPlan, RuleBase, SourceKind, SourcePlan,
        StrategyPlan, TermPlan,
    },
    popularity::Signal,
    subject::Subject,
};
use proptest::prelude::*;
use serde_json::json;

const ITEMS: u32 = 40;
const NOW_MS: i64 = 1_700_000_000_000;

struct Fresh;

impl SimilarItems for Fresh {
    fn similar(&self, items: &Items, models: &Models, index: ItemIndex) -> Arc<[Neighbour]> {
        let standing = |other| models.popularity.standing(other);
        let inverted = items.inverted();
        inverted
            .neighbours(items, index, &models.reach, standing)
            .into()
    }
}

struct Nobody;
impl Scope for Nobody {}

/// Item `n` is of brand `n % brands`, of leaf `n % 7`, promoted if its number says so,
/// and the more often viewed the lower `n`.
struct Shop {
    items: Items,
    models: Models,
}

fn shop(brands: u32, viewed: u32) -> Shop {
    let mut items = Items::default();
    let people_max = PeopleMax {
        purchasers: 10,
        viewers: 10,
    };
    let mut models = Models::new(people_max);
    for n in 0..ITEMS {
        let values = json!({
            "brand": format!("b{}", n % brands),
            "promoted": n % 3 == 0,
            "rank": n,
        });
        let item = Item {
            item_id: format!("i{n}"),
            item_type: "product".into(),
            categories: vec![format!("leaf-{}", n % 7)],
            characteristics: json::to_struct(values).unwrap().fields,
            state: ItemState::Published.into(),
            ..Default::default()
        };
        let change = items.upsert(&item, None);
        models.item_changed(change, items.offerable());
    }
    items.refresh();
    for n in 0..viewed {
        for _ in 0..(viewed - n) + 5 {
            let learnt = Learnt {
                signal: Signal::View,
                person: u128::from(n),
                items: vec![n],
                segments: vec![],
                time_ms: NOW_MS,
            };
            models.record(&learnt, &items);
        }
    }
    Shop { items, models }
}

fn popular(id: &str) -> StrategyPlan {
    let kind = SourceKind::Popular { signal: None };
    StrategyPlan::new(id, vec![SourcePlan { kind, weight: 1.0 }])
}

fn editorial(id: &str, items: &[u32]) -> StrategyPlan {
    let kind = SourceKind::Editorial {
        items: items.to_vec(),
    };
    StrategyPlan::new(id, vec![SourcePlan { kind, weight: 1.0 }])
}

fn promoted(shop: &mut Shop, share: f64) -> Option<PromotionsPlan> {
    let expression = Expression::compile("item.promoted", &Vocabulary::item()).unwrap();
    let filter = shop.items.filter(expression);
    (share > 0.0).then_some(PromotionsPlan { share, filter })
}

/// Two placements of one page, filled by `own`, which may fall back to `others`.
fn fill(
    shop: &Shop,
    own: StrategyPlan,
    others: Vec<StrategyPlan>,
    count: usize,
    seed: u64,
) -> Vec<Decided> {
    let own_id = own.id.to_string();
    let all = [own].into_iter().chain(others);
    let strategies: BTreeMap<String, Arc<StrategyPlan>> =
        all.map(|s| (s.id.to_string(), Arc::new(s))).collect();
    let mut base = RuleBase::default();
    let placements = ["first", "second"].map(|id| {
        let placement = LoosePlacement {
            id: id.into(),
            channels: vec![],
            strategy_id: own_id.clone(),
            fallback: vec![38, 39],
            template: String::new(),
            caps: vec![],
        };
        let plan = Arc::new(placement.plan(&strategies));
        base.placements.insert(id.into(), Arc::clone(&plan));
        PlacementAsk {
            plan,
            count,
            item: None,
            filter: None,
            seed: seed ^ id.len() as u64,
        }
    });
    let scene = Scene {
        items: &shop.items,
        models: &shop.models,
        base: &base,
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
        recent: &[],
        bought: &[],
        scope: &Nobody,
        cart: &[],
        page_item: None,
        excluded: &[],
        rule_use: &Unused,
        history: None,
        placements: &placements,
        depth: Depth::Full,
    };
    decide(&scene, &request, &mut Scratch::default(), &mut ())
}

fn shown(decided: &Decided) -> Vec<u32> {
    decided.slots.iter().map(|slot| slot.index).collect()
}

fn is(slot: &DecidedSlot, of: impl Fn(&WhyKind) -> bool) -> bool {
    slot.reasons.iter().any(|why| of(&why.kind))
}

fn is_promotion(slot: &DecidedSlot) -> bool {
    is(slot, |kind| matches!(kind, WhyKind::Promotion))
}

fn is_exploration(slot: &DecidedSlot) -> bool {
    is(slot, |kind| matches!(kind, WhyKind::Exploration))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn limits_and_shares_hold_and_nothing_is_shown_twice(
        (brands, viewed, count) in (2..9_u32, 0..ITEMS, 1..16_usize),
        (weight, brand_max, category_max) in (0.0..1.0_f32, 1..5_usize, 0..4_usize),
        (promotions, exploration) in (0.0..0.5_f64, 0.0..0.5_f64),
        seed in any::<u64>(),
    ) {
        let mut shop = shop(brands, viewed);
        let strategy = |shop: &mut Shop| StrategyPlan {
            diversity: DiversityPlan {
                category_max,
                weight,
                compared: vec![],
                limits: vec![LimitPlan { characteristic: "brand".into(), item_max: brand_max }],
            },
            promotions: promoted(shop, promotions),
            exploration_share: exploration,
            ..popular("s")
        };
        let plan = strategy(&mut shop);
        let answer = fill(&shop, plan, vec![], count, seed);
        let mut seen = HashSet::new();
        for placement in &answer {
            let (mut of_brand, mut of_leaf) = (HashMap::new(), HashMap::new());
            for slot in &placement.slots {
                prop_assert!(seen.insert(slot.index), "{} twice", slot.item_id);
                *of_brand.entry(slot.index % brands).or_insert(0) += 1;
                *of_leaf.entry(slot.index % 7).or_insert(0) += 1;
                prop_assert!(slot.propensity > 0.0 && slot.propensity <= 1.0);
            }
            prop_assert!(of_brand.values().all(|n| *n <= brand_max));
            prop_assert!(category_max == 0 || of_leaf.values().all(|n| *n <= category_max));
            let promoted = placement.slots.iter().filter(|slot| is_promotion(slot));
            prop_assert!(promoted.clone().count() as f64 <= promotions * count as f64 + 1e-9);
            for slot in promoted {
                prop_assert!(slot.index % 3 == 0);
            }
        }
        let plan = strategy(&mut shop);
        let again = fill(&shop, plan, vec![], count, seed);
        let ids = |answer: &[Decided]| answer.iter().map(shown).collect::<Vec<_>>();
        prop_assert_eq!(ids(&answer), ids(&again));
    }

    #[test]
    fn a_promotion_is_given_its_share_where_there_are_promoted_items(
        count in 1..16_usize,
        share in 0.05..0.5_f64,
    ) {
        let mut shop = shop(4, 20);
        let plan = StrategyPlan { promotions: promoted(&mut shop, share), ..popular("s") };
        let first = &fill(&shop, plan, vec![], count, 1)[0];
        let promoted = first.slots.iter().filter(|slot| is_promotion(slot)).count();
        // 13 items are promoted.
        prop_assert_eq!(promoted, (share * count as f64 + 1e-9) as usize);
        prop_assert!(first.slots.iter().all(|slot| slot.propensity == 1.0));
    }

    #[test]
    fn an_unlikeness_of_no_weight_is_the_pure_ranking(viewed in 1..ITEMS, count in 1..16_usize) {
        let shop = shop(4, viewed);
        let plain = fill(&shop, popular("s"), vec![], count, 1);
        let mut weightless = popular("s");
        // So little that no two scores change places for it.
        weightless.diversity.weight = f32::MIN_POSITIVE;
        let mixed = fill(&shop, weightless, vec![], count, 1);
        prop_assert_eq!(shown(&plain[0]), shown(&mixed[0]));
        let ranked: Vec<u32> = (0..viewed.min(count as u32)).collect();
        prop_assert_eq!(&shown(&plain[0])[..ranked.len()], &ranked);
    }
}

/// What was drawn for the first slot over many seeds against what was logged for it.
#[test]
fn logged_propensities_are_the_frequencies() {
    const SEEDS: u64 = 40_000;
    // 0 to 9 are known; of the others any may be drawn.
    let shop = shop(4, 10);
    let mut seen: HashMap<u32, (u32, f64)> = HashMap::new();
    for seed in 0..SEEDS {
        let plan = StrategyPlan {
            exploration_share: 0.4,
            ..popular("s")
        };
        let answer = fill(
            &shop,
            plan,
            vec![],
            2,
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        );
        let first = &answer[0].slots[0];
        let held = seen.entry(first.index).or_insert((0, first.propensity));
        held.0 += 1;
        assert_eq!(held.1, first.propensity);
        assert_eq!(is_exploration(first), first.index >= 10, "{}", first.index);
    }
    assert_eq!(seen.len(), 31);
    let total: f64 = seen.values().map(|(_, propensity)| propensity).sum();
    assert!((total - 1.0).abs() < 1e-9, "{total}");
    for (index, (count, propensity)) in seen {
        let frequency = f64::from(count) / SEEDS as f64;
        let deviation = (propensity * (1.0 - propensity) / SEEDS as f64).sqrt();
        let off = (frequency - propensity).abs();
        assert!(
            off < 5.0 * deviation,
            "{index}: {frequency} for {propensity}"
        );
    }
}

#[test]
fn unlike_items_come_forward_as_unlikeness_gains_weight() {
    let shop = shop(2, 12);
    let brands = |weight: f32, compared: &str| {
        let mut plan = popular("s");
        plan.diversity.weight = weight;
        if !compared.is_empty() {
            let name = attune_rule_engine::domain::projected::FeatureName::of(compared);
            plan.diversity.compared = vec![name];
        }
        shown(&fill(&shop, plan, vec![], 4, 1)[0])
    };
    assert_eq!(brands(0.0, "brand"), [0, 1, 2, 3]);
    // Of two brands the second comes with the second; then both are there.
    let by_leaf = brands(0.9, "item.category");
    let leaves: HashSet<u32> = by_leaf.iter().map(|index| index % 7).collect();
    assert_eq!((by_leaf[0], leaves.len()), (0, 4));
    // Compared by everything, 1 and 3 share their brand but not 0's.
    assert_eq!(brands(0.9, "")[..2], [0, 1]);
}

#[test]
fn what_a_strategy_leaves_empty_others_fill_in_their_order() {
    let shop = shop(4, 0);
    let chain = |own: &[u32], next: &[&[u32]], count| {
        let mut plan = editorial("own", own);
        let ids = (0..next.len()).map(|n| format!("next{n}"));
        plan.fallback_ids = ids.collect();
        let others = next.iter().enumerate();
        let others = others.map(|(n, items)| editorial(&format!("next{n}"), items));
        let answer = fill(&shop, plan, others.collect(), count, 1);
        let reasons = answer[0].slots.iter().map(|slot| slot.reasons.len());
        assert!(reasons.min().unwrap() > 0);
        (shown(&answer[0]), answer[0].is_fallback)
    };
    assert_eq!(
        chain(&[5, 6], &[&[6, 7], &[8, 9]], 4),
        (vec![5, 6, 7, 8], false)
    );
    // Then the placement's own fallback, and last whatever there is.
    assert_eq!(chain(&[5], &[&[5]], 3), (vec![5, 38, 39], false));
    let (last, _) = chain(&[5], &[], 5);
    assert_eq!((last.len(), &last[..3]), (5, &[5, 38, 39][..]));
    // A strategy that does not exist any more fills nothing.
    let mut plan = editorial("own", &[5]);
    plan.fallback_ids = vec!["gone".into(), "default".into()];
    let answer = fill(&shop, plan, vec![], 2, 1);
    assert_eq!(shown(&answer[0]), [5, 38]);
    // Nothing of its own at all is told.
    let (only, is_fallback) = chain(&[], &[&[]], 2);
    assert_eq!((only, is_fallback), (vec![38, 39], true));
}

#[test]
fn terms_move_the_score_and_are_told_where_they_helped() {
    let shop = shop(4, 10);
    let with = |source: &str, weight: f64| {
        let vocabulary = Vocabulary::subject_and_item();
        let expression = Expression::compile_value(source, &vocabulary, Kind::Number).unwrap();
        let mut plan = popular("s");
        plan.terms = vec![TermPlan {
            expression,
            weight,
            label: "Rank".into(),
        }];
        fill(&shop, plan, vec![], 3, 1).remove(0)
    };
    // 9 ranks last by views, and first by the term.
    let up = with("double(item.rank) / 10.0", 10.0);
    assert_eq!(shown(&up), [9, 8, 7]);
    let is_told = |slot: &DecidedSlot| {
        is(
            slot,
            |kind| matches!(kind, WhyKind::Term(label) if &**label == "Rank"),
        )
    };
    assert!(up.slots.iter().all(is_told));
    assert!(up.slots[0].score > 9.0);
    // Against an item it is no reason; held to -1..1; and what is missing is nothing.
    let down = with("0.0 - item.rank * 1000.0", 1.0);
    assert_eq!(shown(&down)[0], 0);
    assert!(!down.slots.iter().any(is_told));
    let plain = with("item.nowhere * 2.0", 10.0);
    assert_eq!(shown(&plain), [0, 1, 2]);
}
