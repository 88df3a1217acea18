//! The one port: what is answered to whom, in which form, and how failures look.

use std::io::Write;

use attune_api::gateway::v1::{PersonalizeRequest, TrackRequest};
use attune_errors::{Reason, reason_of};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http_body_util::{BodyExt, Full};
use prost::Message;
use serde_json::json;
use tonic::body::Body;
use tower::{Service, ServiceExt};

use crate::rig::{ADMIN, Headers, Rig, rigs, rigs_with, with_key};

const TRACK: &str = r#"{"userId": "u", "event": "e"}"#;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

async fn post(rig: &Rig, headers: Headers<'_>, body: &[u8]) -> crate::rig::Answer {
    let key = format!("Bearer {ADMIN}");
    let mut all = vec![("authorization", key.as_str())];
    all.extend(headers);
    rig.http_with("POST", "/v1/track", &all, body).await
}

#[tokio::test]
async fn every_answer_names_its_request() {
    for rig in rigs("ids").await {
        let answer = post(&rig, &[("x-request-id", "mine")], TRACK.as_bytes()).await;
        assert_eq!(answer.headers["x-request-id"], "mine");
        assert_eq!(rig.peers.calls("Ingest")[0].headers["x-request-id"], "mine");
        let made = post(&rig, &[], TRACK.as_bytes()).await.headers["x-request-id"].clone();
        assert_eq!(rig.peers.calls("Ingest")[1].headers["x-request-id"], made);
    }
}

#[tokio::test]
async fn unknown_paths_and_verbs_are_told_as_status() {
    for rig in rigs("paths").await {
        let answer = rig.http("GET", "/v1/nothing", "").await;
        assert_eq!(
            (answer.status.as_u16(), answer.reason().as_str()),
            (404, "METHOD_UNKNOWN")
        );
        assert_eq!(answer.json()["code"], 12);
        let answer = rig.http("GET", "/v1/personalize", "").await;
        assert_eq!(
            (answer.status.as_u16(), answer.reason().as_str()),
            (405, "METHOD_UNKNOWN")
        );
        assert_eq!(answer.headers["allow"], "POST");
        let answer = rig.http("POST", "/", "").await;
        assert_eq!(answer.status, 404);
    }
}

