//! Filters: what they remember of items is what a fresh judgement says.

use std::sync::Arc;

use attune_expr::{Expression, Judged, Scope, Value, Vocabulary};
use attune_rule_engine::domain::{
    filter::{Filters, PersonalFilter},
    items::Items,
    plan::StrategyFilter,
};
use proptest::prelude::*;
use roaring::RoaringBitmap;

use crate::world::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

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
