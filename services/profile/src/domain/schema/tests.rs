//! Tables of values against declarations.

use super::*;
use attune_api::json::{to_struct, to_value};
use serde_json::{Value as Json, json};

fn declared(kind: TraitType) -> Trait {
    Trait {
        trait_id: "t".into(),
        r#type: kind.into(),
        ..Trait::default()
    }
}

#[test]
fn values_of_another_type_or_out_of_bounds_are_refused() {
    use TraitType::*;
    let number = Trait {
        minimum: Some(0.0),
        maximum: Some(120.0),
        ..declared(TraitNumber)
    };
    let text = Trait {
        length_max: 3,
        ..declared(TraitText)
    };
    let choice = Trait {
        enum_values: vec!["a".into(), "b".into()],
        ..declared(TraitEnum)
    };
    let texts = Trait {
        length_max: 3,
        ..declared(TraitTextSet)
    };
    let many: Vec<_> = (0..=SET_MAX).collect();
    let rows: &[(Trait, &[Json], &[Json])] = &[
        (
            text,
            &[json!(""), json!("abc"), json!("äöü")],
            &[
                json!("abcd"),
                json!(5),
                json!(true),
                json!(["a"]),
                json!({}),
            ],
        ),
        (
            number,
            &[json!(0), json!(120), json!(0.5)],
            &[
                json!(-1),
                json!(120.5),
                json!("30"),
                json!(false),
                json!([1]),
            ],
        ),
        (
            declared(TraitBool),
            &[json!(true), json!(false)],
            &[json!("true"), json!(1), json!([true])],
        ),
        (
            choice,
            &[json!("a"), json!("b")],
            &[json!("A"), json!("c"), json!(""), json!(1)],
        ),
        (
            declared(TraitDate),
            &[
                json!("2024-02-29"),
                json!("2024-02-29T10:00:00Z"),
                json!("2024-02-29T10:00:00.5+02:00"),
            ],
            &[
                json!("2023-02-29"),
                json!("29.2.2024"),
                json!("yesterday"),
                json!(1_700_000_000),
            ],
        ),
        (
            texts,
            &[json!([]), json!(["a", "abc"])],
            &[json!(["abcd"]), json!([1]), json!("a"), json!({"a": "b"})],
        ),
        (
            declared(TraitNumberSet),
            &[json!([]), json!([1, 2.5])],
            &[json!(["1"]), json!([1, null]), json!(1), json!(many)],
        ),
        (
            declared(TraitGeo),
            &[
                json!({"lat": 52.5, "lng": 13.4}),
                json!({"lat": -90, "lng": 180}),
            ],
            &[
                json!({"lat": 52.5}),
                json!({"lat": 91, "lng": 0}),
                json!({"lat": "52", "lng": 0}),
                json!({"lat": 1, "lng": 2, "alt": 3}),
                json!([52.5, 13.4]),
            ],
        ),
        (
            declared(TraitObject),
            &[json!({"a": [1]}), json!([]), json!("x"), json!(1)],
            &[],
        ),
    ];
    for (declared, good, bad) in rows {
        let rule = ValueRule::of_trait(declared);
        for value in *good {
            let words = rule.words();
            assert!(rule.fits(&to_value(value.clone())), "{value} {words}");
        }
        for value in *bad {
            let words = rule.words();
            assert!(!rule.fits(&to_value(value.clone())), "{value} {words}");
        }
    }
}

fn traits(json: Json) -> Traits {
    let fields = to_struct(json).unwrap().fields.into_iter();
    fields
        .map(|(id, value)| (id, (!is_null(&value)).then_some(value)))
        .collect()
}

#[test]
fn every_broken_trait_is_named_and_what_is_not_declared_passes() {
    let schemas = TraitSchemas::new(&[
        Trait {
            trait_id: "age".into(),
            ..declared(TraitType::TraitNumber)
        },
        Trait {
            trait_id: "orders".into(),
            expression: "events(\"purchase\").count()".into(),
            ..declared(TraitType::TraitNumber)
        },
    ]);
    let rows = [
        (json!({"age": 5, "other": {"x": 1}}), &[][..]),
        (json!({"age": null}), &[]),
        (json!({"age": "5", "orders": 3}), &["age", "orders"]),
        (json!({"orders": null}), &["orders"]),
    ];
    for (sent, expected) in rows {
        let sent_traits = traits(sent.clone());
        let broken = schemas.broken(&sent_traits).map(|b| b.name);
        assert_eq!(broken.collect::<Vec<_>>(), expected, "{sent}");
    }
}

#[test]
fn an_event_keeps_what_its_type_declares() {
    let property = |name: &str, kind: TraitType, required| EventProperty {
        name: name.into(),
        r#type: kind.into(),
        required,
        ..EventProperty::default()
    };
    let purchase = EventType {
        event_type_id: "purchase".into(),
        properties: vec![
            property("order_id", TraitType::TraitText, true),
            property("total", TraitType::TraitNumber, false),
        ],
        ..EventType::default()
    };
    let closed = EventType {
        event_type_id: "search".into(),
        closed: true,
        properties: vec![property("query", TraitType::TraitText, false)],
        ..EventType::default()
    };
    let schemas = EventSchemas::new(&[purchase, closed]);
    let rows = [
        ("purchase", json!({"order_id": "1", "more": 1}), &[][..]),
        ("purchase", json!({"order_id": "1", "total": null}), &[]),
        ("purchase", json!({"total": "9"}), &["order_id", "total"]),
        ("purchase", json!({"order_id": null}), &["order_id"]),
        ("search", json!({"query": "tent"}), &[]),
        ("search", json!({"qury": "tent"}), &["qury"]),
        ("view", json!({"anything": []}), &[]),
    ];
    for (kind, sent, expected) in rows {
        let broken = schemas.broken(kind, to_struct(sent.clone()).as_ref());
        let names: Vec<_> = broken.iter().map(|b| b.name.as_str()).collect();
        assert_eq!(names, expected, "{kind} {sent}");
    }
    let broken = schemas.broken("purchase", None);
    assert_eq!(broken[0].name, "order_id");
}
