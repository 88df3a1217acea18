//! The index agrees with plain evaluation after every change, and what is proved
//! unsatisfiable is.

use std::collections::BTreeMap;

use attune_expr::{Edit, Expression, ExpressionSet, Matches};
use proptest::prelude::*;

use crate::people::{Person, compiled, person, source};

fn check_same(
    set: &ExpressionSet<u32>,
    expected: &BTreeMap<u32, Expression>,
    people: &[Person],
    matches: &mut Matches<u32>,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(set.len(), expected.len());
    for person in people {
        let mut found = set.matching(person, matches).to_vec();
        found.sort_unstable();
        let holding = expected.iter().filter(|(_, e)| e.matches(person));
        let holding: Vec<u32> = holding.map(|(key, _)| *key).collect();
        if found != holding {
            let wrong = expected
                .iter()
                .find(|(key, e)| found.contains(key) != e.matches(person));
            prop_assert_eq!(found, holding, "{:?} of {:?}", wrong, person);
        }
    }
    Ok(())
}

#[derive(Debug, Clone)]
enum Step {
    Put(u32, prop::sample::Index),
    Remove(u32),
    Batch(Vec<(u32, Option<prop::sample::Index>)>),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0u32..24;
    let put_or_not = prop::option::weighted(0.7, any::<prop::sample::Index>());
    prop_oneof![
        6 => (key.clone(), any::<prop::sample::Index>()).prop_map(|(k, e)| Step::Put(k, e)),
        2 => key.clone().prop_map(Step::Remove),
        1 => prop::collection::vec((key, put_or_not), 0..8).prop_map(Step::Batch),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn the_index_agrees_with_plain_evaluation(
        sources in prop::collection::vec(source(), 1..24),
        people in prop::collection::vec(person(), 1..6),
        steps in prop::collection::vec(step(), 1..40),
        entries_max in prop::sample::select(vec![2usize, 3, 4, 7, 64]),
    ) {
        let expressions = compiled(&sources);
        prop_assume!(!expressions.is_empty());
        let set = ExpressionSet::with_entries_max(entries_max);
        let (mut expected, mut matches) = (BTreeMap::new(), Matches::default());
        for step in steps {
            match step {
                Step::Put(key, which) => {
                    let expression = which.get(&expressions);
                    set.insert(key, expression);
                    expected.insert(key, expression.clone());
                }
                Step::Remove(key) => {
                    prop_assert_eq!(set.remove(key), expected.remove(&key).is_some());
                }
                Step::Batch(edits) => {
                    let edits = edits.into_iter().map(|(key, which)| match which {
                        Some(which) => Edit::Put(key, which.get(&expressions).clone()),
                        None => Edit::Remove(key),
                    });
                    let edits: Vec<_> = edits.collect();
                    for edit in &edits {
                        match edit {
                            Edit::Put(key, e) => expected.insert(*key, e.clone()),
                            Edit::Remove(key) => expected.remove(key),
                        };
                    }
                    set.apply(edits);
                }
            }
            check_same(&set, &expected, &people, &mut matches)?;
        }
    }

    #[test]
    fn what_is_proved_never_to_hold_does_not(
        sources in prop::collection::vec(source(), 2..8),
        people in prop::collection::vec(person(), 8),
    ) {
        let expressions = compiled(&sources);
        for a in &expressions {
            if a.never_holds() {
                prop_assert!(!people.iter().any(|person| a.matches(person)), "{:?}", a);
            }
            for b in &expressions {
                if a.excludes(b) {
                    let both = people.iter().find(|p| a.matches(*p) && b.matches(*p));
                    prop_assert!(both.is_none(), "{:?} {:?} {:?}", a, b, both);
                }
            }
        }
    }
}
