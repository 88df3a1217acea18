//! The predicate index agrees with plain evaluation, whatever the expressions, the
//! subjects, the order of changes and the shape of the tree; readers see one state or
//! the next; and what is proved unsatisfiable is.

#![allow(clippy::unwrap_used, clippy::panic)]

mod agreement;
mod people;
#[path = "../../benches/workload/mod.rs"]
mod workload;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use attune_expr::{Edit, Expression, ExpressionSet, Matches, Reads, Vocabulary};
use people::{Held, Person};

/// Many rules of one form, put in at once, one by one, changed and taken out again.
#[test]
fn many_rules_match_whom_they_should_however_they_came_in() {
    // Some with few countries, some with many.
    let mut rules = workload::rules(700, 7);
    let narrow = workload::rules_at_50(1_000_000, 7);
    rules.extend(narrow.into_iter().step_by(1_250));
    let people = workload::people(40, 8);
    let compile = |rule: &workload::Rule| {
        Expression::compile(&rule.expression(), &Vocabulary::subject()).unwrap()
    };
    let expressions: Vec<(u32, Expression)> = (0..).zip(rules.iter().map(compile)).collect();
    for entries_max in [5, 17, 64] {
        let at_once = ExpressionSet::with_entries_max(entries_max);
        at_once.apply(expressions.iter().map(|(k, e)| Edit::Put(*k, e.clone())));
        let one_by_one = ExpressionSet::with_entries_max(entries_max);
        for (key, expression) in &expressions {
            one_by_one.insert(*key, expression);
        }
        check_people(&[&at_once, &one_by_one], &rules, &people, |_| true);
        for (key, _) in expressions.iter().filter(|(key, _)| key % 3 != 0) {
            assert!(at_once.remove(*key) && one_by_one.remove(*key));
        }
        check_people(&[&at_once, &one_by_one], &rules, &people, |k| k % 3 == 0);
        for (key, _) in &expressions {
            at_once.remove(*key);
        }
        assert!(at_once.is_empty());
        check_people(&[&at_once], &rules, &people, |_| false);
    }
}

fn check_people(
    sets: &[&ExpressionSet<u32>],
    rules: &[workload::Rule],
    people: &[workload::Person],
    is_in: impl Fn(u32) -> bool,
) {
    let mut matches = Matches::default();
    for person in people {
        let holding = (0..).zip(rules).filter(|(_, rule)| rule.holds(person));
        let expected: Vec<u32> = holding.map(|(k, _)| k).filter(|k| is_in(*k)).collect();
        let snapshot = person.snapshot();
        for set in sets {
            let mut found = set
                .matching(&workload::scope(&snapshot), &mut matches)
                .to_vec();
            found.sort_unstable();
            assert_eq!(found, expected, "{person:?}");
        }
    }
}

/// At version `v` the keys `v..v + 5` hold, among others that never do.
#[test]
fn readers_see_one_state_or_the_next() {
    const VERSIONS: u32 = 400;
    let compile = |source: &str| Expression::compile(source, &Vocabulary::subject()).unwrap();
    let set = ExpressionSet::with_entries_max(4);
    let noise = compile("profile.b == 'never' && profile.c > 3");
    let kinds = [
        "has(profile.a)",
        "profile.a == 1 || profile.a == 2",
        "profile.a < 9",
    ];
    let kinds = kinds.map(compile);
    let kind = |key: u32| &kinds[key as usize % kinds.len()];
    set.apply((0..5).map(|key| Edit::Put(key, kind(key).clone())));
    set.apply((10_000..10_200).map(|key| Edit::Put(key, noise.clone())));
    let person = Person {
        traits: [("a", Held::Int(1))].into(),
        segments: Vec::new(),
        channel: None,
        time: None,
        consent: false,
        events: Vec::new(),
    };
    let (version, is_over) = (AtomicU32::new(0), AtomicBool::new(false));
    std::thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| {
                let mut matches = Matches::default();
                while !is_over.load(Ordering::Acquire) {
                    let before = version.load(Ordering::Acquire);
                    let mut found = set.matching(&person, &mut matches).to_vec();
                    let after = version.load(Ordering::Acquire) + 1;
                    found.sort_unstable();
                    let first = found[0];
                    assert_eq!(found, (first..first + 5).collect::<Vec<_>>());
                    assert!(
                        (before..=after).contains(&first),
                        "{before} {first} {after}"
                    );
                }
            });
        }
        for v in 0..VERSIONS {
            set.apply([Edit::Remove(v), Edit::Put(v + 5, kind(v + 5).clone())]);
            version.store(v + 1, Ordering::Release);
        }
        is_over.store(true, Ordering::Release);
    });
}

