//! The customers' own door: opened by a subject token alone, for one person, for what
//! the token says.

use attune_api::profile::v1::{
    EraseProfileRequest, GetProfileRequest, SetConsentRequest, UpdatePreferencesRequest,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use prost::Message;
use serde_json::json;

use crate::rig::{ADMIN, Answer, Rig, rigs, rigs_with};

const PREFIX: &str = "attune_subject_";

async fn token(rig: &Rig, profile_id: &str, scopes: &[&str]) -> String {
    let body = json!({"subject": {"profileId": profile_id}, "scopes": scopes});
    let answer = rig
        .http("POST", "/v1/subjectTokens", &body.to_string())
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["token"].as_str().unwrap().to_owned()
}

async fn call(rig: &Rig, token: &str, verb: &str, uri: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    rig.http_with(verb, uri, &[("authorization", &bearer)], body.as_bytes())
        .await
}

fn outcome(answer: &Answer) -> (u16, String) {
    let reason = match answer.status.as_u16() {
        200 => String::new(),
        _ => answer.reason(),
    };
    (answer.status.as_u16(), reason)
}

#[tokio::test]
async fn a_token_opens_what_its_scopes_allow_for_its_person_alone() {
    const CALLS: [(&str, &str, &str, &str); 9] = [
        ("GET", "/v1/me", "", "SUBJECT_VIEW"),
        ("GET", "/v1/me/events", "", "SUBJECT_VIEW"),
        ("GET", "/v1/me/consents:history", "", "SUBJECT_VIEW"),
        ("GET", "/v1/me/preferences", "", "SUBJECT_VIEW"),
        (
            "PATCH",
            "/v1/me",
            r#"{"traits": {"city": "Ulm"}}"#,
            "SUBJECT_CHANGE",
        ),
        (
            "PUT",
            "/v1/me/consents/analytics",
            r#"{"granted": true}"#,
            "SUBJECT_CHANGE",
        ),
        (
            "PATCH",
            "/v1/me/preferences",
            r#"{"language": "de"}"#,
            "SUBJECT_CHANGE",
        ),
        ("GET", "/v1/me:export", "", "SUBJECT_EXPORT"),
        ("POST", "/v1/me:erase", "{}", "SUBJECT_ERASE"),
    ];
    for rig in rigs("subject-scopes").await {
        for scope in [
            "SUBJECT_VIEW",
            "SUBJECT_CHANGE",
            "SUBJECT_EXPORT",
            "SUBJECT_ERASE",
        ] {
            let token = token(&rig, "p-ann", &[scope]).await;
            for (verb, uri, body, needed) in CALLS {
                let answer = call(&rig, &token, verb, uri, body).await;
                let expected = match scope == needed {
                    true => (200, String::new()),
                    false => (403, "SCOPE_INSUFFICIENT".to_owned()),
                };
                assert_eq!(outcome(&answer), expected, "{scope}: {verb} {uri}");
            }
        }
        let seen = rig.peers.calls("SetConsent").remove(0);
        assert_eq!(seen.headers["attune-actor"], "subject");
        assert_eq!(seen.headers["attune-workspace"], "default");
        let sent = SetConsentRequest::decode(seen.message).unwrap();
        assert_eq!(
            (
                sent.profile_id.as_str(),
                sent.purpose.as_str(),
                sent.granted
            ),
            ("p-ann", "analytics", true)
        );
        let sent = rig.peers.ingested().remove(0);
        assert_eq!(
            (sent.profile_id.as_str(), sent.identities.len()),
            ("p-ann", 0)
        );
        let seen = rig.peers.calls("UpdatePreferences").remove(0);
        let sent = UpdatePreferencesRequest::decode(seen.message).unwrap();
        assert_eq!(sent.profile_id, "p-ann");
        let seen = rig.peers.calls("EraseProfile").remove(0);
        let sent = EraseProfileRequest::decode(seen.message).unwrap();
        assert_eq!(sent.profile_id, "p-ann");
    }
}

#[tokio::test]
async fn nothing_but_a_token_of_this_deployment_opens_the_door() {
    let rigs = rigs("subject-forged").await;
    let key = |config: &mut attune_gateway::Config| {
        config.subject_token_key = "7".repeat(64).into();
    };
    let other = rigs_with("subject-other", key).await.remove(0);
    let elsewhere = token(&other, "p-ann", &[]).await;
    for rig in rigs {
        let good = token(&rig, "p-ann", &[]).await;
        let mut bytes = BASE64_URL_SAFE_NO_PAD
            .decode(&good[PREFIX.len()..])
            .unwrap();
        // One letter of the profile's id.
        let at = bytes.len() - 33;
        bytes[at] ^= 1;
        let forged = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
        for wrong in [&forged, &elsewhere, "p-ann", ADMIN] {
            let answer = call(&rig, wrong, "GET", "/v1/me", "").await;
            let expected = (401, "SUBJECT_TOKEN_INVALID".to_owned());
            assert_eq!(outcome(&answer), expected, "{wrong}");
        }
        let answer = rig.http_with("GET", "/v1/me", &[], b"").await;
        assert_eq!(outcome(&answer), (401, "SUBJECT_TOKEN_INVALID".to_owned()));
        assert!(rig.peers.calls("ListEvents").is_empty());
        // And a token opens nothing that a key does.
        let answer = call(&rig, &good, "GET", "/v1/profiles/p-ann", "").await;
        assert_eq!(outcome(&answer), (401, "KEY_INVALID".to_owned()));
        let wanted = r#"{"subject": {"profileId": "p-known"}}"#;
        let answer = call(&rig, &good, "POST", "/v1/subjectTokens", wanted).await;
        assert_eq!(outcome(&answer), (401, "KEY_INVALID".to_owned()));
    }
}

#[tokio::test]
async fn tokens_are_made_for_people_who_are_known() {
    for rig in rigs("subject-make").await {
        let rows = [
            (json!({"subject": {"profileId": "p-ann"}}), Ok("p-ann")),
            (json!({"subject": {"userId": "known"}}), Ok("p-known")),
            (
                json!({"subject": {"identity": {"namespace": "user_id", "value": "known"}}}),
                Ok("p-known"),
            ),
            (
                json!({"subject": {"userId": "x"}}),
                Err("RESOURCE_NOT_FOUND"),
            ),
            (
                json!({"subject": {"profileId": "x"}}),
                Err("RESOURCE_NOT_FOUND"),
            ),
            (json!({}), Err("INVALID_FIELDS")),
            (
                json!({"subject": {"profileId": "p-ann"}, "ttl": "2678400s"}),
                Err("INVALID_FIELDS"),
            ),
        ];
        for (body, expected) in rows {
            let answer = rig
                .http("POST", "/v1/subjectTokens", &body.to_string())
                .await;
            match expected {
                Ok(id) => {
                    let token = answer.json();
                    assert_eq!(token["profileId"], id, "{body}");
                    let scopes = json!(["SUBJECT_VIEW", "SUBJECT_CHANGE"]);
                    assert_eq!(token["scopes"], scopes);
                    assert!(token["expireTime"].is_string());
                }
                Err(reason) => assert_eq!(answer.reason(), reason, "{body}"),
            }
        }
        // Whoever makes one has looked at the person.
        let seen = rig.peers.calls("GetProfile").remove(0);
        assert_eq!(seen.headers["attune-actor"], "bootstrap");
        let asked = GetProfileRequest::decode(seen.message).unwrap();
        assert_eq!(asked.profile_id, "p-ann");
    }
}

#[tokio::test]
async fn no_key_has_the_scope_of_customers() {
    for rig in rigs("subject-key").await {
        let body = r#"{"scopes": ["SUBJECT"]}"#;
        let answer = rig.http("POST", "/v1/apiKeys", body).await;
        assert_eq!(answer.reason(), "INVALID_FIELDS");
        assert_eq!(answer.fields(), ["api_key.scopes[0]"]);
    }
}

#[tokio::test]
async fn management_calls_say_which_key_was_used() {
    for rig in rigs("actor").await {
        let key = format!("Bearer {ADMIN}");
        let headers = [
            ("authorization", key.as_str()),
            ("attune-actor", "somebody"),
        ];
        let answer = rig
            .http_with("GET", "/v1/profiles/p-ann", &headers, b"")
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let seen = rig.peers.calls("GetProfile").remove(0);
        assert_eq!(seen.headers["attune-actor"], "bootstrap");
        // Nobody gets to see what an alias is resolved by.
        let body = r#"{"previousId": "a", "userId": "b", "messageId": "m"}"#;
        assert_eq!(rig.http("POST", "/v1/alias", body).await.status, 200);
        let seen = rig.peers.calls("LookupProfile").remove(0);
        assert!(!seen.headers.contains_key("attune-actor"));
    }
}

/// A token as this deployment signs it, written by hand.
fn signed(key: [u8; 32], workspace: &str, expire_ms: i64) -> String {
    let mut bytes = vec![1, 0b1111];
    bytes.extend(expire_ms.to_be_bytes());
    bytes.push(u8::try_from(workspace.len()).unwrap());
    bytes.extend(workspace.bytes());
    bytes.extend(b"p-ann");
    let key = blake3::derive_key("attune.dev gateway subject token v1", &key);
    let signature = blake3::keyed_hash(&key, &bytes);
    bytes.extend(signature.as_bytes());
    format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

#[tokio::test]
async fn a_token_is_for_its_workspace_and_its_time() {
    let configure = |config: &mut attune_gateway::Config| {
        config.subject_token_key = "07".repeat(32).into();
    };
    for rig in rigs_with("subject-expired", configure).await {
        let now_ms = attune_api::time::now_ms();
        let key = [7; 32];
        let good = call(
            &rig,
            &signed(key, "other", now_ms + 60_000),
            "GET",
            "/v1/me",
            "",
        )
        .await;
        assert_eq!(outcome(&good), (200, String::new()));
        let seen = rig.peers.calls("GetProfile").remove(0);
        assert_eq!(seen.headers["attune-workspace"], "other");
        let expired = call(
            &rig,
            &signed(key, "default", now_ms - 1),
            "GET",
            "/v1/me",
            "",
        )
        .await;
        let expected = (401, "SUBJECT_TOKEN_EXPIRED".to_owned());
        assert_eq!(outcome(&expired), expected);
        let forged = signed([8; 32], "default", now_ms + 60_000);
        let forged = call(&rig, &forged, "GET", "/v1/me", "").await;
        assert_eq!(outcome(&forged), (401, "SUBJECT_TOKEN_INVALID".to_owned()));
    }
}
