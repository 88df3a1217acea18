//! What fills a page: nothing twice, nothing that is excluded, pins where they belong,
//! and the same again for the same request.

use std::collections::{BTreeMap, HashSet};

use attune_rule_engine::domain::{
    decide::{Decided, WhyKind},
    plan::RuleAction,
};
use proptest::prelude::*;

use crate::world::*;

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
}
