//! What computed traits are for, each held against values worked out by hand: recency,
//! frequency and money, the favourite category, the average basket, the expected time to
//! the next purchase. On SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use attune_api::profile::v1::{
    CreateTraitRequest, GetQualityReportRequest, IngestMessage, Trait, TraitType,
    schema_service_client::SchemaServiceClient,
};
use attune_errors::{Reason, reason_of};
use serde_json::{Value as Json, json};
use support::{segments::*, *};
use tonic::Status;

const DAY: i64 = 86_400_000;

const RECENCY: &str = r#"now - events("purchase").last().time <= duration("30d") ? 3
    : now - events("purchase").last().time <= duration("90d") ? 2 : 1"#;
const FREQUENCY: &str = r#"events("purchase").within("365d").count() >= 4 ? 3
    : events("purchase").within("365d").count() >= 2 ? 2 : 1"#;
const MONEY: &str = r#"events("purchase").within("365d").sum("revenue") >= 150.0 ? 3
    : events("purchase").within("365d").sum("revenue") >= 50.0 ? 2 : 1"#;

async fn compute(shop: &Running, id: &str, kind: TraitType, source: &str) -> Result<(), Status> {
    let request = shop.request(CreateTraitRequest {
        trait_id: id.into(),
        r#trait: Some(Trait {
            r#type: kind.into(),
            expression: source.into(),
            ..Trait::default()
        }),
    });
    let mut client = SchemaServiceClient::new(shop.channel.clone());
    client.create_trait(request).await.map(drop)
}

fn bought(id: &str, days_ago: i64, revenue: f64, category: &str, items: &[&str]) -> IngestMessage {
    let products: Vec<Json> = items.iter().map(|id| json!({ "product_id": id })).collect();
    let properties = json!({"revenue": revenue, "category": category, "products": products});
    event(id, &["u:ann"], -days_ago * DAY, "purchase", properties)
}

async fn expect(shop: &Running, ann: &str, expected: &[(&str, Json)]) {
    for (id, value) in expected {
        let held = shop.trait_of(ann, id).await;
        assert_eq!(&held, value, "{id} on {}", shop.system);
    }
}

async fn declare_all(shop: &Running) {
    use TraitType::{TraitDate, TraitNumber, TraitText};
    let all = [
        ("recency", TraitNumber, RECENCY),
        ("frequency", TraitNumber, FREQUENCY),
        ("money", TraitNumber, MONEY),
        (
            "rfm",
            TraitNumber,
            "profile.recency * 100.0 + profile.frequency * 10.0 + profile.money",
        ),
        (
            "last_bought",
            TraitDate,
            r#"events("purchase").last().time"#,
        ),
        (
            "favourite",
            TraitText,
            r#"events("purchase").mostFrequent("category")"#,
        ),
        (
            "favourite_item",
            TraitText,
            r#"events("purchase").mostFrequent("item_ids")"#,
        ),
        (
            "basket",
            TraitNumber,
            r#"events("purchase").avg("revenue")"#,
        ),
        (
            "gap_hours",
            TraitNumber,
            r#"events("purchase").averageGap().getHours()"#,
        ),
        (
            "next_expected",
            TraitDate,
            r#"events("purchase").last().time + events("purchase").averageGap()"#,
        ),
    ];
    for (id, kind, source) in all {
        compute(shop, id, kind, source).await.unwrap();
    }
    shop.declare("overdue", "now > profile.next_expected").await;
    shop.declare("best", "profile.rfm >= 333.0").await;
}

