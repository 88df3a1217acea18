//! Management calls pass through to the service that owns them, and nothing else does.

use attune_api::{
    profile::v1::{GetSnapshotRequest, profile_service_client::ProfileServiceClient},
    rules::v1::{GetRuleRequest, rule_service_client::RuleServiceClient},
};
use attune_errors::{Reason, reason_of};

use crate::{
    peers::Mode,
    rig::{ADMIN, rigs, with_key},
};

#[tokio::test]
async fn a_management_call_reaches_its_service_for_the_keys_workspace() {
    for rig in rigs("forward").await {
        let mut rules = RuleServiceClient::new(rig.public());
        let mut request = with_key(
            ADMIN,
            GetRuleRequest {
                rule_id: "r".into(),
                ..Default::default()
            },
        );
        let metadata = request.metadata_mut();
        metadata.insert("attune-workspace", "victim".parse().unwrap());
        metadata.insert("attune-peer-token", "guess".parse().unwrap());
        metadata.insert("x-request-id", "request-1".parse().unwrap());
        metadata.insert("grpc-timeout", "5S".parse().unwrap());
        let rule = rules.get_rule(request).await.unwrap().into_inner();
        assert_eq!(
            (rule.rule_id.as_str(), rule.display_name.as_str()),
            ("r", "default")
        );
        let seen = &rig.peers.calls("GetRule")[0].headers;
        assert_eq!(seen["x-request-id"], "request-1");
        assert!(!seen.contains_key("authorization"));
        let left = seen["grpc-timeout"].to_str().unwrap();
        assert!(left != "5S", "the time already used counts: {left}");

        let answer = rig.http("GET", "/v1/rules/r", "").await;
        assert_eq!(answer.json()["displayName"], "default");
    }
}

#[tokio::test]
async fn a_services_failure_is_passed_on_as_it_is() {
    for rig in rigs("forward-fail").await {
        let answer = rig.http("GET", "/v1/rules/missing", "").await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.reason(), "RESOURCE_NOT_FOUND");
        assert_eq!(answer.json()["details"][1]["resourceName"], "missing");

        rig.peers.set("rule-engine", Mode::Down);
        let answer = rig.http("GET", "/v1/rules/r", "").await;
        assert_eq!(
            (answer.status.as_u16(), answer.reason().as_str()),
            (503, "SERVICE_UNAVAILABLE")
        );

        rig.peers.set("rule-engine", Mode::Hanging);
        let key = format!("Bearer {ADMIN}");
        let headers = [("authorization", key.as_str()), ("grpc-timeout", "50m")];
        let answer = rig.http_with("GET", "/v1/rules/r", &headers, b"").await;
        assert_eq!(
            (answer.status.as_u16(), answer.reason().as_str()),
            (504, "DEADLINE_EXCEEDED")
        );
    }
}

#[tokio::test]
async fn internal_methods_do_not_exist_out_here() {
    for rig in rigs("internal").await {
        let mut profile = ProfileServiceClient::new(rig.public());
        let request = with_key(ADMIN, GetSnapshotRequest::default());
        let status = profile.get_snapshot(request).await.unwrap_err();
        assert_eq!(reason_of(&status), Some(Reason::MethodUnknown));
        assert!(rig.peers.calls("GetSnapshot").is_empty());
    }
}
