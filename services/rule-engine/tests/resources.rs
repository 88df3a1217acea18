//! Placements, strategies and rules as people edit them, through the real client, in
//! process, on SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use attune_api::{
    catalog::v1::{CharacteristicDefinition, CharacteristicType, ItemType},
    json,
    rules::v1::{
        DeletePlacementRequest, DeleteStrategyRequest, Diversity, Exploration, GetRuleRequest,
        ListRulesRequest, Placement, Rule, Schedule, Source, SourceKind, Strategy,
        UpdateRuleRequest,
    },
    time,
};
use attune_errors::Reason;
use prost_types::FieldMask;
use serde_json::json;
use support::*;

#[tokio::test]
async fn a_resource_goes_through_its_whole_life() {
    on_both("life", async |engine| {
        engine.put_placement(placement("home", "")).await.unwrap();
        let sent = rule("spring", "item.brand == \"Halden\"", boost(2.0));
        let created = engine.put_rule(sent.clone()).await.unwrap();
        assert!(!created.etag.is_empty() && created.create_time.is_some());
        assert_eq!(
            reason(engine.put_rule(sent.clone()).await),
            Reason::ResourceExists
        );

        let mut client = engine.rules.clone();
        let stale = UpdateRuleRequest {
            rule: Some(Rule {
                etag: "stale".into(),
                ..sent.clone()
            }),
            ..Default::default()
        };
        let refused = client.update_rule(engine.request(stale)).await;
        assert_eq!(reason(refused), Reason::EtagMismatch);

        let update = UpdateRuleRequest {
            rule: Some(Rule {
                priority: 7,
                placements: vec!["home".into()],
                ..sent.clone()
            }),
            update_mask: Some(FieldMask {
                paths: vec!["priority".into()],
            }),
            ..Default::default()
        };
        let updated = client.update_rule(engine.request(update)).await.unwrap();
        let updated = updated.into_inner();
        assert_eq!((updated.priority, updated.placements.len()), (7, 0));

        let upsert = UpdateRuleRequest {
            rule: Some(rule("winter", "", boost(3.0))),
            allow_missing: true,
            ..Default::default()
        };
        client.update_rule(engine.request(upsert)).await.unwrap();
        let list = ListRulesRequest {
            page_size: 1,
            ..Default::default()
        };
        let page = client
            .list_rules(engine.request(list))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(page.rules[0].rule_id, "spring");
        let list = ListRulesRequest {
            page_token: page.next_page_token,
            ..Default::default()
        };
        let page = client
            .list_rules(engine.request(list))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(page.rules[0].rule_id, "winter");

        let elsewhere = engine.in_workspace("other");
        let get = GetRuleRequest {
            rule_id: "spring".into(),
            ..Default::default()
        };
        let missing = client.get_rule(elsewhere.request(get)).await;
        assert_eq!(reason(missing), Reason::ResourceNotFound);
        let gone = DeletePlacementRequest {
            placement_id: "nope".into(),
            ..Default::default()
        };
        let missing = client.delete_placement(engine.request(gone)).await;
        assert_eq!(reason(missing), Reason::ResourceNotFound);
    })
    .await;
}

