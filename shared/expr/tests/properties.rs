//! What holds of every expression: compiling never panics, and what is missing never
//! satisfies a comparison.

use attune_expr::{Expression, Scope, Vocabulary};
use proptest::prelude::*;

/// Someone and something nothing is known about.
struct Nothing;

impl Scope for Nothing {}

/// Texts that look enough like expressions to get past the lexer now and then.
fn scraps() -> impl Strategy<Value = String> {
    let scrap = prop_oneof![
        Just("profile"),
        Just("item"),
        Just("context"),
        Just("segments"),
        Just("price"),
        Just("."),
        Just("("),
        Just(")"),
        Just("["),
        Just("]"),
        Just("{"),
        Just("}"),
        Just("=="),
        Just("<"),
        Just("&&"),
        Just("||"),
        Just("!"),
        Just("-"),
        Just("+"),
        Just("?"),
        Just(":"),
        Just(","),
        Just(" in "),
        Just("has"),
        Just("exists"),
        Just("all"),
        Just("map"),
        Just("x"),
        Just("'t'"),
        Just("\""),
        Just("1"),
        Just("2.5"),
        Just("null"),
        Just("true"),
        Just("matches"),
        Just("size"),
        Just("bucket"),
        Just("\\"),
        Just("`"),
        Just("é"),
        Just("\n"),
        Just("b'x'"),
        Just("0x"),
        Just("1u"),
        Just("//"),
    ];
    prop::collection::vec(scrap, 0..24).prop_map(|scraps| scraps.concat())
}

fn comparison() -> impl Strategy<Value = String> {
    let operand = prop_oneof![
        Just("profile.a"),
        Just("item.b"),
        Just("item.price"),
        Just("context.locale"),
        Just("profile.a.b"),
        Just("item.categories[0]"),
        Just("profile.a + 1"),
        Just("size(profile.a)"),
        Just("context.attributes.x"),
    ];
    let operator = prop_oneof![
        Just("=="),
        Just("!="),
        Just("<"),
        Just("<="),
        Just(">"),
        Just(">=")
    ];
    let other = prop_oneof![
        Just("1"),
        Just("-2.5"),
        Just("'x'"),
        Just("true"),
        Just("profile.c"),
        Just("timestamp('2026-01-01')"),
    ];
    (operand, operator, other).prop_map(|(a, op, b)| format!("{a} {op} {b}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn compiling_any_text_never_panics(source in "\\PC{0,60}") {
        let _ = Expression::compile(&source, &Vocabulary::subject_and_item());
    }

    #[test]
    fn compiling_and_judging_scraps_never_panics(source in scraps()) {
        if let Ok(expression) = Expression::compile(&source, &Vocabulary::subject_and_item()) {
            expression.matches(&Nothing);
        }
    }

    #[test]
    fn missing_values_satisfy_no_comparison(source in comparison()) {
        if let Ok(expression) = Expression::compile(&source, &Vocabulary::subject_and_item()) {
            prop_assert!(!expression.matches(&Nothing), "{source}");
        }
    }
}
