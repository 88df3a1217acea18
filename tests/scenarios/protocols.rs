//! One port: gRPC with health and reflection, gRPC-Web, HTTP/JSON and its document.

use attune_api::gateway::v1::{
    PersonalizeRequest, TrackRequest, collection_service_client::CollectionServiceClient,
    personalization_service_client::PersonalizationServiceClient,
};
use attune_e2e::{ADMIN_KEY, Api, Deployment, Topology, on_both_topologies, shop};
use base64::Engine as _;
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use prost::Message as _;
use tonic::{Code, Request, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

on_both_topologies!(every_protocol_is_spoken_on_one_port);

async fn every_protocol_is_spoken_on_one_port(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    shop::import(&api).await;
    let channel = Channel::from_shared(deployment.url())
        .unwrap()
        .connect()
        .await
        .unwrap();
    grpc(channel.clone()).await;
    health(channel.clone(), &api).await;
    reflection(channel).await;
    grpc_web(&deployment.url()).await;
    segment_basic_auth(&deployment.url()).await;
    document(&api).await;
}

fn question() -> PersonalizeRequest {
    shop::question_message("tom", "home", 4)
}

fn authorized<M>(message: M) -> Request<M> {
    let mut request = Request::new(message);
    let key = format!("Bearer {ADMIN_KEY}").parse().unwrap();
    request.metadata_mut().insert("authorization", key);
    request
}

async fn grpc(channel: Channel) {
    let mut collection = CollectionServiceClient::new(channel.clone());
    let event = TrackRequest {
        user_id: "tom".into(),
        event: "Product Viewed".into(),
        ..Default::default()
    };
    let taken = collection.track(authorized(event)).await.unwrap();
    assert!(taken.get_ref().success);
    let mut personalization = PersonalizationServiceClient::new(channel.clone());
    let answer = personalization
        .personalize(authorized(question()))
        .await
        .unwrap();
    assert_eq!(answer.get_ref().placements[0].slots.len(), 4);
    let refused = personalization.personalize(question()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let large = TrackRequest {
        user_id: "tom".into(),
        event: "x".repeat(2 << 20),
        ..Default::default()
    };
    let refused = collection.track(authorized(large)).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
    // What services say among themselves is not for the public.
    let mut profile =
        attune_api::profile::v1::profile_service_client::ProfileServiceClient::new(channel);
    let refused = profile
        .get_snapshot(authorized(Default::default()))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
}

async fn health(channel: Channel, api: &Api) {
    let mut health = HealthClient::new(channel);
    for service in ["", "attune.gateway.v1.PersonalizationService"] {
        let service = service.to_owned();
        let answer = health.check(HealthCheckRequest { service }).await.unwrap();
        assert_eq!(answer.get_ref().status(), ServingStatus::Serving);
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(api.without_key().get(path).await.status, 200, "{path}");
    }
}

async fn reflection(channel: Channel) {
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel);
    let asked = futures::stream::iter([ask]);
    let mut answers = client
        .server_reflection_info(asked)
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().expect("an answer");
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = list.service.iter().map(|s| s.name.as_str()).collect();
    for name in [
        "attune.gateway.v1.PersonalizationService",
        "attune.rules.v1.RuleService",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
}

/// A unary call as a browser makes it, over HTTP/1.1.
async fn grpc_web(url: &str) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let message = question().encode_to_vec();
    let mut body = BytesMut::new();
    body.put_u8(0);
    body.put_u32(message.len() as u32);
    body.extend_from_slice(&message);
    let request = http::Request::post(format!(
        "{url}/attune.gateway.v1.PersonalizationService/Personalize"
    ))
    .header("content-type", "application/grpc-web+proto")
    .header("authorization", format!("Bearer {ADMIN_KEY}"))
    .header("origin", "https://shop.example")
    .body(Full::new(body.freeze()))
    .unwrap();
    let response = client.request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(
        response
            .headers()
            .contains_key("access-control-allow-origin")
    );
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let length = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
    let answer =
        attune_api::gateway::v1::PersonalizeResponse::decode(&bytes[5..5 + length]).unwrap();
    assert_eq!(answer.placements[0].slots.len(), 4);
    let trailers = String::from_utf8_lossy(&bytes[5 + length + 5..]).into_owned();
    assert!(trailers.contains("grpc-status:0"), "{trailers}");
}

/// As Segment's SDKs send the key.
async fn segment_basic_auth(url: &str) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let key = base64::engine::general_purpose::STANDARD.encode(format!("{ADMIN_KEY}:"));
    let body = r#"{"batch": [{"type": "track", "userId": "tom", "event": "x", "messageId": "m"}]}"#;
    let request = http::Request::post(format!("{url}/v1/batch"))
        .header("content-type", "application/json")
        .header("authorization", format!("Basic {key}"))
        .body(Full::from(body))
        .unwrap();
    assert_eq!(client.request(request).await.unwrap().status(), 200);
}

async fn document(api: &Api) {
    let document = api.without_key().get("/openapi.json").await.ok();
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|v| v.starts_with("3.")),
        "{document}"
    );
    for (path, verb) in [
        ("/v1/personalize", "post"),
        ("/v1/items:batchUpsert", "post"),
        ("/v1/profiles/{profileId}/consents/{purpose}", "put"),
    ] {
        let paths = document["paths"].as_object().expect("paths");
        let known = paths.get(path).is_some_and(|p| p.get(verb).is_some());
        assert!(
            known,
            "{verb} {path} is not among {:?}",
            paths.keys().collect::<Vec<_>>()
        );
    }
}
