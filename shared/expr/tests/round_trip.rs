//! Printing and reading again: the canonical text of an expression compiles to an equal
//! one, that means the same to everybody, and is its own canonical text.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/grammar.rs"]
mod grammar;

use attune_expr::{Expression, Kind, Value, Vocabulary};
use grammar::Someone;
use proptest::prelude::*;

fn compile(source: &str) -> Result<Expression, String> {
    let vocabulary =
        Vocabulary::subject_and_item().with_variables([("score".to_owned(), Kind::Number)]);
    Expression::compile_value(source, &vocabulary, Kind::Any)
        .map_err(|faults| format!("{source}: {faults:?}"))
}

#[test]
fn sources_have_one_canonical_text() {
    for (source, canonical) in [
        (
            "profile.age>=18&&!(profile.vip)",
            "profile.age >= 18 && !profile.vip",
        ),
        ("(a.b)".replace("a", "profile").as_str(), "profile.b"),
        ("profile['age'] == 1", "profile.age == 1"),
        (
            "profile['loyalty-tier'] == 3",
            "profile[\"loyalty-tier\"] == 3",
        ),
        ("profile.`in` == 'x'", "profile[\"in\"] == \"x\""),
        (
            "true && (false && true) || true",
            "true && false && true || true",
        ),
        ("(true || false) && true", "(true || false) && true"),
        ("1 - (2 - 3) - 4", "1 - (2 - 3) - 4"),
        ("(1 + 2) * -3", "(1 + 2) * -3"),
        ("-(-5)", "5"),
        ("- profile.x", "-profile.x"),
        ("!(!profile.vip)", "!(!profile.vip)"),
        ("1e2 + 1.50 + 0x10", "100.0 + 1.5 + 16"),
        ("2u + 3U", "2u + 3u"),
        ("'a\"b\\n' + r'\\d'", "\"a\\\"b\\n\" + \"\\\\d\""),
        ("b'\\xff\"a'", "b\"\\xff\\\"a\""),
        ("true ? 1 : false ? 2 : 3", "true ? 1 : false ? 2 : 3"),
        (
            "(true ? false : true) ? 1 : 2",
            "(true ? false : true) ? 1 : 2",
        ),
        (
            "segments.exists(any, any == 'x')",
            "segments.exists(x, x == \"x\")",
        ),
        (
            "[1].map(a, [2].filter(b, a < b))",
            "[1].map(x, [2].filter(y, x < y))",
        ),
        ("[1].map(score_, score_ > score)", "[1].map(x, x > score)"),
        ("{'k': [1, {}]}.k[0]", "{\"k\": [1, {}]}.k[0]"),
        (
            "[1, 2].existsOne(i, i == 1)",
            "[1, 2].exists_one(x, x == 1)",
        ),
        (
            "profile.x.size() == size('ab')",
            "size(profile.x) == size(\"ab\")",
        ),
        ("matches(profile.x, '^a+$')", "profile.x.matches(\"^a+$\")"),
        (
            "duration('90m') + duration('1h')",
            "duration(\"90m\") + duration(\"1h\")",
        ),
        ("-duration('1s')", "duration(\"-1s\")"),
        (
            "timestamp('2026-03-01')",
            "timestamp(\"2026-03-01T00:00:00Z\")",
        ),
        ("timestamp(0) < now", "timestamp(0) < now"),
        (
            "semver('v2.3') < semver(context.device.app_version)",
            "semver(\"2.3.0\") < semver(context.device.app_version)",
        ),
        (
            "type(1) == google.protobuf.Timestamp",
            "type(1) == google.protobuf.Timestamp",
        ),
        ("math.greatest(1, score, 3)", "math.greatest(1, score, 3)"),
        (
            "distance(context.location, 52, 13.5) < 10.0",
            "distance(context.location.lat, context.location.lng, 52, 13.5) < 10.0",
        ),
        (
            "atLeast(1, true, profile.vip)",
            "atLeast(1, true, profile.vip)",
        ),
        (
            "events('a').within('2h').where(v, v.x == 1).then('b').where(w, w.y).where(w, w.z).within('60m').exists()",
            "events(\"a\").where(e, e.x == 1).within(\"2h\").then(\"b\").where(e, e.y && e.z).within(\"1h\").exists()",
        ),
        (
            "events('a').withinDays(7, 'Europe/Berlin').last()['x-y'] == 1",
            "events(\"a\").withinDays(7, \"Europe/Berlin\").last()[\"x-y\"] == 1",
        ),
        (
            "has(profile.a.b) && 'x' in profile.c",
            "has(profile.a.b) && \"x\" in profile.c",
        ),
        (
            "context.time.getHours('UTC') in [1]",
            "context.time.getHours(\"UTC\") in [1]",
        ),
        ("null == [null][0]", "null == [null][0]"),
    ] {
        let expression = compile(source).unwrap();
        assert_eq!(expression.to_string(), canonical, "{source}");
        let again = compile(canonical).unwrap();
        assert_eq!(again, expression, "{source}");
        assert_eq!(again.to_string(), canonical, "{source}");
    }
}

