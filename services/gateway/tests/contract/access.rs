//! Keys and workspaces: who gets in, how far, how often, and until when.

use std::time::Duration;

use attune_api::{
    gateway::v1::{
        ApiKey, CreateApiKeyRequest, CreateWorkspaceRequest, DeleteApiKeyRequest,
        ListApiKeysRequest, ListWorkspacesRequest,
    },
    r#type::v1::Scope,
};
use attune_errors::{Reason, metadata_of, reason_of, retry_after_of, violations_of};
use attune_testkit::{PATIENCE, wait_until};
use futures::future::join_all;

use crate::rig::{ADMIN, Rig, in_process, rigs, rigs_with, with_key};

async fn create(rig: &Rig, admin: &str, scopes: &[Scope], rate: i32) -> ApiKey {
    let api_key = ApiKey {
        display_name: "test".into(),
        scopes: scopes.iter().map(|s| (*s).into()).collect(),
        requests_per_second_max: rate,
        ..Default::default()
    };
    let request = CreateApiKeyRequest {
        api_key: Some(api_key),
    };
    let created = rig.access().create_api_key(with_key(admin, request)).await;
    created.unwrap().into_inner()
}

async fn personalize_as(rig: &Rig, key: &str) -> crate::rig::Answer {
    let body = r#"{"subject": {"userId": "ann"}, "channel": "web", "placements": [{"placement": "home"}]}"#;
    let key = format!("Bearer {key}");
    rig.http_with(
        "POST",
        "/v1/personalize",
        &[("authorization", &key)],
        body.as_bytes(),
    )
    .await
}

#[tokio::test]
async fn a_key_opens_what_its_scopes_allow() {
    for rig in rigs("scopes").await {
        let read = create(&rig, ADMIN, &[Scope::Read], 0).await;
        let write = create(&rig, ADMIN, &[Scope::Write], 0).await;
        assert_eq!(personalize_as(&rig, &read.secret).await.status, 200);
        assert_eq!(personalize_as(&rig, ADMIN).await.status, 200);
        let refused = personalize_as(&rig, &write.secret).await;
        assert_eq!(
            (refused.status.as_u16(), refused.reason().as_str()),
            (403, "SCOPE_INSUFFICIENT")
        );

        let list = ListApiKeysRequest::default();
        let status = rig
            .access()
            .list_api_keys(with_key(&read.secret, list))
            .await
            .unwrap_err();
        assert_eq!(reason_of(&status), Some(Reason::ScopeInsufficient));
        assert_eq!(metadata_of(&status, "scope").as_deref(), Some("admin"));
    }
}

#[tokio::test]
async fn without_a_good_key_nothing_opens() {
    for rig in rigs("nokey").await {
        let none = rig.http_with("GET", "/v1/apiKeys", &[], b"").await;
        assert_eq!(
            (none.status.as_u16(), none.reason().as_str()),
            (401, "KEY_MISSING")
        );
        assert_eq!(none.headers["www-authenticate"], "Bearer");
        let wrong = personalize_as(&rig, "attune_made-up").await;
        assert_eq!(
            (wrong.status.as_u16(), wrong.reason().as_str()),
            (401, "KEY_INVALID")
        );
    }
}

