//! Where values come from, what they were before, and how good what arrives is: through
//! the real clients, on SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use attune_api::{
    json::from_value,
    profile::v1::{
        CreateTraitRequest, GetQualityReportRequest, IngestMessage, ListTraitHistoryRequest,
        Origin, Party, QualityReport, SourceQuality, Trait, TraitType, TraitValue,
        schema_service_client::SchemaServiceClient,
    },
    time::{from_ms, to_ms},
};
use attune_errors::{Reason, reason_of, violations_of};
use attune_rpc::Channel;
use serde_json::{Value as Json, json};
use support::*;

fn schema(shop: &Running) -> SchemaServiceClient<Channel> {
    SchemaServiceClient::new(shop.channel.clone())
}

fn by(source: &str, message: IngestMessage) -> IngestMessage {
    IngestMessage {
        source: source.into(),
        ..message
    }
}

/// `[value, after T0, source]`, newest first, by pages.
async fn history(shop: &Running, profile_id: &str, trait_id: &str, size: i32) -> Vec<Json> {
    let mut values: Vec<TraitValue> = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = shop.request(ListTraitHistoryRequest {
            profile_id: profile_id.into(),
            trait_id: trait_id.into(),
            page_size: size,
            page_token,
        });
        let page = schema(shop)
            .list_trait_history(request)
            .await
            .unwrap()
            .into_inner();
        values.extend(page.values);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let shown = values.iter().map(|held| {
        let from = held.provenance.as_ref().unwrap();
        let at = to_ms(from.time.as_ref().unwrap()) - T0;
        json!([from_value(held.value.as_ref().unwrap()), at, from.source])
    });
    shown.collect()
}

#[tokio::test]
async fn a_value_keeps_where_it_comes_from_and_what_it_was() {
    on_both("quality_history", async |shop| {
        let plan = |value: Json| json!({ "plan": value });
        let sent = [
            by("crm", identify("m1", &["u:ann"], 10, plan(json!("free")))),
            by("crm", identify("m2", &["u:ann"], 20, plan(json!("free")))),
            by("web", identify("m3", &["u:ann"], 30, plan(json!("pro")))),
            by("crm", identify("m4", &["u:ann"], 25, plan(json!("trial")))),
            by("crm", identify("m5", &["u:ann"], 40, plan(json!(null)))),
            IngestMessage {
                party: Party::ThirdParty.into(),
                origin: Origin::Implicit.into(),
                ..by("panel", identify("m6", &["u:ann"], 50, plan(json!("team"))))
            },
        ];
        let mut id = String::new();
        for message in sent {
            id = shop.one(message).await;
        }
        let expected = [
            json!(["team", 50, "panel"]),
            json!([null, 40, "crm"]),
            json!(["pro", 30, "web"]),
            json!(["trial", 25, "crm"]),
            json!(["free", 20, "crm"]),
        ];
        for size in [0, 1, 2, 5] {
            assert_eq!(
                history(&shop, &id, "plan", size).await,
                expected,
                "by {size}"
            );
        }
        assert_eq!(history(&shop, &id, "other", 0).await, [] as [Json; 0]);
        let profile = shop.profile(&id).await.unwrap();
        let held = profile.trait_values["plan"].clone();
        let from = held.provenance.unwrap();
        assert_eq!(from_value(&held.value.unwrap()), json!("team"));
        assert_eq!(
            (from.party(), from.origin(), from.time),
            (Party::ThirdParty, Origin::Implicit, Some(from_ms(T0 + 50)))
        );

        let request = shop.request(ListTraitHistoryRequest {
            page_size: -1,
            ..ListTraitHistoryRequest::default()
        });
        let refused = schema(&shop).list_trait_history(request).await.unwrap_err();
        let fields: Vec<_> = violations_of(&refused).into_iter().map(|v| v.0).collect();
        assert_eq!(fields, ["profile_id", "trait_id", "page_size"]);
        let request = shop.request(ListTraitHistoryRequest {
            profile_id: "0190b7e0-0000-7000-8000-000000000000".into(),
            trait_id: "plan".into(),
            ..ListTraitHistoryRequest::default()
        });
        let refused = schema(&shop).list_trait_history(request).await.unwrap_err();
        assert_eq!(reason_of(&refused), Some(Reason::ResourceNotFound));
    })
    .await;
}