/// A snapshot stays as it was.
#[test]
fn a_snapshot_does_not_change() {
    let compile = |source: &str| Expression::compile(source, &Vocabulary::subject()).unwrap();
    let set: ExpressionSet<u32> = [(1, compile("has(profile.a)"))].into_iter().collect();
    let snapshot = set.snapshot();
    set.insert(1, &compile("profile.a == 'other'"));
    set.insert(2, &compile("profile.a == 1"));
    let person = Person {
        traits: [("a", Held::Int(1))].into(),
        segments: Vec::new(),
        channel: None,
        time: None,
        consent: false,
        events: Vec::new(),
    };
    let mut matches = Matches::default();
    assert_eq!(snapshot.matching(&person, &mut matches), [1]);
    assert_eq!(set.matching(&person, &mut matches), [2]);
}

#[test]
fn contradictions_are_found() {
    let compile = |source: &str| Expression::compile(source, &Vocabulary::subject()).unwrap();
    let never = [
        "profile.age > 30 && profile.age < 20",
        "profile.age > 30 && profile.age == 30",
        "profile.tier == 'gold' && profile.tier == 'silver'",
        "profile.tier in ['gold', 'silver'] && !(profile.tier in ['gold', 'silver', 'bronze'])",
        "'x' in profile.likes && !('x' in profile.likes)",
        "!has(profile.age) && profile.age > 3",
        "has(profile.age) && !has(profile.age)",
        "profile.age == 3 && profile.age == 'three'",
        "'vip' in segments && !segments.contains('vip') && profile.age > 3",
        "consent('ads') && !consent('ads')",
        "(profile.a == 1 || profile.a == 2) && (profile.a == 3 || profile.a > 5) && profile.a < 4 && profile.a != 3",
        "profile.a == 1 ? false : false",
        "1 > 2",
        "profile.a in []",
    ];
    for source in never {
        assert!(compile(source).never_holds(), "{source}");
    }
    let possible = [
        "!(profile.age > 30) && !(profile.age <= 30)",
        "'x' in profile.likes && 'y' in profile.likes",
        "profile.age != 3",
        "profile.born == '2026-01-01' && profile.born < timestamp('2026-02-01')",
        "true",
    ];
    for source in possible {
        assert!(!compile(source).never_holds(), "{source}");
    }
    let excluding = [
        ("profile.age > 30", "profile.age <= 30", true),
        ("profile.age > 30", "!(profile.age > 30)", true),
        ("profile.age > 30", "profile.age > 40", false),
        ("profile.age > 30 || profile.vip", "profile.age < 20", false),
        ("context.channel == 'web'", "context.channel == 'app'", true),
    ];
    for (a, b, expected) in excluding {
        assert_eq!(compile(a).excludes(&compile(b)), expected, "{a} with {b}");
    }
}

#[test]
fn an_expression_tells_what_it_reads() {
    let source = "profile.age > 3 && 'vip' in segments && context.channel == 'web' && \
        consent('ads') && subscribed('news') && \
        events('purchase').where(e, e.revenue > profile.limit).within('30d').count() > 1";
    let expression = Expression::compile(source, &Vocabulary::subject()).unwrap();
    let expected = Reads {
        traits: ["age", "limit"].into(),
        event_types: ["purchase"].into(),
        segments: ["vip"].into(),
        consents: ["ads"].into(),
        groups: ["news"].into(),
        context: true,
        situation: ["channel"].into(),
        time: true,
        ..Reads::default()
    };
    assert_eq!(expression.reads(), expected);
    let any = "size(segments) > 1 && consent(profile.purpose)";
    let any = Expression::compile(any, &Vocabulary::subject()).unwrap();
    let expected = Reads {
        traits: ["purpose"].into(),
        any_segment: true,
        any_consent: true,
        ..Reads::default()
    };
    assert_eq!(any.reads(), expected);
}
