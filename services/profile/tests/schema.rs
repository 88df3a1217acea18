//! What a workspace declares of traits and events, and what then becomes of values:
//! through the real clients, on SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;
#[path = "support/traits.rs"]
mod traits;

use attune_api::profile::v1::{
    CreateEventTypeRequest, CreateTraitRequest, EventProperty, EventType, ListTraitsRequest,
    MergeStrategy, Trait, TraitType,
};
use attune_errors::{Reason, reason_of, violations_of};
use support::*;
use traits::*;

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
