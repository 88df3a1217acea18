//! Collection with Segment's shapes: what reaches the profile service, and what is told
//! about calls that cannot be taken.

use attune_api::{
    gateway::v1::{AliasRequest, BatchMessage, BatchRequest, TrackRequest},
    profile::v1::ingest_message::Kind,
    time::to_ms,
};
use attune_errors::{Reason, reason_of, violations_of};

use crate::{
    peers::Mode,
    rig::{ADMIN, Headers, rigs, with_key},
};

#[tokio::test]
async fn every_kind_of_call_is_taken() {
    let rows = [
        ("identify", r#"{"userId": "u", "traits": {"a": 1}}"#),
        (
            "track",
            r#"{"anonymousId": "a", "event": "Product Viewed"}"#,
        ),
        (
            "page",
            r#"{"userId": "u", "name": "Home", "category": "Top"}"#,
        ),
        ("screen", r#"{"userId": "u", "name": "Home"}"#),
        ("group", r#"{"userId": "u", "groupId": "g", "traits": {}}"#),
        ("alias", r#"{"userId": "u", "previousId": "a"}"#),
        (
            "batch",
            r#"{"batch": [{"type": "track", "userId": "u", "event": "e"}], "writeKey": "ignored"}"#,
        ),
    ];
    for rig in rigs("kinds").await {
        for (index, (call, body)) in rows.iter().enumerate() {
            let answer = rig.http("POST", &format!("/v1/{call}"), body).await;
            assert_eq!(answer.text, r#"{"success":true}"#, "{call}");
            assert_eq!(rig.peers.ingested().len(), index + 1);
        }
        let names: Vec<_> = rig
            .peers
            .ingested()
            .into_iter()
            .map(|message| match message.kind.unwrap() {
                Kind::Identify(_) => "identify".to_owned(),
                Kind::Event(event) => event.name,
                Kind::Group(group) => group.group_id,
                Kind::Alias(alias) => alias.previous.unwrap().namespace,
            })
            .collect();
        let expected = [
            "identify",
            "Product Viewed",
            "page",
            "screen",
            "g",
            "anonymous_id",
            "e",
        ];
        assert_eq!(names, expected);
    }
}

#[tokio::test]
async fn a_key_can_come_as_segments_clients_send_it() {
    let body = r#"{"userId": "u", "event": "e"}"#;
    let with_write_key = format!(r#"{{"userId": "u", "event": "e", "writeKey": "{ADMIN}"}}"#);
    // base64 of the key and a colon
    let basic = "Basic Ym9vdHN0cmFwLWFkbWluLWtleTo=";
    for rig in rigs("basic").await {
        let rows: [(Headers<'_>, &str, u16); 4] = [
            (&[("authorization", basic)], body, 200),
            (&[("content-type", "text/plain")], &with_write_key, 200),
            (&[], body, 401),
            (&[("authorization", "Basic Og==")], &with_write_key, 401),
        ];
        for (headers, body, status) in rows {
            let answer = rig.http_with("POST", "/v1/track", headers, body.as_bytes());
            assert_eq!(answer.await.status, status, "{headers:?} {body}");
        }
    }
}

#[tokio::test]
async fn times_are_corrected_and_ids_kept() {
    for rig in rigs("skew").await {
        let hour = 3_600_000;
        let now = attune_api::time::now_ms();
        let request = TrackRequest {
            message_id: "m1".into(),
            user_id: "u".into(),
            anonymous_id: "a".into(),
            event: "e".into(),
            timestamp: Some(attune_api::time::from_ms(now - hour - 5_000)),
            sent_at: Some(attune_api::time::from_ms(now - hour)),
            ..Default::default()
        };
        rig.collection()
            .track(with_key(ADMIN, request))
            .await
            .unwrap();
        let taken = &rig.peers.ingested()[0];
        assert_eq!(taken.message_id, "m1");
        let namespaces: Vec<_> = taken
            .identities
            .iter()
            .map(|i| i.namespace.as_str())
            .collect();
        assert_eq!(namespaces, ["user_id", "anonymous_id"]);
        let time = to_ms(taken.time.as_ref().unwrap());
        let received = to_ms(taken.receive_time.as_ref().unwrap());
        assert_eq!(received - time, 5_000);
    }
}

#[tokio::test]
async fn an_alias_of_a_known_user_joins_users() {
    for rig in rigs("alias").await {
        for previous in ["known", "stranger"] {
            let request = AliasRequest {
                user_id: "u".into(),
                previous_id: previous.into(),
                ..Default::default()
            };
            rig.collection()
                .alias(with_key(ADMIN, request))
                .await
                .unwrap();
        }
        let message = |kind: &str, user: &str, previous: &str| BatchMessage {
            r#type: kind.into(),
            user_id: user.into(),
            previous_id: previous.into(),
            ..Default::default()
        };
        let batch = BatchRequest {
            batch: vec![message("identify", "new", ""), message("alias", "u", "new")],
            ..Default::default()
        };
        rig.collection()
            .batch(with_key(ADMIN, batch))
            .await
            .unwrap();
        let namespaces: Vec<_> = rig
            .peers
            .ingested()
            .into_iter()
            .filter_map(|message| match message.kind {
                Some(Kind::Alias(alias)) => Some(alias.previous.unwrap().namespace),
                _ => None,
            })
            .collect();
        assert_eq!(namespaces, ["user_id", "anonymous_id", "user_id"]);
    }
}

#[tokio::test]
async fn violations_name_the_callers_fields() {
    for rig in rigs("violations").await {
        let rows = [
            (
                "track",
                r#"{"timestamp": "1969-01-01T00:00:00Z"}"#,
                vec!["user_id", "timestamp", "event"],
            ),
            ("group", r#"{"userId": "u"}"#, vec!["group_id"]),
            ("alias", r#"{"previousId": "a"}"#, vec!["user_id"]),
            (
                "track",
                r#"{"event": 7, "userId": {}}"#,
                vec!["event", "user_id"],
            ),
            ("batch", r#"{"batch": []}"#, vec!["batch"]),
            (
                "batch",
                r#"{"batch": [
                    {"type": "track", "userId": "u", "event": "e"},
                    {"type": "fly", "userId": "u"},
                    {"type": "track", "userId": "u"},
                    {"type": "identify"}
                ]}"#,
                vec!["batch[1].type", "batch[2].event", "batch[3].user_id"],
            ),
        ];
        for (call, body, fields) in rows {
            let answer = rig.http("POST", &format!("/v1/{call}"), body).await;
            assert_eq!(answer.status, 400);
            assert_eq!(answer.fields(), fields, "{call} {body}");
        }
        let request = with_key(ADMIN, TrackRequest::default());
        let status = rig.collection().track(request).await.unwrap_err();
        let fields: Vec<_> = violations_of(&status).into_iter().map(|v| v.0).collect();
        assert_eq!(fields, ["user_id", "event"]);
    }
}

#[tokio::test]
async fn what_cannot_be_made_durable_is_not_acknowledged() {
    for rig in rigs("durable").await {
        let rows = [
            (Mode::Down, Reason::ServiceUnavailable, 503),
            (Mode::Shedding, Reason::Overloaded, 429),
        ];
        for (mode, reason, http) in rows {
            rig.peers.set("profile", mode);
            let request = TrackRequest {
                user_id: "u".into(),
                event: "e".into(),
                ..Default::default()
            };
            let tracked = rig.collection().track(with_key(ADMIN, request)).await;
            assert_eq!(reason_of(&tracked.unwrap_err()), Some(reason));
            let body = r#"{"userId": "u", "event": "e"}"#;
            let answer = rig.http("POST", "/v1/track", body).await;
            assert_eq!(answer.status, http);
            assert!(answer.headers.contains_key("retry-after"));
        }
    }
}
