//! What the profile service makes of requests that are wrong, that name nobody, or that
//! ask for much: through its real client, on SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use attune_api::{
    profile::v1::{
        IngestMessage, ListEventsRequest, ListProfilesRequest, LookupProfileRequest,
        SetConsentRequest,
    },
    time::from_ms,
    r#type::v1::subject::Id,
};
use attune_errors::{Reason, reason_of, violations_of};
use serde_json::json;
use support::*;

#[tokio::test]
async fn lists_are_paged_by_key() {
    on_both("paging", async |shop| {
        let mut expected = Vec::new();
        for i in 0..5 {
            expected.push(
                shop.one(view(&format!("m{i}"), &[&format!("u:u{i}")], 0, "x"))
                    .await,
            );
        }
        let (mut got, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = shop.request(ListProfilesRequest {
                page_size: 2,
                page_token,
            });
            let page = shop
                .client
                .clone()
                .list_profiles(request)
                .await
                .unwrap()
                .into_inner();
            got.extend(page.profiles.into_iter().map(|p| p.profile_id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(got, expected);
        for i in 0..7 {
            // Three at the same time: the order in which they came decides.
            let name = if i % 2 == 0 { "Signed Up" } else { "view" };
            shop.one(event(
                &format!("e{i}"),
                &["u:u0"],
                10 + i / 3,
                name,
                json!({}),
            ))
            .await;
        }
        let timeline = shop.timeline(&expected[0]).await;
        assert_eq!(timeline, ["e6", "e5", "e4", "e3", "e2", "e1", "e0", "m0"]);
        let request = shop.request(ListEventsRequest {
            profile_id: expected[0].clone(),
            r#type: "signed_up".into(),
            ..ListEventsRequest::default()
        });
        let events = shop
            .client
            .clone()
            .list_events(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(events.events.len(), 4);
        assert_eq!(events.events[0].name, "Signed Up");
    })
    .await;
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    on_both("missing", async |shop| {
        let nobody = "0190b7e0-0000-7000-8000-000000000000".to_owned();
        shop.one(view("m1", &["u:ann"], 1, "x")).await;
        assert!(shop.snapshot(Id::ProfileId("what".into())).await.is_none());
        assert!(shop.snapshot(Id::ProfileId(nobody.clone())).await.is_none());
        let lookup = |value: &str| {
            shop.request(LookupProfileRequest {
                namespace: "user_id".into(),
                value: value.into(),
            })
        };
        let found = shop
            .client
            .clone()
            .lookup_profile(lookup("ann"))
            .await
            .unwrap();
        let id = found.into_inner().profile_id;
        let consent = |profile_id: String| {
            shop.request(SetConsentRequest {
                profile_id,
                purpose: "analytics".into(),
                ..SetConsentRequest::default()
            })
        };
        let failures = [
            shop.profile(&nobody).await.map(drop),
            shop.profile("what").await.map(drop),
            shop.client
                .clone()
                .lookup_profile(lookup("bob"))
                .await
                .map(drop),
            shop.client
                .clone()
                .set_consent(consent(nobody.clone()))
                .await
                .map(drop),
            // Another workspace's is nobody's.
            shop.in_workspace("other").profile(&id).await.map(drop),
        ];
        for failure in failures {
            assert_eq!(
                reason_of(&failure.unwrap_err()),
                Some(Reason::ResourceNotFound)
            );
        }
        let elsewhere = shop.in_workspace("other");
        assert!(elsewhere.snapshot(Id::ProfileId(id)).await.is_none());
        // An unknown profile in a batch is a fault of that batch alone.
        let stray = IngestMessage {
            profile_id: nobody,
            identities: vec![],
            ..view("m3", &["u:ann"], 1, "x")
        };
        let (refused, taken) = tokio::join!(
            shop.try_send(vec![view("m2", &["u:ann"], 1, "x"), stray]),
            shop.try_send(vec![view("m4", &["u:ann"], 1, "x")]),
        );
        let fields: Vec<_> = violations_of(&refused.unwrap_err())
            .into_iter()
            .map(|v| v.0)
            .collect();
        assert_eq!(fields, ["messages[1].profile_id"]);
        assert!(taken.is_ok());
        assert_eq!(
            shop.snapshot(user("ann"))
                .await
                .unwrap()
                .recent_events
                .len(),
            2
        );
    })
    .await;
}

#[tokio::test]
async fn every_fault_is_told_at_once_and_nothing_is_written() {
    on_both("faults", async |shop| {
        let future = event("m3", &["u:ann"], 400 * 86_400_000, "x", json!({}));
        let long = event("m5", &["u:ann"], 0, "!!", json!({"x": "y".repeat(40_000)}));
        let messages = vec![
            view("m1", &["u:ann"], 1, "tent"),
            IngestMessage {
                message_id: String::new(),
                kind: None,
                ..view("", &[], 1, "x")
            },
            view("m2", &["Bad Space:x", "email:nobody", "u:a", "u:b"], 1, "x"),
            IngestMessage {
                time: Some(from_ms(attune_api::time::now_ms() + 25 * 3_600_000)),
                ..future
            },
            IngestMessage {
                time: Some(from_ms(-1)),
                ..view("m4", &["u:ann"], 1, "x")
            },
            long,
            alias("m6", &["u:ann"], "phone:call me"),
        ];
        let status = shop.try_send(messages).await.unwrap_err();
        assert_eq!(reason_of(&status), Some(Reason::InvalidFields));
        let fields: Vec<_> = violations_of(&status).into_iter().map(|v| v.0).collect();
        let expected = [
            "messages[1].message_id",
            "messages[1].identities",
            "messages[1]",
            "messages[2].identities[0].namespace",
            "messages[2].identities[1].value",
            "messages[2].identities[3].namespace",
            "messages[3].time",
            "messages[4].time",
            "messages[5].event.name",
            "messages[5].event.properties",
            "messages[6].alias.previous.value",
        ];
        assert_eq!(fields, expected);
        assert!(shop.snapshot(user("ann")).await.is_none());
        assert_eq!(shop.database.log_head().await.unwrap(), 0);
        let too_many = (0..1_001)
            .map(|i| view(&i.to_string(), &["u:a"], 0, "x"))
            .collect();
        let status = shop.try_send(too_many).await.unwrap_err();
        assert_eq!(violations_of(&status)[0].0, "messages");
        let bad_page = shop.request(ListProfilesRequest {
            page_size: -1,
            page_token: "?".into(),
        });
        let status = shop
            .client
            .clone()
            .list_profiles(bad_page)
            .await
            .unwrap_err();
        let fields: Vec<_> = violations_of(&status).into_iter().map(|v| v.0).collect();
        assert_eq!(fields, ["page_size", "page_token"]);
        let bad_type = shop.request(ListEventsRequest {
            profile_id: "x".into(),
            r#type: "\0".into(),
            ..ListEventsRequest::default()
        });
        let status = shop.client.clone().list_events(bad_type).await;
        assert_eq!(violations_of(&status.unwrap_err())[0].0, "type");
        let nobody = shop.request(Default::default());
        let status = shop.client.clone().get_snapshot(nobody).await.unwrap_err();
        assert_eq!(violations_of(&status)[0].0, "subject");
    })
    .await;
}
