//! The main job, with peers well and unwell: the answer always comes, within its time,
//! and says what it had to do without.

use std::time::{Duration, Instant};

use attune_api::{
    gateway::v1::{
        ApiKey, BatchPersonalizeRequest, CreateApiKeyRequest, PersonalizeRequest,
        PersonalizeResponse, ReportOutcomesRequest, TrackRequest,
    },
    profile::v1::IngestRequest,
    rules::v1::{Outcome, PlacementRequest, ReasonKind},
    r#type::v1::{Context, Scope, Subject, subject::Id},
};
use attune_errors::{Reason, reason_of, violations_of};
use attune_testkit::{PATIENCE, wait_until};
use futures::StreamExt;
use prost::Message;

use crate::{
    peers::Mode,
    rig::{ADMIN, Rig, rigs, rigs_with, with_key, within},
};

fn subject(user: &str) -> Subject {
    Subject {
        id: Some(Id::UserId(user.into())),
    }
}

fn placement(name: &str, count: i32) -> PlacementRequest {
    PlacementRequest {
        placement: name.into(),
        count,
        ..Default::default()
    }
}

fn request(user: &str, placements: Vec<PlacementRequest>) -> PersonalizeRequest {
    PersonalizeRequest {
        subject: Some(subject(user)),
        channel: "web".into(),
        placements,
        ..Default::default()
    }
}

async fn ask(rig: &Rig, request: PersonalizeRequest) -> PersonalizeResponse {
    let answer = rig
        .personalization()
        .personalize(with_key(ADMIN, request))
        .await;
    answer.unwrap().into_inner()
}

fn ids(response: &PersonalizeResponse, placement: usize) -> Vec<String> {
    let slots = response.placements[placement].slots.iter();
    slots
        .map(|slot| slot.item.as_ref().unwrap().item_id.clone())
        .collect()
}

fn degradations(response: &PersonalizeResponse) -> Vec<(&str, &str)> {
    let all = response.degradations.iter();
    all.map(|d| (d.service.as_str(), d.reason.as_str()))
        .collect()
}

#[tokio::test]
async fn an_answer_is_composed_of_what_the_peers_know() {
    for rig in rigs("compose").await {
        let mut wanted = request("ann", vec![placement("home", 3), placement("gone", 3)]);
        wanted.exclude_item_ids = vec!["i1".into()];
        wanted.context = Some(Context {
            locale: "de-AT".into(),
            ..Default::default()
        });
        let response = ask(&rig, wanted).await;
        assert!(degradations(&response).is_empty());
        let profile = response.profile.as_ref().unwrap();
        assert_eq!((profile.id.as_str(), profile.segments.len()), ("p-ann", 1));
        assert_eq!(ids(&response, 0), ["i2", "i3"]);
        // An item that the catalog no longer has is not shown.
        assert_eq!(ids(&response, 1), ["i3"]);
        let slot = &response.placements[0].slots[0];
        assert_eq!(slot.item.as_ref().unwrap().title[""], "Title of i2");
        assert_eq!(slot.token, "token-i2");
        assert_eq!(slot.reasons[0].text, "For you");
        assert_eq!(response.placements[1].decision_id, "d-1");
        // One call for all placements, each item once.
        let calls = rig.peers.calls("BatchGetItems");
        assert_eq!(calls.len(), 1);
        let decided = &rig.peers.calls("Decide")[0].message;
        let decided = attune_api::rules::v1::DecideRequest::decode(decided.clone()).unwrap();
        assert_eq!(decided.context.unwrap().locale, "de-AT");
    }
}

#[tokio::test]
async fn a_stranger_is_answered_from_context() {
    for rig in rigs("stranger").await {
        let response = ask(&rig, request("nobody", vec![placement("home", 1)])).await;
        assert_eq!(response.profile.unwrap().id, "");
        assert_eq!(response.placements[0].slots[0].reasons[0].text, "For all");
    }
}