#[tokio::test]
async fn every_fault_of_a_resource_is_told_at_once() {
    on_both("faults", async |engine| {
        let status = engine
            .put_placement(Placement {
                placement_id: "Home!".into(),
                strategy: "nope".into(),
                channels: vec!["web".into(), "web".into()],
                fallback_item_ids: vec!["a b".into()],
                ..Default::default()
            })
            .await
            .unwrap_err();
        let expected = [
            "placement.placement_id",
            "placement.channels[1]",
            "placement.fallback_item_ids[0]",
            "placement.strategy",
        ];
        assert_eq!(fields(&status), expected);

        let source = |kind: i32, weight: f64, params| Source {
            kind,
            weight,
            params: json::to_struct(params),
        };
        let status = engine
            .put_strategy(Strategy {
                strategy_id: "s".into(),
                sources: vec![
                    source(0, 1.0, json!({})),
                    source(SourceKind::Popular.into(), -1.0, json!({"event": "sneeze"})),
                    source(SourceKind::New.into(), f64::NAN, json!({"days": 0})),
                    source(SourceKind::Editorial.into(), 1.0, json!({})),
                    source(SourceKind::Similar.into(), 1.0, json!({"days": 1})),
                    source(SourceKind::AlsoBought.into(), 1.0, json!({})),
                    source(SourceKind::AlsoBought.into(), 2.0, json!({})),
                ],
                filter: "item.price <".into(),
                diversity: Some(Diversity {
                    category_max: -1,
                    ..Default::default()
                }),
                exploration: Some(Exploration { share: 0.6 }),
                ..Default::default()
            })
            .await
            .unwrap_err();
        let expected = [
            "strategy.sources[0].kind",
            "strategy.sources[1].weight",
            "strategy.sources[1].params.event",
            "strategy.sources[2].weight",
            "strategy.sources[2].params.days",
            "strategy.sources[3].params.itemIds",
            "strategy.sources[4].params.days",
            "strategy.sources[6].kind",
            "strategy.filter",
            "strategy.diversity.category_max",
            "strategy.exploration.share",
        ];
        assert_eq!(fields(&status), expected);

        let status = engine
            .put_rule(Rule {
                when: "profil.age > 3".into(),
                schedule: Some(Schedule {
                    start_time: Some(time::from_ms(2000)),
                    end_time: Some(time::from_ms(1000)),
                    ..Default::default()
                }),
                placements: vec!["nowhere".into()],
                ..rule("r", "item.title + 1", boost(1.0))
            })
            .await
            .unwrap_err();
        let told = fields(&status);
        for expected in [
            "rule.when",
            "rule.where",
            "rule.action.boost.factor",
            "rule.schedule.end_time",
            "rule.placements[0]",
        ] {
            assert!(told.iter().any(|f| f == expected), "{expected}: {told:?}");
        }

        let pins = rule("p", "", pin(0, &["a", "a"]));
        let status = engine.put_rule(pins).await.unwrap_err();
        let expected = [
            "rule.action.pin.position",
            "rule.action.pin.item_ids[1]",
            "rule.action.pin.item_ids[0]",
        ];
        assert_eq!(fields(&status), expected);
        let status = engine.put_rule(Rule::default()).await.unwrap_err();
        assert_eq!(fields(&status), ["rule.rule_id", "rule.action"]);
    })
    .await;
}

#[tokio::test]
async fn a_characteristic_must_be_declared_once_types_are_known() {
    on_both("declared", async |engine| {
        let defined = CharacteristicDefinition {
            name: "brand".into(),
            r#type: CharacteristicType::Text.into(),
            ..Default::default()
        };
        engine
            .publish_type(ItemType {
                item_type_id: "product".into(),
                characteristics: vec![defined],
                ..Default::default()
            })
            .await;
        let misspelt = rule("r", "item.brnad == \"Halden\"", boost(2.0));
        let status = engine.put_rule(misspelt).await.unwrap_err();
        assert_eq!(fields(&status), ["rule.where"]);
        assert!(status.message().contains("brand"), "{status:?}");
        let right = rule("r", "item.brand == \"Halden\"", boost(2.0));
        engine.put_rule(right).await.unwrap();
        // What a request may filter by goes with the type that declares it.
        engine.put_placement(placement("home", "")).await.unwrap();
        let mut filtered = ask("home", &stranger());
        filtered.placements[0].filter = "item.brand == \"Halden\"".into();
        engine.decide(filtered.clone()).await.unwrap();
        engine
            .publish_type(ItemType {
                item_type_id: "product".into(),
                ..Default::default()
            })
            .await;
        let status = engine.decide(filtered).await.unwrap_err();
        assert_eq!(fields(&status), ["placements[0].filter"]);
    })
    .await;
}

#[tokio::test]
async fn a_strategy_in_use_stays() {
    on_both("in_use", async |engine| {
        let popular = strategy("popular", &[(SourceKind::Popular, json!({}))]);
        engine.put_strategy(popular).await.unwrap();
        engine
            .put_placement(placement("home", "popular"))
            .await
            .unwrap();
        let mut client = engine.rules.clone();
        let delete = DeleteStrategyRequest {
            strategy_id: "popular".into(),
            ..Default::default()
        };
        let refused = client.delete_strategy(engine.request(delete.clone())).await;
        assert_eq!(reason(refused), Reason::ResourceInUse);
        let placement = DeletePlacementRequest {
            placement_id: "home".into(),
            ..Default::default()
        };
        client
            .delete_placement(engine.request(placement))
            .await
            .unwrap();
        client
            .delete_strategy(engine.request(delete))
            .await
            .unwrap();
    })
    .await;
}