#[tokio::test]
async fn computed_traits_come_to_what_is_worked_out_by_hand() {
    on_both_at("computed_worked", T0, async |shop| {
        declare_all(&shop).await;
        // Nothing can be told of somebody who only looked round.
        let looked = event(
            "v1",
            &["u:ann"],
            -DAY,
            "view",
            json!({"category": "stoves"}),
        );
        let ann = shop.one(looked).await;
        let nothing = [
            ("recency", json!(1)),
            ("frequency", json!(1)),
            ("money", json!(1)),
            ("rfm", json!(111)),
            ("favourite", Json::Null),
            ("basket", Json::Null),
            ("next_expected", Json::Null),
        ];
        expect(&shop, &ann, &nothing).await;

        // One purchase has no gap.
        shop.one(bought("p1", 40, 30.0, "tents", &["a", "b"])).await;
        let one = [
            ("rfm", json!(211)),
            ("basket", json!(30)),
            ("gap_hours", Json::Null),
            ("next_expected", Json::Null),
        ];
        expect(&shop, &ann, &one).await;

        // On the 22nd of November, the 2nd and the 22nd of December: 10 and 20 days
        // between, 15 on the average, so that the next is expected on the 6th of January.
        shop.one(bought("p2", 30, 50.0, "stoves", &["c"])).await;
        shop.one(bought("p3", 10, 20.0, "tents", &["a"])).await;
        let three = [
            ("recency", json!(3)),
            ("frequency", json!(2)),
            ("money", json!(2)),
            ("rfm", json!(322)),
            ("last_bought", json!("2025-12-22T00:00:00Z")),
            ("favourite", json!("tents")),
            ("favourite_item", json!("a")),
            ("basket", json!(100.0 / 3.0)),
            ("gap_hours", json!(360)),
            ("next_expected", json!("2026-01-06T00:00:00Z")),
        ];
        expect(&shop, &ann, &three).await;
        assert!(shop.segments_of(&ann).await.is_empty());

        // Told late, of the 12th of December: 10 days between each two, 200 in all.
        shop.one(bought("p4", 20, 100.0, "stoves", &["d", "c"]))
            .await;
        let four = [
            ("frequency", json!(3)),
            ("money", json!(3)),
            ("rfm", json!(333)),
            ("last_bought", json!("2025-12-22T00:00:00Z")),
            // Two each; the one seen last counts, of the items of one purchase the first.
            ("favourite", json!("tents")),
            ("favourite_item", json!("a")),
            ("basket", json!(50)),
            ("gap_hours", json!(240)),
            ("next_expected", json!("2026-01-01T00:00:00Z")),
        ];
        expect(&shop, &ann, &four).await;
        assert_eq!(shop.segments_of(&ann).await, ["best"]);

        // Expected now: a millisecond later it is overdue.
        shop.clock.set(T0 + 1);
        shop.until_segments(&ann, &["best", "overdue"]).await;
        // Thirty days after the last purchase, and the millisecond after.
        shop.clock.set(T0 + 20 * DAY);
        shop.one(event("v2", &["u:ann"], 0, "view", json!({})))
            .await;
        expect(&shop, &ann, &[("recency", json!(3))]).await;
        shop.clock.set(T0 + 20 * DAY + 1);
        shop.until_trait(&ann, "recency", json!(2)).await;
        assert_eq!(shop.segments_of(&ann).await, ["overdue"]);
        // When the first of them is more than a year ago, three are left, of 170 in all.
        shop.clock.set(T0 + 325 * DAY + 1);
        shop.until_trait(&ann, "frequency", json!(2)).await;
        let later = [
            ("recency", json!(1)),
            ("money", json!(3)),
            ("basket", json!(50)),
        ];
        expect(&shop, &ann, &later).await;
        shop.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_quality_report_tells_how_many_have_a_computed_value() {
    on_both_at("computed_quality", T0, async |shop| {
        let (kind, source) = (
            TraitType::TraitNumber,
            r#"events("purchase").avg("revenue")"#,
        );
        compute(&shop, "basket", kind, source).await.unwrap();
        shop.one(bought("p1", 3, 10.0, "tents", &["a"])).await;
        shop.one(view("v1", &["u:bob"], 0, "tent")).await;
        let mut client = SchemaServiceClient::new(shop.channel.clone());
        let request = shop.request(GetQualityReportRequest {});
        let report = client
            .get_quality_report(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!((report.profile_count, report.sample_size), (2, 2));
        let found: Vec<_> = report
            .traits
            .iter()
            .map(|t| (&*t.trait_id, t.completeness))
            .collect();
        assert_eq!(found, [("basket", 0.5)], "{}", shop.system);
        shop.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_can_only_be_answered_with_no_cannot_be_computed() {
    on_both_at("computed_refused", T0, async |shop| {
        for source in [
            r#"subscribed("news") ? 1.0 : 2.0"#,
            r#"consent("marketing_mail") ? 1.0 : 2.0"#,
            r#"context.channel == "web" ? 1.0 : 2.0"#,
        ] {
            let refused = compute(&shop, "x", TraitType::TraitNumber, source)
                .await
                .unwrap_err();
            assert_eq!(reason_of(&refused), Some(Reason::InvalidFields), "{source}");
            let fields: Vec<_> = attune_errors::violations_of(&refused)
                .into_iter()
                .map(|(field, _)| field)
                .collect();
            assert_eq!(fields, ["trait.expression"], "{source}");
        }
        let source = r#"consent("marketing_email") ? 1.0 : 2.0"#;
        compute(&shop, "x", TraitType::TraitNumber, source)
            .await
            .unwrap();
        shop.stop().await;
    })
    .await;
}