#[test]
fn a_variable_is_never_named_like_what_it_would_hide() {
    let vocabulary = Vocabulary::empty().with_variables([("x".to_owned(), Kind::Number)]);
    let compile = |source: &str| Expression::compile(source, &vocabulary).unwrap();
    let expression = compile("[1].exists(n, n == x)");
    assert_eq!(expression.to_string(), "[1].exists(x_, x_ == x)");
    assert_eq!(compile(&expression.to_string()), expression);
}

/// As told apart by whoever looks at the value.
fn shown(value: &Value<'_>) -> String {
    format!("{value:?}")
}

fn check_round_trip(source: &str, someone: &Someone) -> Result<(), TestCaseError> {
    let Ok(expression) = compile(source) else {
        return Ok(());
    };
    let printed = expression.to_string();
    let again = compile(&printed);
    prop_assert!(again.is_ok(), "{source}\n{printed}\n{again:?}");
    let again = again.unwrap();
    prop_assert_eq!(&again, &expression, "{}\n{}", source, printed);
    prop_assert_eq!(again.to_string(), printed);
    let value = expression.value(someone);
    prop_assert_eq!(shown(&again.value(someone)), shown(&value));
    let is_true = matches!(value, Value::Bool(true));
    prop_assert_eq!(expression.matches(someone), is_true, "{}", source);
    prop_assert_eq!(again.matches(someone), is_true);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn printing_and_reading_wild_sources_gives_the_same(
        source in grammar::expression(),
        someone in grammar::someone(),
    ) {
        check_round_trip(&source, &someone)?;
    }

    #[test]
    fn printing_and_reading_sound_sources_gives_the_same(
        source in grammar::sound_expression(),
        someone in grammar::someone(),
    ) {
        check_round_trip(&source, &someone)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn most_sound_sources_compile(
        sources in prop::collection::vec(grammar::sound_expression(), 50),
    ) {
        // Otherwise the properties above would be about nothing.
        let refused: Vec<_> = sources.iter().filter_map(|s| compile(s).err()).collect();
        prop_assert!(refused.len() <= 20, "{} of 50: {refused:?}", refused.len());
    }
}

#[test]
fn judging_ends_however_long_the_lists_are() {
    let someone = Someone::with_list(20_000);
    for source in [
        "profile.list.exists(a, profile.list.exists(b, a == b + 0.5))",
        "profile.list.map(a, profile.list.filter(b, b > a)).size() > 0",
        "profile.list.all(a, profile.list.all(b, b in profile.list))",
        "profile.list.map(a, string(a)).join(',').size() > 0",
        "profile.list.exists(a, profile.text.replace('a', profile.text).replace('a', profile.text).contains('z'))",
        "(profile.list + profile.list + profile.list).size() > 0",
    ] {
        let expression = compile(source).unwrap();
        let started = std::time::Instant::now();
        assert!(!expression.matches(&someone), "{source}");
        // Some ten milliseconds where it is built to be fast; this is for any machine.
        assert!(started.elapsed().as_secs() < 5, "{source}");
    }
}
