//! What a workspace declares of traits and events, and what then becomes of values:
//! through the real clients, on SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use attune_api::profile::v1::{
    CreateEventTypeRequest, CreateTraitRequest, DeleteTraitRequest, EventProperty, EventType,
    GetDeclarationsRequest, ListTraitsRequest, MergeStrategy, Trait, TraitType, UpdateTraitRequest,
    schema_service_client::SchemaServiceClient,
};
use attune_errors::{Reason, reason_of, violations_of};
use attune_profile::Config;
use attune_rpc::Channel;
use attune_testkit::wait_until;
use prost_types::FieldMask;
use serde_json::json;
use support::*;
use tonic::Status;

fn schema(shop: &Running) -> SchemaServiceClient<Channel> {
    SchemaServiceClient::new(shop.channel.clone())
}

fn declared(id: &str, kind: TraitType) -> Trait {
    Trait {
        trait_id: id.into(),
        r#type: kind.into(),
        ..Trait::default()
    }
}

async fn declare(shop: &Running, declared: Trait) -> Result<Trait, Status> {
    let request = shop.request(CreateTraitRequest {
        trait_id: declared.trait_id.clone(),
        r#trait: Some(declared),
    });
    Ok(schema(shop).create_trait(request).await?.into_inner())
}

async fn update(shop: &Running, changed: Trait, paths: &[&str]) -> Result<Trait, Status> {
    let request = shop.request(UpdateTraitRequest {
        r#trait: Some(changed),
        update_mask: Some(FieldMask {
            paths: paths.iter().map(ToString::to_string).collect(),
        }),
        allow_missing: false,
    });
    Ok(schema(shop).update_trait(request).await?.into_inner())
}

async fn delete(shop: &Running, id: &str, etag: &str) -> Result<(), Status> {
    let request = shop.request(DeleteTraitRequest {
        trait_id: id.into(),
        etag: etag.into(),
    });
    schema(shop).delete_trait(request).await.map(drop)
}

fn fields(status: &Status) -> Vec<String> {
    violations_of(status).into_iter().map(|v| v.0).collect()
}

#[tokio::test]
async fn traits_are_edited_as_other_resources_are() {
    on_both("schema_edit", async |shop| {
        let age = Trait {
            minimum: Some(0.0),
            ..declared("age", TraitType::TraitNumber)
        };
        let made = declare(&shop, age.clone()).await.unwrap();
        assert!(!made.etag.is_empty() && made.create_time.is_some());
        let again = declare(&shop, age.clone()).await.unwrap_err();
        assert_eq!(reason_of(&again), Some(Reason::ResourceExists));
        declare(&shop, declared("name", TraitType::TraitText))
            .await
            .unwrap();
        let page = ListTraitsRequest {
            page_size: 1,
            ..ListTraitsRequest::default()
        };
        let page = schema(&shop)
            .list_traits(shop.request(page))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(page.traits, std::slice::from_ref(&made));
        assert!(!page.next_page_token.is_empty());

        let named = Trait {
            display_name: "Age".into(),
            ..made.clone()
        };
        let named = update(&shop, named, &["display_name"]).await.unwrap();
        assert_eq!(
            (named.minimum, named.display_name.as_str()),
            (Some(0.0), "Age")
        );
        let stale = update(&shop, made.clone(), &["display_name"])
            .await
            .unwrap_err();
        assert_eq!(reason_of(&stale), Some(Reason::EtagMismatch));
        let stale = delete(&shop, "age", &made.etag).await.unwrap_err();
        assert_eq!(reason_of(&stale), Some(Reason::EtagMismatch));
        delete(&shop, "age", &named.etag).await.unwrap();
        let gone = delete(&shop, "age", "").await.unwrap_err();
        assert_eq!(reason_of(&gone), Some(Reason::ResourceNotFound));
        // Another workspace's declarations are its own.
        let elsewhere = shop.in_workspace("other");
        let page = elsewhere.request(ListTraitsRequest::default());
        let page = schema(&shop).list_traits(page).await.unwrap().into_inner();
        assert_eq!(page.traits, []);
    })
    .await;
}

