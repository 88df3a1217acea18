//! What is declared of traits and events holds for the values that are sent and held,
//! in every process. On SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;
#[path = "support/traits.rs"]
mod traits;

use attune_api::profile::v1::{
    CreateEventTypeRequest, EventProperty, EventType, GetDeclarationsRequest, Trait, TraitType,
};
use attune_profile::Config;
use attune_testkit::{PATIENCE, wait_until};
use serde_json::json;
use support::*;
use traits::*;

#[tokio::test]
async fn an_edit_leaves_room_for_the_values_that_are_held() {
    use TraitType::*;
    on_both("schema_narrow", async |shop| {
        let size = Trait {
            minimum: Some(0.0),
            maximum: Some(10.0),
            ..declared("size", TraitNumber)
        };
        let plan = Trait {
            enum_values: vec!["free".into(), "pro".into()],
            ..declared("plan", TraitEnum)
        };
        let note = Trait {
            length_max: 20,
            ..declared("note", TraitText)
        };
        for declared in [&size, &plan, &note] {
            declare(&shop, declared.clone()).await.unwrap();
        }
        let bounds = |minimum, maximum| Trait {
            minimum,
            maximum,
            ..size.clone()
        };
        let values = |values: &[&str]| Trait {
            enum_values: values.iter().map(ToString::to_string).collect(),
            ..plan.clone()
        };
        let length = |length_max| Trait {
            length_max,
            ..note.clone()
        };
        let rows = [
            (
                declared("size", TraitText),
                "type",
                vec!["trait.minimum", "trait.maximum", "trait.type"],
            ),
            (bounds(Some(1.0), None), "minimum", vec!["trait.minimum"]),
            (bounds(None, Some(9.0)), "maximum", vec!["trait.maximum"]),
            (bounds(None, Some(9.0)), "minimum", vec![]),
            (bounds(Some(-1.0), None), "maximum", vec![]),
            (
                values(&["free", "team"]),
                "enum_values",
                vec!["trait.enum_values"],
            ),
            (values(&["free", "pro", "team"]), "enum_values", vec![]),
            (length(19), "length_max", vec!["trait.length_max"]),
            (length(21), "length_max", vec![]),
            (
                Trait {
                    expression: "1.0".into(),
                    ..size.clone()
                },
                "expression",
                vec!["trait.expression"],
            ),
        ];
        for (changed, path, expected) in rows {
            let result = update(&shop, changed.clone(), &[path]).await;
            let found = result.as_ref().err().map(fields).unwrap_or_default();
            assert_eq!(found, expected, "{path} of {changed:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn values_that_break_their_declaration_are_refused_and_nothing_is_written() {
    on_both("schema_values", async |shop| {
        let age = Trait {
            minimum: Some(0.0),
            ..declared("age", TraitType::TraitNumber)
        };
        declare(&shop, age).await.unwrap();
        let orders = Trait {
            expression: "events(\"purchase\").count()".into(),
            ..declared("orders", TraitType::TraitNumber)
        };
        declare(&shop, orders).await.unwrap();
        let purchase = EventType {
            event_type_id: "purchase".into(),
            closed: true,
            properties: vec![EventProperty {
                name: "order_id".into(),
                r#type: TraitType::TraitText.into(),
                required: true,
                ..EventProperty::default()
            }],
            ..EventType::default()
        };
        let request = shop.request(CreateEventTypeRequest {
            event_type_id: String::new(),
            event_type: Some(purchase),
        });
        schema(&shop).create_event_type(request).await.unwrap();

        let sent = vec![
            identify("m0", &["u:ann"], 0, json!({"age": 30, "shoe size": 38})),
            identify("m1", &["u:ann"], 1, json!({"age": "30", "orders": 1})),
            identify("m2", &["u:ann"], 2, json!({"age": -1})),
            event(
                "m3",
                &["u:ann"],
                3,
                "Order Completed",
                json!({"order_id": 5, "x y": 1}),
            ),
            event("m4", &["u:ann"], 4, "view", json!({"x y": 1})),
        ];
        let refused = shop.try_send(sent).await.unwrap_err();
        let expected = [
            "messages[1].identify.traits.age",
            "messages[1].identify.traits.orders",
            "messages[2].identify.traits.age",
            "messages[3].event.properties.order_id",
            "messages[3].event.properties[\"x y\"]",
        ];
        assert_eq!(fields(&refused), expected);
        assert!(shop.snapshot(user("ann")).await.is_none());

        let sent = vec![
            identify("m1", &["u:ann"], 1, json!({"age": 30, "shoe size": 38})),
            identify("m2", &["u:ann"], 2, json!({"age": null})),
            event(
                "m3",
                &["u:ann"],
                3,
                "Order Completed",
                json!({"order_id": "5"}),
            ),
        ];
        shop.send(sent).await;
        let seen = shop.snapshot(user("ann")).await.unwrap();
        assert_eq!(traits_of(&seen)["shoe size"], json!(38));
    })
    .await;
}

#[tokio::test]
async fn an_event_from_before_the_time_is_a_precise_error() {
    on_both("schema_years", async |shop| {
        let at = |year_ms: i64| view("m1", &["u:ann"], year_ms - T0, "tent");
        for (ms, expected) in [(0, true), (946_684_799_999, true), (946_684_800_000, false)] {
            let found = shop.try_send(vec![at(ms)]).await;
            let found = found.as_ref().err().map(fields).unwrap_or_default();
            let expected = if expected {
                vec!["messages[0].time"]
            } else {
                vec![]
            };
            assert_eq!(found, expected, "{ms}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_writer_works_by_what_another_process_has_declared() {
    let postgres = databases("schema_replicas")
        .await
        .into_iter()
        .find(|d| d.system == "postgres")
        .unwrap();
    let one = Running::open(postgres.url(), "postgres", Config::default()).await;
    let two = Running::open(postgres.url(), "postgres", Config::default()).await;
    // Two has looked, and holds that nothing is declared.
    two.one(identify("m1", &["u:ann"], 1, json!({"age": "thirty"})))
        .await;
    declare(&one, declared("age", TraitType::TraitNumber))
        .await
        .unwrap();
    let sent = vec![identify("m2", &["u:ann"], 2, json!({"age": "forty"}))];
    let refused = two.try_send(sent).await.unwrap_err();
    assert_eq!(fields(&refused), ["messages[0].identify.traits.age"]);
    two.send(vec![identify("m3", &["u:ann"], 3, json!({"age": 40}))])
        .await;
    delete(&one, "age", "").await.unwrap();
    // That it may hear of with the next poll of the log.
    wait_until("anything goes again", PATIENCE, async || {
        let sent = vec![identify("m4", &["u:ann"], 4, json!({"age": "fifty"}))];
        two.try_send(sent).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn declarations_are_told_whole_or_not_at_all() {
    on_both("schema_told", async |shop| {
        let ask = async |revision| {
            let request = shop.request(GetDeclarationsRequest { revision });
            let answer = schema(&shop).get_declarations(request).await;
            answer.unwrap().into_inner()
        };
        assert_eq!(ask(0).await.traits, []);
        let made = declare(&shop, declared("age", TraitType::TraitNumber))
            .await
            .unwrap();
        let told = ask(0).await;
        assert_eq!((told.traits, told.unchanged), (vec![made], false));
        let again = ask(told.revision).await;
        assert_eq!((again.traits, again.unchanged), (vec![], true));
        delete(&shop, "age", "").await.unwrap();
        assert_eq!(ask(told.revision).await.traits, []);
        assert!(!ask(told.revision).await.unchanged);
    })
    .await;
}