#[tokio::test]
async fn bodies_may_be_gzip_and_no_larger_than_the_limit() {
    let limit = 4096;
    for rig in rigs_with("sizes", |c| c.limits.message_bytes_max = limit).await {
        let zipped = gzip(TRACK.as_bytes());
        assert_eq!(
            post(&rig, &[("content-encoding", "gzip")], &zipped)
                .await
                .status,
            200
        );

        let large = format!(
            r#"{{"userId": "u", "event": "e", "x": "{}"}}"#,
            "x".repeat(limit)
        );
        let bomb = gzip(large.as_bytes());
        assert!(bomb.len() < limit);
        let rows: [(Headers<'_>, &[u8], u16, &str); 5] = [
            (&[], large.as_bytes(), 413, "PAYLOAD_TOO_LARGE"),
            (
                &[("content-encoding", "gzip")],
                &bomb,
                413,
                "PAYLOAD_TOO_LARGE",
            ),
            (
                &[("content-encoding", "gzip")],
                TRACK.as_bytes(),
                400,
                "MALFORMED_BODY",
            ),
            (
                &[("content-encoding", "br")],
                TRACK.as_bytes(),
                400,
                "MALFORMED_BODY",
            ),
            (&[], b"{", 400, "MALFORMED_BODY"),
        ];
        for (headers, body, status, reason) in rows {
            let answer = post(&rig, headers, body).await;
            assert_eq!(
                (answer.status.as_u16(), answer.reason().as_str()),
                (status, reason)
            );
        }
        let answer = post(&rig, &[], large.as_bytes()).await;
        assert_eq!(
            answer.json()["details"][0]["metadata"]["limit_bytes"],
            "4096"
        );

        let request = TrackRequest {
            event: "e".repeat(limit),
            ..Default::default()
        };
        let refused = rig.collection().track(with_key(ADMIN, request)).await;
        assert_eq!(
            reason_of(&refused.unwrap_err()),
            Some(Reason::PayloadTooLarge)
        );
        // What is only passed on is bounded as well.
        let uri = "/attune.rules.v1.RuleService/GetRule";
        let frames = grpc_frame(&vec![0x0a; limit + 10]);
        let response = grpc(&rig, uri, "application/grpc", frames).await;
        assert_eq!(response.headers()["grpc-status"], "11");
    }
}

#[tokio::test]
async fn a_message_that_is_no_protobuf_is_the_callers_mistake() {
    for rig in rigs("garbage").await {
        for uri in [
            "/attune.gateway.v1.CollectionService/Track",
            "/attune.gateway.v1.PersonalizationService/Personalize",
        ] {
            let response = grpc(&rig, uri, "application/grpc", grpc_frame(&[0xff; 8])).await;
            let status = tonic::Status::from_header_map(response.headers()).unwrap();
            assert_eq!(
                reason_of(&status),
                Some(Reason::MalformedBody),
                "{uri} {status:?}"
            );
        }
    }
}

#[tokio::test]
async fn grpc_web_is_answered_with_its_trailers_in_the_body() {
    for rig in rigs("web").await {
        let request = PersonalizeRequest::default().encode_to_vec();
        let uri = "/attune.gateway.v1.PersonalizationService/Personalize";
        let body = grpc_frame(&request);
        let response = grpc(&rig, uri, "application/grpc-web+proto", body).await;
        assert_eq!(response.status(), 200);
        let content_type = response.headers()["content-type"].to_str().unwrap();
        assert!(content_type.starts_with("application/grpc-web"));
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
        assert_eq!(response.headers()["grpc-status"], "3");
    }
}

#[tokio::test]
async fn browsers_may_ask_first() {
    for rig in rigs("cors").await {
        let headers = [
            ("origin", "https://shop.example"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,x-grpc-web"),
        ];
        for uri in ["/v1/track", "/attune.gateway.v1.CollectionService/Track"] {
            let answer = rig.http_with("OPTIONS", uri, &headers, b"").await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.headers["access-control-allow-origin"], "*");
            let allowed = answer.headers["access-control-allow-headers"]
                .to_str()
                .unwrap();
            assert!(allowed.contains("x-grpc-web"));
        }
    }
    let closed = |c: &mut attune_gateway::Config| {
        c.cors.allowed_origins = vec!["https://shop.example".into()];
    };
    for rig in rigs_with("cors-closed", closed).await {
        for (origin, allowed) in [
            ("https://shop.example", true),
            ("https://evil.example", false),
        ] {
            let answer = post(&rig, &[("origin", origin)], TRACK.as_bytes()).await;
            let found = answer.headers.contains_key("access-control-allow-origin");
            assert_eq!(found, allowed, "{origin}");
        }
    }
}

#[tokio::test]
async fn health_reflection_and_the_document_need_no_key() {
    for rig in rigs("open").await {
        for uri in ["/livez", "/readyz", "/openapi.json"] {
            let answer = rig.http_with("GET", uri, &[], b"").await;
            assert_eq!(answer.status, 200, "{uri}");
        }
        let document = rig.http_with("GET", "/openapi.json", &[], b"").await.json();
        assert_eq!(document["openapi"], "3.1.0");
        assert!(document["paths"]["/v1/personalize"]["post"].is_object());

        use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
        let request = HealthCheckRequest {
            service: "attune.gateway.v1.PersonalizationService".into(),
        };
        let health = HealthClient::new(rig.public())
            .check(request)
            .await
            .unwrap();
        assert_eq!(health.into_inner().status, 1);

        use tonic_reflection::pb::v1::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let request = ServerReflectionRequest {
            message_request: Some(MessageRequest::ListServices(String::new())),
            ..Default::default()
        };
        let mut client = ServerReflectionClient::new(rig.public());
        let requests = futures::stream::iter([request]);
        let mut answers = client
            .server_reflection_info(requests)
            .await
            .unwrap()
            .into_inner();
        let answer = answers.message().await.unwrap().unwrap();
        let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
            panic!("no list");
        };
        let names: Vec<_> = list.service.iter().map(|s| s.name.as_str()).collect();
        assert!(names.contains(&"attune.rules.v1.RuleService"), "{names:?}");
        assert!(
            !names.contains(&"attune.events.v1.EventLogService"),
            "{names:?}"
        );
    }
}

#[tokio::test]
async fn answers_are_canonical_json() {
    for rig in rigs("canonical").await {
        let body = r#"{"subject": {"user_id": "ann"}, "channel": "web",
            "placements": [{"placement": "home", "count": 1}]}"#;
        let mut answer = rig.http("POST", "/v1/personalize", body).await.json();
        answer
            .as_object_mut()
            .unwrap()
            .remove("responseId")
            .unwrap();
        let expected = json!({
            "profile": {"id": "p-ann", "segments": ["vip"]},
            "basis": "FULL",
            "placements": [{
                "placement": "home",
                "decisionId": "d-0",
                "strategy": "default",
                "slots": [{
                    "item": {"itemId": "i1", "title": {"": "Title of i1"}},
                    "score": 0.5,
                    "reasons": [{"kind": "SOURCE", "text": "For you"}],
                    "token": "token-i1",
                }],
            }],
        });
        assert_eq!(answer, expected);
    }
}

fn grpc_frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat()
}

async fn grpc(rig: &Rig, uri: &str, content_type: &str, frames: Vec<u8>) -> http::Response<Bytes> {
    let request = http::Request::post(uri)
        .header("content-type", content_type)
        .header("te", "trailers")
        .header("origin", "https://shop.example")
        .header("authorization", format!("Bearer {ADMIN}"))
        .body(Body::new(Full::new(Bytes::from(frames))))
        .unwrap();
    let mut public = rig.public();
    let response = public.ready().await.unwrap().call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let collected = body.collect().await.unwrap();
    http::Response::from_parts(parts, collected.to_bytes())
}