#[tokio::test]
async fn placements_with_a_template_are_put_into_words() {
    for rig in rigs("template").await {
        let wanted = vec![
            placement("mail", 2),
            placement("home", 1),
            placement("broken-mail", 1),
        ];
        let response = ask(&rig, request("ann", wanted)).await;
        let content = response.placements[0].content.as_ref().unwrap();
        assert_eq!(content.text, r#"{"name":"Ann"} Title of i1, Title of i2"#);
        assert!(response.placements[1].content.is_none());
        assert!(response.placements[2].content.is_none());
        assert_eq!(response.placements[2].slots.len(), 1);
        assert_eq!(
            degradations(&response),
            [("messaging", "RESOURCE_NOT_FOUND")]
        );
    }
}

#[tokio::test]
async fn events_are_ingested_before_deciding_by_keys_that_may_write() {
    for rig in rigs("events").await {
        let mut wanted = request("ann", vec![placement("home", 1)]);
        let event = |anonymous: &str| TrackRequest {
            event: "Product Viewed".into(),
            anonymous_id: anonymous.into(),
            ..Default::default()
        };
        wanted.events = vec![event(""), event("device")];
        ask(&rig, wanted.clone()).await;
        let call = &rig.peers.calls("Ingest")[0];
        let ingested = IngestRequest::decode(call.message.clone()).unwrap();
        let identities: Vec<_> = ingested
            .messages
            .iter()
            .map(|m| {
                (
                    m.identities[0].namespace.as_str(),
                    m.identities[0].value.as_str(),
                )
            })
            .collect();
        assert_eq!(identities, [("user_id", "ann"), ("anonymous_id", "device")]);

        let api_key = Some(ApiKey {
            scopes: vec![Scope::Read.into()],
            ..Default::default()
        });
        let create = with_key(ADMIN, CreateApiKeyRequest { api_key });
        let key = rig
            .access()
            .create_api_key(create)
            .await
            .unwrap()
            .into_inner();
        let refused = rig
            .personalization()
            .personalize(with_key(&key.secret, wanted.clone()))
            .await;
        assert_eq!(
            reason_of(&refused.unwrap_err()),
            Some(Reason::ScopeInsufficient)
        );

        wanted.events[1].timestamp = Some(attune_api::time::from_ms(-5_000));
        let refused = rig
            .personalization()
            .personalize(with_key(ADMIN, wanted))
            .await;
        let fields = violations_of(&refused.unwrap_err());
        assert_eq!(fields[0].0, "events[1].timestamp");
    }
}

#[tokio::test]
async fn a_profile_that_is_out_of_reach_is_remembered_or_a_stranger() {
    for rig in rigs("profile-down").await {
        ask(&rig, request("ann", vec![placement("home", 1)])).await;
        let rows = [
            (Mode::Down, "SERVICE_UNAVAILABLE"),
            (Mode::Shedding, "OVERLOADED"),
            (Mode::Broken, "INTERNAL"),
            (Mode::Hanging, "DEADLINE_EXCEEDED"),
        ];
        for (mode, reason) in rows {
            rig.peers.set("profile", mode);
            let known = ask(&rig, request("ann", vec![placement("home", 1)])).await;
            assert_eq!(degradations(&known), [("profile", reason)]);
            assert_eq!(known.profile.unwrap().id, "p-ann");
            assert_eq!(known.placements[0].slots[0].reasons[0].text, "For you");
            assert!(!known.placements[0].degraded);
            let new = ask(&rig, request("bob", vec![placement("home", 1)])).await;
            assert_eq!(degradations(&new), [("profile", reason)]);
            assert_eq!(new.profile.unwrap().id, "");
        }
    }
}

#[tokio::test]
async fn a_withdrawn_consent_forgets_what_was_remembered() {
    for rig in rigs("consent").await {
        ask(&rig, request("ann", vec![placement("home", 1)])).await;
        let uri = "/v1/profiles/p-ann/consents/personalization";
        let set = rig.http("PUT", uri, r#"{"granted": false}"#).await;
        assert_eq!(set.status, 200);
        rig.peers.set("profile", Mode::Down);
        let response = ask(&rig, request("ann", vec![placement("home", 1)])).await;
        assert_eq!(response.profile.unwrap().id, "");
    }
}

#[tokio::test]
async fn without_the_rule_engine_the_last_ranking_or_the_editors_choice_is_shown() {
    for rig in rigs("rules-down").await {
        ask(&rig, request("ann", vec![placement("home", 3)])).await;
        let learnt = || async { !rig.peers.calls("GetPlacement").is_empty() };
        wait_until("the placement is read", PATIENCE, learnt).await;
        for (mode, reason) in [
            (Mode::Down, "SERVICE_UNAVAILABLE"),
            (Mode::Hanging, "DEADLINE_EXCEEDED"),
        ] {
            rig.peers.set("rule-engine", mode);
            let mut wanted = request("bob", vec![placement("home", 2), placement("new", 2)]);
            wanted.exclude_item_ids = vec!["i1".into()];
            let response = ask(&rig, wanted).await;
            assert_eq!(degradations(&response), [("rule-engine", reason)]);
            assert_eq!(ids(&response, 0), ["i2", "i3"]);
            let first = &response.placements[0];
            assert!(first.degraded);
            assert_eq!(
                (first.strategy.as_str(), first.decision_id.as_str()),
                ("default", "")
            );
            let slot = &first.slots[0];
            assert_eq!(
                (slot.reasons[0].kind(), slot.token.as_str()),
                (ReasonKind::Fallback, "")
            );
            // Nothing is known of this one.
            assert!(response.placements[1].degraded && response.placements[1].slots.is_empty());

            // On another channel there is no ranking, but an editor's choice.
            let mut other = request("bob", vec![placement("home", 10)]);
            other.channel = "app".into();
            let response = ask(&rig, other).await;
            assert_eq!(ids(&response, 0), ["e1", "e2"]);
        }
    }
}

#[tokio::test]
async fn without_the_catalog_items_are_ids() {
    for rig in rigs("catalog-down").await {
        for (mode, reason) in [
            (Mode::Down, "SERVICE_UNAVAILABLE"),
            (Mode::Hanging, "DEADLINE_EXCEEDED"),
        ] {
            rig.peers.set("catalog", mode);
            let response = ask(&rig, request("ann", vec![placement("home", 2)])).await;
            assert_eq!(degradations(&response), [("catalog", reason)]);
            assert_eq!(ids(&response, 0), ["i1", "i2"]);
            assert!(
                response.placements[0].slots[0]
                    .item
                    .as_ref()
                    .unwrap()
                    .title
                    .is_empty()
            );
            assert_eq!(response.placements[0].slots[0].token, "token-i1");
        }
    }
}

#[tokio::test]
async fn without_messaging_there_are_no_words() {
    for rig in rigs("messaging-down").await {
        for (mode, reason) in [
            (Mode::Down, "SERVICE_UNAVAILABLE"),
            (Mode::Hanging, "DEADLINE_EXCEEDED"),
        ] {
            rig.peers.set("messaging", mode);
            let response = ask(&rig, request("ann", vec![placement("mail", 2)])).await;
            assert_eq!(degradations(&response), [("messaging", reason)]);
            assert!(response.placements[0].content.is_none());
            assert_eq!(ids(&response, 0), ["i1", "i2"]);
        }
    }
}

#[tokio::test]
async fn with_everything_hanging_the_answer_comes_in_time() {
    // What is left of it for composing is enough on a busy machine too.
    const DEADLINE: Duration = Duration::from_secs(4);
    for rig in rigs("all-hanging").await {
        for service in ["profile", "rule-engine", "catalog", "messaging"] {
            rig.peers.set(service, Mode::Hanging);
        }
        let began = Instant::now();
        let wanted = request("ann", vec![placement("home", 2)]);
        let answer = rig
            .personalization()
            .personalize(within(DEADLINE, wanted))
            .await;
        let response = answer.unwrap().into_inner();
        assert!(began.elapsed() < DEADLINE);
        let expected = [
            ("profile", "DEADLINE_EXCEEDED"),
            ("rule-engine", "DEADLINE_EXCEEDED"),
        ];
        assert_eq!(degradations(&response), expected);
        assert!(response.placements[0].degraded);
    }
}

#[tokio::test]
async fn every_fault_of_a_request_is_told_at_once() {
    for rig in rigs("bad-personalize").await {
        let body = r#"{
            "subject": {"identity": {"namespace": "", "value": ""}},
            "placements": [
                {"placement": "home", "count": 101},
                {"placement": "home"},
                {"placement": "", "itemId": "a b", "count": -1}
            ],
            "context": {
                "timeZone": "Mars/Olympus", "locale": "x", "cartItemIds": ["", "ok"],
                "location": {"lat": 91, "country": "Austria"}
            },
            "events": [{"event": ""}],
            "excludeItemIds": ["/"]
        }"#;
        let answer = rig.http("POST", "/v1/personalize", body).await;
        assert_eq!(
            answer.fields(),
            [
                "subject.identity.namespace",
                "subject.identity.value",
                "channel",
                "placements[0].count",
                "placements[1].placement",
                "placements[2].placement",
                "placements[2].count",
                "placements[2].item_id",
                "exclude_item_ids[0]",
                "context.time_zone",
                "context.locale",
                "context.location.lat",
                "context.location.lng",
                "context.location.country",
                "context.cart_item_ids[0]",
                "events[0].event",
            ]
        );
        let answer = rig.http("POST", "/v1/personalize", "{}").await;
        assert_eq!(answer.fields(), ["subject", "channel", "placements"]);
        // What only the rule-engine knows is an error too, in the caller's fields.
        let wanted = request("ann", vec![placement("home", 1), placement("nowhere", 1)]);
        let refused = rig
            .personalization()
            .personalize(with_key(ADMIN, wanted))
            .await;
        let fields = violations_of(&refused.unwrap_err());
        assert_eq!(fields[0].0, "placements[1].placement");
    }
}

#[tokio::test]
async fn a_batch_answers_in_the_order_of_its_subjects() {
    for rig in rigs_with("batch", |c| c.personalize.batch_concurrency_max = 4).await {
        let people = ["ann", "bob", "cid", "ann", "eve", "fay"];
        let batch = BatchPersonalizeRequest {
            subjects: people.map(subject).to_vec(),
            channel: "email".into(),
            placements: vec![placement("mail", 1)],
            ..Default::default()
        };
        let answers = rig
            .personalization()
            .batch_personalize(with_key(ADMIN, batch.clone()))
            .await;
        let answers: Vec<_> = answers.unwrap().into_inner().collect().await;
        let found: Vec<_> = answers
            .into_iter()
            .map(|answer| {
                let answer = answer.unwrap();
                (answer.index, answer.response.unwrap().profile.unwrap().id)
            })
            .collect();
        let expected = ["p-ann", "", "", "p-ann", "", ""];
        let expected: Vec<_> = (0..).zip(expected.map(str::to_owned)).collect();
        assert_eq!(found, expected);

        let body = r#"{"subjects": [{"userId": "ann"}, {"userId": "bob"}], "channel": "email",
            "placements": [{"placement": "mail", "count": 1}]}"#;
        let answer = rig.http("POST", "/v1/personalize:batch", body).await;
        assert_eq!(answer.headers["content-type"], "application/x-ndjson");
        let lines: Vec<serde_json::Value> = answer
            .text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["response"]["profile"]["id"], "p-ann");
        assert_eq!(lines[1]["index"], 1);

        let none = rig.http("POST", "/v1/personalize:batch", r#"{"channel": "email"}"#);
        let none = none.await;
        assert_eq!(none.status, 400);
        assert_eq!(none.fields(), ["subjects", "placements"]);
    }
}

#[tokio::test]
async fn outcomes_go_to_the_rule_engine_or_are_refused() {
    for rig in rigs("outcomes").await {
        let body = r#"{"outcomes": [{"token": "t", "type": "CLICK"}, {"token": "u", "type": "CONVERSION", "value": 9.5}]}"#;
        let answer = rig.http("POST", "/v1/outcomes:report", body).await;
        assert_eq!(answer.json(), serde_json::json!({"acceptedCount": 2}));

        let bad = Outcome {
            value: f64::NAN,
            r#type: 9,
            ..Default::default()
        };
        let request = ReportOutcomesRequest {
            outcomes: vec![bad],
        };
        let refused = rig
            .personalization()
            .report_outcomes(with_key(ADMIN, request))
            .await;
        let fields: Vec<_> = violations_of(&refused.unwrap_err())
            .into_iter()
            .map(|v| v.0)
            .collect();
        assert_eq!(
            fields,
            ["outcomes[0].token", "outcomes[0].type", "outcomes[0].value"]
        );

        // Durable or an error: there is no fallback for what was not written.
        rig.peers.set("rule-engine", Mode::Down);
        let answer = rig.http("POST", "/v1/outcomes:report", body).await;
        assert_eq!(answer.status, 503);
    }
}