#[tokio::test]
async fn every_fault_of_a_declaration_is_told_at_once() {
    use TraitType::*;
    on_both("schema_faults", async |shop| {
        let computed = |id: &str, kind, expression: &str| Trait {
            expression: expression.into(),
            ..declared(id, kind)
        };
        let rows = [
            (declared("2x", TraitNumber), vec!["trait.trait_id"]),
            (declared("in", TraitNumber), vec!["trait.trait_id"]),
            (
                declared(&"x".repeat(65), TraitNumber),
                vec!["trait.trait_id"],
            ),
            (declared("x", Unspecified), vec!["trait.type"]),
            (declared("x", TraitEnum), vec!["trait.enum_values"]),
            (
                Trait {
                    minimum: Some(2.0),
                    maximum: Some(1.0),
                    length_max: -1,
                    merge_strategy: MergeStrategy::Union.into(),
                    purpose: "No Purpose".into(),
                    retention_class: "Not A Class".into(),
                    display_name: "x".repeat(300),
                    ..declared("9", TraitNumber)
                },
                vec![
                    "trait.trait_id",
                    "trait.display_name",
                    "trait.maximum",
                    "trait.length_max",
                    "trait.merge_strategy",
                    "trait.retention_class",
                    "trait.purpose",
                ],
            ),
            (
                Trait {
                    minimum: Some(f64::NAN),
                    length_max: 10,
                    enum_values: vec!["a".into()],
                    ..declared("x", TraitNumber)
                },
                vec!["trait.enum_values", "trait.minimum", "trait.length_max"],
            ),
            (
                Trait {
                    merge_strategy: MergeStrategy::Sum.into(),
                    ..declared("x", TraitText)
                },
                vec!["trait.merge_strategy"],
            ),
            (
                Trait {
                    enum_values: vec!["a".into(), String::new(), "a".into()],
                    ..declared("x", TraitEnum)
                },
                vec!["trait.enum_values[1]", "trait.enum_values[2]"],
            ),
            (
                Trait {
                    retention_class: "nowhere".into(),
                    ..declared("x", TraitText)
                },
                vec!["trait.retention_class"],
            ),
            // Expressions: no such function, of another kind, what is not there.
            (
                computed("x", TraitNumber, "profile."),
                vec!["trait.expression"],
            ),
            (
                computed("x", TraitNumber, "events(\"purchase\").exists()"),
                vec!["trait.expression"],
            ),
            (
                computed("x", TraitDate, "events(\"purchase\").count()"),
                vec!["trait.expression"],
            ),
            (
                computed("x", TraitNumber, "size(context.channel)"),
                vec!["trait.expression"],
            ),
            (
                computed("x", TraitBool, "\"vip\" in segments"),
                vec!["trait.expression"],
            ),
            (
                computed("x", TraitNumber, "profile.x + 1.0"),
                vec!["trait.expression"],
            ),
        ];
        for (declared, expected) in rows {
            let refused = declare(&shop, declared.clone()).await.unwrap_err();
            assert_eq!(
                reason_of(&refused),
                Some(Reason::InvalidFields),
                "{declared:?}"
            );
            assert_eq!(fields(&refused), expected, "{declared:?}");
        }
        let request = shop.request(CreateTraitRequest::default());
        let refused = schema(&shop).create_trait(request).await.unwrap_err();
        assert_eq!(fields(&refused), ["trait"]);

        let property = |name: &str, kind: TraitType| EventProperty {
            name: name.into(),
            r#type: kind.into(),
            ..EventProperty::default()
        };
        let rows = [
            ("Order Completed", vec![], vec!["event_type.event_type_id"]),
            ("", vec![], vec!["event_type.event_type_id"]),
            (
                "rated",
                vec![
                    property("", TraitText),
                    property("a", TraitBool),
                    property("a", TraitEnum),
                ],
                vec![
                    "event_type.properties[0].name",
                    "event_type.properties[2].name",
                    "event_type.properties[2].enum_values",
                ],
            ),
        ];
        for (id, properties, expected) in rows {
            let request = shop.request(CreateEventTypeRequest {
                event_type_id: String::new(),
                event_type: Some(EventType {
                    event_type_id: id.into(),
                    properties,
                    ..EventType::default()
                }),
            });
            let refused = schema(&shop).create_event_type(request).await.unwrap_err();
            assert_eq!(fields(&refused), expected, "{id}");
        }
        let page = shop.request(ListTraitsRequest::default());
        let page = schema(&shop).list_traits(page).await.unwrap().into_inner();
        assert_eq!(page.traits, []);
    })
    .await;
}

#[tokio::test]
async fn computed_traits_form_no_cycle_and_keep_what_they_read() {
    on_both("schema_computed", async |shop| {
        let computed = |id: &str, expression: &str| Trait {
            expression: expression.into(),
            ..declared(id, TraitType::TraitNumber)
        };
        let spent = "events(\"purchase\").within(\"365d\").sum(\"revenue\")";
        declare(&shop, computed("spent", spent)).await.unwrap();
        declare(&shop, computed("rank", "profile.spent / 100.0"))
            .await
            .unwrap();
        let cycle = computed("spent", "profile.rank + 1.0");
        let refused = update(&shop, cycle, &["expression"]).await.unwrap_err();
        let violations = violations_of(&refused);
        assert_eq!(violations[0].0, "trait.expression");
        assert!(
            violations[0].1.contains("spent → rank → spent"),
            "{violations:?}"
        );
        // Misspelt, now that there are names.
        let refused = declare(&shop, computed("x", "profile.spend * 2.0"))
            .await
            .unwrap_err();
        let violations = violations_of(&refused);
        assert!(
            violations[0].1.contains("did you mean `spent`?"),
            "{violations:?}"
        );
        let refused = delete(&shop, "spent", "").await.unwrap_err();
        assert_eq!(reason_of(&refused), Some(Reason::ResourceInUse));
        delete(&shop, "rank", "").await.unwrap();
        delete(&shop, "spent", "").await.unwrap();
    })
    .await;
}

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
    wait_until("anything goes again", Duration::from_secs(10), async || {
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
