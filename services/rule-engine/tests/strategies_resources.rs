//! What a strategy may hold, told field by field, and whom it may not be taken from;
//! through the real client, on SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use attune_api::{
    catalog::v1::{CharacteristicDefinition, CharacteristicType, ItemType},
    json,
    rules::v1::{
        CharacteristicLimit, DeleteStrategyRequest, Diversity, Eligibility, Exploration, Fatigue,
        Promotions, ReasonKind, ScoreTerm, Scorer, Source, SourceKind, Strategy,
    },
};
use attune_errors::Reason;
use serde_json::json;
use support::*;

fn term(expression: &str, weight: f64) -> ScoreTerm {
    ScoreTerm {
        expression: expression.into(),
        weight,
        display_name: String::new(),
    }
}

fn limit(characteristic: &str, item_max: i32) -> CharacteristicLimit {
    CharacteristicLimit {
        characteristic: characteristic.into(),
        item_max,
    }
}

/// Items of the type `product`, which have a brand and a margin.
async fn product_type(engine: &Running) {
    let characteristic = |name: &str, kind: CharacteristicType| CharacteristicDefinition {
        name: name.into(),
        r#type: kind.into(),
        ..Default::default()
    };
    let item_type = ItemType {
        item_type_id: "product".into(),
        characteristics: vec![
            characteristic("brand", CharacteristicType::Text),
            characteristic("margin", CharacteristicType::Number),
        ],
        ..Default::default()
    };
    engine.publish_type(item_type).await;
}

#[tokio::test]
async fn every_fault_of_a_strategy_is_told_at_once() {
    on_both("strategy_faults", async |engine| {
        product_type(&engine).await;
        let source = |kind: SourceKind, params| Source {
            kind: kind.into(),
            weight: 1.0,
            params: json::to_struct(params),
        };
        let bad = Strategy {
            strategy_id: "s".into(),
            sources: vec![
                source(
                    SourceKind::PriceDropped,
                    json!({"days": 91, "percentMin": 0}),
                ),
                source(SourceKind::BackInStock, json!({"percentMin": 5})),
                source(SourceKind::BuyAgain, json!({"days": 3})),
            ],
            scorer: Some(Scorer {
                terms: vec![
                    term("", 1.0),
                    term("item.brand", 1.0),
                    term("item.margn * 2.0", 1.0),
                    term("item.margin / 100.0", 0.0),
                    term("item.margin / 100.0", f64::NAN),
                ],
            }),
            diversity: Some(Diversity {
                category_max: 101,
                weight: 1.1,
                characteristics: vec!["brand".into(), "brnd".into()],
                limits: vec![limit("brand", 0), limit("brand", 1), limit("a b", 1)],
            }),
            exploration: Some(Exploration { share: f64::NAN }),
            promotions: Some(Promotions {
                share: 0.6,
                filter: String::new(),
            }),
            fallback_strategies: vec!["s".into(), "gone".into(), "gone".into(), "default".into()],
            eligibility: Some(Eligibility {
                dismissed_days: -2,
                ..Default::default()
            }),
            fatigue: Some(Fatigue {
                half_exposures: 0.5,
                days: 91,
            }),
            ..Default::default()
        };
        let mut told = fields(&engine.put_strategy(bad).await.unwrap_err());
        told.sort();
        told.dedup();
        let mut expected = [
            "strategy.sources[0].params.days",
            "strategy.sources[0].params.percentMin",
            "strategy.sources[1].params.percentMin",
            "strategy.sources[2].params.days",
            "strategy.scorer.terms[0].expression",
            "strategy.scorer.terms[1].expression",
            "strategy.scorer.terms[2].expression",
            "strategy.scorer.terms[3].weight",
            "strategy.scorer.terms[4].weight",
            "strategy.diversity.category_max",
            "strategy.diversity.weight",
            "strategy.diversity.characteristics[1]",
            "strategy.diversity.limits[0].item_max",
            "strategy.diversity.limits[1].characteristic",
            "strategy.diversity.limits[2].characteristic",
            "strategy.exploration.share",
            "strategy.promotions.share",
            "strategy.promotions.filter",
            "strategy.fallback_strategies[0]",
            "strategy.fallback_strategies[1]",
            "strategy.fallback_strategies[2]",
            "strategy.eligibility.dismissed_days",
            "strategy.fatigue.half_exposures",
            "strategy.fatigue.days",
        ];
        expected.sort_unstable();
        assert_eq!(told, expected);
    })
    .await;
}

#[tokio::test]
async fn a_strategy_that_others_fall_back_to_stays() {
    on_both("fallback_use", async |engine| {
        let sources = [(SourceKind::Popular, json!({}))];
        engine
            .put_strategy(strategy("last", &sources))
            .await
            .unwrap();
        engine
            .put_strategy(Strategy {
                fallback_strategies: vec!["last".into(), "default".into()],
                ..strategy("first", &sources)
            })
            .await
            .unwrap();
        let delete = async |id: &str| {
            let request = engine.request(DeleteStrategyRequest {
                strategy_id: id.into(),
                ..Default::default()
            });
            engine.rules.clone().delete_strategy(request).await
        };
        assert_eq!(reason(delete("last").await), Reason::ResourceInUse);
        delete("first").await.unwrap();
        delete("last").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn terms_and_promotions_shape_the_answer_and_are_its_reasons() {
    on_both("terms", async |engine| {
        product_type(&engine).await;
        let items = (0..6).map(|n| {
            let mut item = item(
                &format!("i{n}"),
                "tents",
                if n < 5 { "Halden" } else { "Own" },
            );
            let margin = json::to_struct(json!({"margin": n})).unwrap();
            item.characteristics.extend(margin.fields);
            item
        });
        engine.publish_items(items.collect()).await;
        let editorial = json!({"itemIds": ["i0", "i1", "i2", "i3", "i4"]});
        engine
            .put_strategy(Strategy {
                scorer: Some(Scorer {
                    terms: vec![ScoreTerm {
                        display_name: "Worth it".into(),
                        ..term("double(item.margin) / 10.0", 20.0)
                    }],
                }),
                promotions: Some(Promotions {
                    share: 0.25,
                    filter: "item.brand == \"Own\"".into(),
                }),
                ..strategy("s", &[(SourceKind::Editorial, editorial)])
            })
            .await
            .unwrap();
        engine.put_placement(placement("row", "s")).await.unwrap();
        let mut request = ask("row", &stranger());
        request.placements[0].count = 4;
        let row = engine.decide_one(request).await;
        assert_eq!(shown(&row), ["i4", "i3", "i2", "i5"]);
        let first = &row.slots[0].reasons[0];
        assert_eq!(
            (first.kind(), first.text.as_str()),
            (ReasonKind::Term, "Worth it")
        );
        let last = &row.slots[3].reasons[0];
        assert_eq!(last.kind(), ReasonKind::Promotion);
    })
    .await;
}