#[tokio::test]
async fn a_merge_brings_the_history_along() {
    on_both("quality_merged", async |shop| {
        let one = identify("m1", &["a:x"], 10, json!({"city": "Graz"}));
        shop.one(one).await;
        shop.one(identify("m2", &["a:x"], 20, json!({"city": "Wien"})))
            .await;
        shop.one(identify("m3", &["u:ann"], 12, json!({"city": "Linz"})))
            .await;
        shop.one(identify("m4", &["u:ann"], 15, json!({"city": "Bern"})))
            .await;
        let id = shop.one(view("m5", &["u:ann", "a:x"], 30, "tent")).await;
        let seen = history(&shop, &id, "city", 2).await;
        let expected = [
            json!(["Wien", 20, ""]),
            json!(["Bern", 15, ""]),
            json!(["Linz", 12, ""]),
            json!(["Graz", 10, ""]),
        ];
        assert_eq!(seen, expected, "{}", shop.system);
    })
    .await;
}

async fn report(shop: &Running) -> QualityReport {
    let request = shop.request(GetQualityReportRequest {});
    let report = schema(shop).get_quality_report(request).await;
    report.unwrap().into_inner()
}

#[tokio::test]
async fn the_report_counts_what_each_source_sent() {
    on_both("quality_report", async |shop| {
        let request = shop.request(CreateTraitRequest {
            trait_id: String::new(),
            r#trait: Some(Trait {
                trait_id: "age".into(),
                r#type: TraitType::TraitNumber.into(),
                ..Trait::default()
            }),
        });
        schema(&shop).create_trait(request).await.unwrap();
        let late = IngestMessage {
            receive_time: Some(from_ms(T0 + 90_000_000)),
            ..view("m4", &["u:ann"], 0, "tent")
        };
        let sent = vec![
            by(
                "crm",
                identify("m1", &["u:ann"], 10, json!({"age": 30, "city": "Graz"})),
            ),
            by(
                "web",
                identify("m2", &["u:ann"], 20, json!({"age": 31, "city": "Graz"})),
            ),
            by(
                "crm",
                identify("m3", &["u:bob"], 20, json!({"city": "Wien"})),
            ),
            by("web", late),
            by("web", identify("m5", &["u:ann"], 5, json!({"age": 29}))),
        ];
        shop.send(sent.clone()).await;
        shop.send(sent[..1].to_vec()).await;
        let wrong = by(
            "crm",
            identify("m6", &["u:bob"], 30, json!({"age": "x", "city": 5})),
        );
        shop.try_send(vec![wrong]).await.unwrap_err();

        let report = report(&shop).await;
        assert_eq!(
            (report.profile_count, report.sample_size),
            (2, 2),
            "{}",
            shop.system
        );
        let source = |source: &str, counts: [i64; 5]| SourceQuality {
            source: source.into(),
            accepted_count: counts[0],
            rejected_count: counts[1],
            duplicate_count: counts[2],
            conflict_count: counts[3],
            late_count: counts[4],
        };
        let expected = [
            source("crm", [3, 1, 1, 0, 0]),
            source("web", [4, 0, 0, 1, 2]),
        ];
        assert_eq!(report.sources, expected, "{}", shop.system);
        let traits: Vec<_> = report
            .traits
            .iter()
            .map(|t| {
                let counts = (t.rejected_count, t.conflict_count);
                (t.trait_id.as_str(), t.declared, t.completeness, counts)
            })
            .collect();
        let expected = [("age", true, 0.5, (1, 1)), ("city", false, 1.0, (0, 0))];
        assert_eq!(traits, expected, "{}", shop.system);
        assert!(report.traits[0].age_days_median > 0.0);
    })
    .await;
}

#[tokio::test]
async fn counts_outlive_the_process() {
    for database in databases("quality_restart").await {
        let open =
            async || Running::open(database.url(), database.system, Default::default()).await;
        let shop = open().await;
        shop.send(vec![by(
            "crm",
            identify("m1", &["u:ann"], 10, json!({"age": 30})),
        )])
        .await;
        shop.stop().await;
        let shop = open().await;
        shop.send(vec![by(
            "crm",
            identify("m2", &["u:ann"], 20, json!({"age": 31})),
        )])
        .await;
        assert_eq!(report(&shop).await.sources[0].accepted_count, 2);
        shop.stop().await;
    }
}