#[tokio::test]
async fn a_secret_is_shown_once_and_a_key_lives_until_it_is_deleted() {
    for rig in rigs("lifecycle").await {
        let key = create(&rig, ADMIN, &[Scope::Read], 0).await;
        assert!(key.secret.starts_with("attune_"));
        let list = ListApiKeysRequest {
            page_size: 1,
            ..Default::default()
        };
        let mut names = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListApiKeysRequest {
                page_token,
                ..list.clone()
            };
            let page = rig.access().list_api_keys(with_key(ADMIN, request)).await;
            let page = page.unwrap().into_inner();
            assert!(page.api_keys.iter().all(|k| k.secret.is_empty()));
            names.extend(page.api_keys.into_iter().map(|k| k.api_key_id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(names, [key.api_key_id.clone(), "bootstrap".into()]);

        let delete = DeleteApiKeyRequest {
            api_key_id: key.api_key_id,
        };
        let deleted = rig
            .access()
            .delete_api_key(with_key(ADMIN, delete.clone()))
            .await;
        deleted.unwrap();
        assert_eq!(
            personalize_as(&rig, &key.secret).await.reason(),
            "KEY_INVALID"
        );
        let again = rig.access().delete_api_key(with_key(ADMIN, delete)).await;
        let status = again.unwrap_err();
        assert_eq!(reason_of(&status), Some(Reason::ResourceNotFound));
    }
}

#[tokio::test]
async fn keys_are_managed_over_http_too() {
    for rig in rigs("http-keys").await {
        let body = r#"{"displayName": "shop", "scopes": ["READ", "WRITE"]}"#;
        let created = rig.http("POST", "/v1/apiKeys", body).await.json();
        assert_eq!(created["scopes"], serde_json::json!(["WRITE", "READ"]));
        let uri = format!("/v1/apiKeys/{}", created["apiKeyId"].as_str().unwrap());
        let deleted = rig.http("DELETE", &uri, "").await;
        assert_eq!(
            (deleted.status.as_u16(), deleted.text.as_str()),
            (200, "{}")
        );
        assert_eq!(rig.http("DELETE", &uri, "").await.status, 404);
        let bad = rig.http("GET", "/v1/apiKeys?pageToken=nope&page_size=-1", "");
        assert_eq!(bad.await.fields(), ["page_size", "page_token"]);
    }
}

#[tokio::test]
async fn other_replicas_learn_of_keys() {
    for rig in rigs_with("replicas", |c| c.key_refresh_ms = 100).await {
        let replica = rig.replica().await;
        let key = create(&rig, ADMIN, &[Scope::Admin], 0).await;
        let bearer = format!("Bearer {}", key.secret);
        let ask = async || {
            let headers = [("authorization", bearer.as_str())];
            let answer = in_process(replica.clone(), "GET", "/v1/apiKeys", &headers, b"");
            answer.await.status.as_u16()
        };
        // A new key is looked for at once.
        assert_eq!(ask().await, 200);
        let delete = DeleteApiKeyRequest {
            api_key_id: key.api_key_id,
        };
        let deleted = rig.access().delete_api_key(with_key(ADMIN, delete)).await;
        deleted.unwrap();
        let gone = || async { ask().await == 401 };
        wait_until("the key is revoked", PATIENCE, gone).await;
    }
}

#[tokio::test]
async fn a_key_over_its_rate_is_told_when_to_come_back() {
    for rig in rigs("rate").await {
        let key = create(&rig, ADMIN, &[Scope::Read], 1).await;
        // One a second: on a slow machine several of them get in, but never all.
        let calls = (0..20).map(|_| personalize_as(&rig, &key.secret));
        let (taken, refused): (Vec<_>, Vec<_>) = join_all(calls)
            .await
            .into_iter()
            .partition(|answer| answer.status == 200);
        assert!(!taken.is_empty() && !refused.is_empty());
        for refused in refused {
            assert_eq!(
                (refused.status.as_u16(), refused.reason().as_str()),
                (429, "RATE_LIMITED")
            );
            assert_eq!(refused.headers["retry-after"], "1");
        }
        let lists = (0..20).map(|_| async {
            let list = with_key(&key.secret, ListApiKeysRequest::default());
            rig.access().list_api_keys(list).await.unwrap_err()
        });
        let refused = join_all(lists).await;
        let waits: Vec<_> = refused.iter().filter_map(retry_after_of).collect();
        assert!(!waits.is_empty() && waits.iter().all(|wait| *wait <= Duration::from_secs(1)));
        // Others are not held up.
        assert_eq!(personalize_as(&rig, ADMIN).await.status, 200);
    }
}

#[tokio::test]
async fn workspaces_are_apart_and_only_default_makes_them() {
    for rig in rigs("workspaces").await {
        let request = CreateWorkspaceRequest {
            workspace_id: "acme".into(),
            display_name: "Acme".into(),
        };
        let created = rig
            .access()
            .create_workspace(with_key(ADMIN, request.clone()))
            .await;
        let admin = created.unwrap().into_inner().admin_key.unwrap().secret;

        let again = rig
            .access()
            .create_workspace(with_key(ADMIN, request.clone()))
            .await;
        let status = again.unwrap_err();
        assert_eq!(reason_of(&status), Some(Reason::ResourceExists));

        let theirs = rig
            .access()
            .create_workspace(with_key(&admin, request))
            .await;
        let status = theirs.unwrap_err();
        assert_eq!(reason_of(&status), Some(Reason::ScopeInsufficient));

        let list = with_key(ADMIN, ListWorkspacesRequest::default());
        let listed = rig
            .access()
            .list_workspaces(list)
            .await
            .unwrap()
            .into_inner();
        let ids: Vec<_> = listed.workspaces.iter().map(|w| &w.workspace_id).collect();
        assert_eq!(ids, ["acme", "default"]);

        let list = with_key(&admin, ListApiKeysRequest::default());
        let keys = rig.access().list_api_keys(list).await.unwrap().into_inner();
        assert_eq!(keys.api_keys.len(), 1);
        let foreign = DeleteApiKeyRequest {
            api_key_id: "bootstrap".into(),
        };
        let status = rig
            .access()
            .delete_api_key(with_key(&admin, foreign))
            .await
            .unwrap_err();
        assert_eq!(reason_of(&status), Some(Reason::ResourceNotFound));
    }
}

#[tokio::test]
async fn every_fault_of_a_new_key_is_told() {
    for rig in rigs("badkey").await {
        let api_key = ApiKey {
            api_key_id: "mine".into(),
            display_name: "x".repeat(200),
            scopes: vec![1, 0, 9],
            requests_per_second_max: -1,
            secret: "mine".into(),
            ..Default::default()
        };
        let request = CreateApiKeyRequest {
            api_key: Some(api_key),
        };
        let created = rig.access().create_api_key(with_key(ADMIN, request)).await;
        let status = created.unwrap_err();
        let fields: Vec<_> = violations_of(&status).into_iter().map(|v| v.0).collect();
        assert_eq!(
            fields,
            [
                "api_key.display_name",
                "api_key.scopes[1]",
                "api_key.scopes[2]",
                "api_key.requests_per_second_max",
                "api_key.api_key_id",
                "api_key.secret",
            ]
        );
        let answer = rig.http("POST", "/v1/workspaces", r#"{"workspaceId": "No!"}"#);
        assert_eq!(answer.await.fields(), ["workspace_id"]);
    }
}

#[tokio::test]
async fn a_bootstrap_key_can_be_replaced_and_a_restart_changes_nothing() {
    for mut rig in rigs("bootstrap").await {
        let again = rig.replica().await;
        let ask = async |router: axum::Router, key: &str| {
            let bearer = format!("Bearer {key}");
            let headers = [("authorization", bearer.as_str())];
            let answer = in_process(router, "GET", "/v1/apiKeys", &headers, b"");
            answer.await.status.as_u16()
        };
        assert_eq!(ask(again, ADMIN).await, 200);
        rig.config.bootstrap_admin_key = "another-bootstrap-key".to_owned().into();
        let replaced = rig.replica().await;
        assert_eq!(ask(replaced.clone(), "another-bootstrap-key").await, 200);
        assert_eq!(ask(replaced, ADMIN).await, 401);
    }
}
