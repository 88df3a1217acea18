//! The whole person, part by part, and nobody else. On both databases.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

mod support;

use std::collections::BTreeMap;

use attune_api::{
    json::from_struct,
    profile::v1::{ExportProfileRequest, ListAuditEntriesRequest, SetConsentRequest},
    r#type::v1::subject::Id,
};
use attune_errors::{Reason, reason_of};
use futures::TryStreamExt;
use serde_json::{Value as Json, json};
use support::{Running, T0, alias, event, identify, on_both, segments::on_both_at, view};
use tonic::Status;

type Parts = BTreeMap<String, Vec<Json>>;

/// By kind, in the order in which they came.
async fn export(service: &Running, profile_id: &str) -> Result<Parts, Status> {
    let profile_id = profile_id.to_owned();
    let request = service.request(ExportProfileRequest { profile_id });
    let answer = service.privacy.clone().export_profile(request).await?;
    let parts: Vec<_> = answer.into_inner().try_collect().await?;
    let mut by_kind = Parts::new();
    for part in parts {
        let data = from_struct(&part.data.unwrap());
        by_kind.entry(part.kind).or_default().push(data);
    }
    Ok(by_kind)
}

#[tokio::test]
async fn a_person_is_exported_whole() {
    on_both("export-whole", async |service: Running| {
        let message = identify("m1", &["u:ann"], 0, json!({"name": "Ann", "city": "Ulm"}));
        let ann = service.one(message).await;
        let message = identify("m2", &["u:ann"], 1, json!({"city": "Bonn", "name": null}));
        service.one(message).await;
        // More than two pages of them.
        let events: Vec<_> = (0..450)
            .map(|n| {
                let properties = json!({"product_id": format!("i{n}"), "note": "mine"});
                event(
                    &format!("e{n}"),
                    &["u:ann"],
                    n,
                    "Product Viewed",
                    properties,
                )
            })
            .collect();
        service.send(events).await;
        service.one(view("b1", &["u:bob"], 0, "bobs-own")).await;

        for (n, granted) in [true, false].into_iter().enumerate() {
            let request = service.request(SetConsentRequest {
                profile_id: ann.clone(),
                purpose: "analytics".into(),
                granted,
                source: format!("banner {n}"),
                ..Default::default()
            });
            service.client.clone().set_consent(request).await.unwrap();
        }
        let operator = service.on_behalf_of("key-1");
        operator.profile(&ann).await.unwrap();
        let parts = export(&operator, &ann).await.unwrap();
        let profile = &parts["profile"][0];
        assert_eq!(profile["profileId"], ann);
        assert_eq!(profile["traits"], json!({"city": "Bonn"}));
        assert_eq!(profile["identities"][0]["value"], "ann");
        assert_eq!(profile["eventCount"], "450");
        let past = parts["trait_history"].iter();
        let past: Vec<_> = past.map(|v| (&v["traitId"], &v["value"])).collect();
        assert_eq!(
            past,
            [
                (&json!("city"), &json!("Ulm")),
                (&json!("name"), &json!("Ann"))
            ]
        );
        let decided = parts["consents"].iter();
        let decided: Vec<_> = decided.map(|c| (&c["source"], &c["granted"])).collect();
        let withdrawn = (&json!("banner 1"), &Json::Null);
        assert_eq!(decided, [withdrawn, (&json!("banner 0"), &json!(true))]);
        assert_eq!(parts["preferences"].len(), 1);
        let events = &parts["event"];
        let ids: Vec<_> = events.iter().map(|e| e["eventId"].clone()).collect();
        let expected: Vec<_> = (0..450).rev().map(|n| json!(format!("e{n}"))).collect();
        assert_eq!(ids, expected);
        assert_eq!(events[0]["properties"]["note"], "mine");
        let seen: Vec<_> = parts["audit"].iter().map(|e| e["action"].clone()).collect();
        assert_eq!(seen, ["ExportProfile", "GetProfile"]);
        let said = format!("{parts:?}");
        assert!(!said.contains("bob"), "another person's data");
    })
    .await;
}

#[tokio::test]
async fn what_was_concluded_of_a_person_is_exported_too() {
    on_both_at("export-concluded", T0, async |service| {
        service
            .declare("viewers", r#"events("view").exists()"#)
            .await;
        service.declare("guests", "").await;
        service
            .declare("buyers", r#"events("purchase").exists()"#)
            .await;
        service.compute("views", r#"events("view").count()"#).await;
        let ann = service.one(view("m1", &["u:ann"], 0, "i1")).await;
        let listed = [Id::UserId("ann".into())];
        service.change("guests", &listed, &[]).await.unwrap();
        service.until_trait(&ann, "views", json!(1)).await;

        let parts = export(&service, &ann).await.unwrap();
        assert_eq!(parts["profile"][0]["traits"], json!({"views": 1}));
        let expected = ["guests", "viewers"].map(
            |id| json!({"profileId": ann, "segmentId": id, "enterTime": "2026-01-01T00:00:00Z"}),
        );
        assert_eq!(parts["segments"], expected);
    })
    .await;
}

#[tokio::test]
async fn a_merged_id_exports_the_one_it_became() {
    on_both("export-merged", async |service: Running| {
        service.one(view("m1", &["u:ann"], 0, "i1")).await;
        let stranger = service.one(view("m2", &["a:x"], 1, "i2")).await;
        let ann = service.one(alias("m3", &["u:ann"], "a:x")).await;
        assert_ne!(ann, stranger);
        let parts = export(&service, &stranger).await.unwrap();
        assert_eq!(parts["profile"][0]["profileId"], ann);
        assert_eq!(parts["event"].len(), 2);
        let merge = &parts["merge"][0];
        assert_eq!(
            (&merge["profileId"], &merge["mergedProfileId"]),
            (&json!(ann), &json!(stranger))
        );
    })
    .await;
}

#[tokio::test]
async fn nobody_is_not_exported_and_leaves_no_entry() {
    on_both("export-nobody", async |service: Running| {
        let operator = service.on_behalf_of("key-1");
        let nobody = "0198c2c3-0000-7000-8000-000000000001";
        for (id, reason) in [
            (nobody, Reason::ResourceNotFound),
            ("x", Reason::ResourceNotFound),
            ("", Reason::InvalidFields),
        ] {
            let status = export(&operator, id).await.unwrap_err();
            assert_eq!(reason_of(&status), Some(reason), "{id}");
        }
        let request = service.request(ListAuditEntriesRequest::default());
        let listed = service.privacy.clone().list_audit_entries(request).await;
        assert_eq!(listed.unwrap().into_inner().entries, []);
    })
    .await;
}
