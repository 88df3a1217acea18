//! Audiences: who is in them, what they look like, and that a destination gets each
//! batch, signed, until it takes it. On both databases.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use attune_api::profile::v1::{
    AudienceCounts, AudienceDelivery, AudienceDeliveryState, AudienceFormat, AudienceLayout,
    CancelAudienceDeliveryRequest, ChangeSegmentMembersRequest, CreateAudienceDeliveryRequest,
    CreatePurposeRequest, CreateSegmentRequest, ExportAudienceRequest, GetAudienceDeliveryRequest,
    LegalBasis, ListAudienceDeliveriesRequest, Purpose, Regime, Segment, SetConsentRequest,
    audience_service_client::AudienceServiceClient, segment_service_client::SegmentServiceClient,
};
use attune_errors::{Reason, reason_of, violations_of};
use attune_profile::{Audiences, Config, Destination};
use attune_rpc::Channel;
use attune_storage::args;
use attune_testkit::wait_until;
use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::FutureExt as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use support::{Running, identify, on_both, on_both_with, subject};
use tokio_stream::StreamExt as _;
use tonic::Status;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn client(running: &Running) -> AudienceServiceClient<Channel> {
    AudienceServiceClient::new(running.channel.clone())
}

fn sha256(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A purpose that has to be granted, and a list of people who differ in what is known
/// and in what they want.
async fn prepare(running: &Running) {
    let purpose = CreatePurposeRequest {
        purpose_id: "advertising".into(),
        purpose: Some(Purpose {
            legal_basis: LegalBasis::Consent.into(),
            regimes: [(String::new(), Regime::OptIn.into())].into(),
            ..Purpose::default()
        }),
    };
    let mut privacy = running.privacy.clone();
    privacy
        .create_purpose(running.request(purpose))
        .await
        .unwrap();
    let people = [
        // Identifier, traits, whether they agreed.
        (
            vec!["u:ann", "email:Ann.Lee@gmail.com"],
            json!({}),
            Some(true),
        ),
        (
            vec!["u:bob"],
            json!({"email": "bob@x.org", "phone": "+43664123456"}),
            Some(true),
        ),
        (vec!["u:cat", "email:cat@x.org"], json!({}), Some(false)),
        (vec!["u:dan", "email:dan@x.org"], json!({}), None),
        (vec!["u:eve"], json!({"city": "Graz"}), Some(true)),
    ];
    let mut members = Vec::new();
    for (n, (who, traits, agreed)) in people.into_iter().enumerate() {
        let message = identify(&format!("m{n}"), &who, 0, traits);
        let profile_id = running.one(message).await;
        if let Some(granted) = agreed {
            let consent = SetConsentRequest {
                profile_id: profile_id.clone(),
                purpose: "advertising".into(),
                granted,
                source: "banner".into(),
                ..SetConsentRequest::default()
            };
            let mut client = running.client.clone();
            client.set_consent(running.request(consent)).await.unwrap();
        }
        members.push(subject(&profile_id));
    }
    let mut segments = SegmentServiceClient::new(running.channel.clone());
    let list = CreateSegmentRequest {
        segment_id: "vips".into(),
        segment: Some(Segment::default()),
    };
    segments
        .create_segment(running.request(list))
        .await
        .unwrap();
    let change = ChangeSegmentMembersRequest {
        segment_id: "vips".into(),
        add: members,
        remove: Vec::new(),
    };
    let changed = segments
        .change_segment_members(running.request(change))
        .await;
    assert_eq!(changed.unwrap().into_inner().added_count, 5);
}

fn expected_counts() -> AudienceCounts {
    AudienceCounts {
        member_count: 5,
        exported_count: 2,
        withheld_count: 2,
        unmatchable_count: 1,
    }
}

async fn export(
    running: &Running,
    request: ExportAudienceRequest,
) -> Result<(String, AudienceCounts), Status> {
    let mut client = client(running);
    let answers = client.export_audience(running.request(request)).await?;
    let mut answers = answers.into_inner();
    let (mut lines, mut counts) = (String::new(), None);
    while let Some(answer) = answers.next().await {
        let answer = answer?;
        lines.push_str(&answer.lines);
        counts = answer.counts;
    }
    Ok((lines, counts.unwrap()))
}

fn asked(layout: AudienceLayout, format: AudienceFormat) -> ExportAudienceRequest {
    ExportAudienceRequest {
        segment_id: "vips".into(),
        purpose: "advertising".into(),
        layout: layout.into(),
        format: format.into(),
    }
}

#[tokio::test]
async fn only_who_agreed_is_in_an_audience_and_by_hashes_alone() {
    on_both("audience_export", async |running| {
        prepare(&running).await;
        let google = asked(AudienceLayout::GoogleCustomerMatch, AudienceFormat::Csv);
        let (lines, counts) = export(&running, google).await.unwrap();
        assert_eq!(counts, expected_counts());
        let (ann, bob) = (sha256("annlee@gmail.com"), sha256("bob@x.org"));
        let phone = sha256("+43664123456");
        let expected =
            format!("Email,Email,Email,Phone,Phone,Phone\n{ann},,,,,\n{bob},,,{phone},,\n");
        assert_eq!(lines, expected);

        let meta = asked(AudienceLayout::MetaCustomAudience, AudienceFormat::Ndjson);
        let (lines, counts) = export(&running, meta).await.unwrap();
        assert_eq!(counts, expected_counts());
        let rows: Vec<Json> = lines
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert_eq!(rows[0]["email"], json!([sha256("ann.lee@gmail.com")]));
        assert_eq!(rows[1]["phone"], json!([sha256("43664123456")]));
        assert_eq!(rows.len(), 2);
        running.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_not_declared_cannot_be_exported() {
    on_both("audience_faults", async |running| {
        prepare(&running).await;
        let good = asked(AudienceLayout::Hashed, AudienceFormat::Csv);
        let other = ExportAudienceRequest {
            purpose: "advertizing".into(),
            ..good.clone()
        };
        let status = export(&running, other).await.unwrap_err();
        assert_eq!(violations_of(&status)[0].0, "purpose");
        let nobody = ExportAudienceRequest {
            segment_id: "vipz".into(),
            ..good
        };
        let status = export(&running, nobody).await.unwrap_err();
        assert_eq!(reason_of(&status), Some(Reason::ResourceNotFound));
        let order = order("d1", "nowhere");
        let status = client(&running)
            .create_audience_delivery(running.request(order))
            .await
            .unwrap_err();
        assert_eq!(violations_of(&status)[0].0, "audience_delivery.destination");
        running.stop().await;
    })
    .await;
}

fn order(id: &str, destination: &str) -> CreateAudienceDeliveryRequest {
    CreateAudienceDeliveryRequest {
        audience_delivery_id: id.into(),
        audience_delivery: Some(AudienceDelivery {
            segment_id: "vips".into(),
            purpose: "advertising".into(),
            destination: destination.into(),
            ..AudienceDelivery::default()
        }),
    }
}

/// A platform that answers as it is told, and with 200 after that.
#[derive(Clone, Default)]
struct Platform {
    answers: Arc<Mutex<VecDeque<u16>>>,
    /// `webhook-id` and body of each call with a valid signature.
    calls: Arc<Mutex<Vec<(String, Json)>>>,
    /// Whoever holds it keeps the answers waiting.
    gate: Arc<tokio::sync::Mutex<()>>,
}

impl Platform {
    async fn start(answers: &[u16]) -> (Self, String) {
        let platform = Self {
            answers: Arc::new(Mutex::new(answers.iter().copied().collect())),
            ..Self::default()
        };
        let app = Router::new()
            .route("/in", post(take))
            .with_state(platform.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/in", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (platform, url)
    }
}

async fn take(
    State(platform): State<Platform>,
    headers: HeaderMap,
    body: Bytes,
) -> axum::http::StatusCode {
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    let secret = STANDARD.decode(&SECRET["whsec_".len()..]).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
    mac.update(format!("{}.{}.", text("webhook-id"), text("webhook-timestamp")).as_bytes());
    mac.update(&body);
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    if signature != text("webhook-signature") {
        return axum::http::StatusCode::UNAUTHORIZED;
    }
    let body = serde_json::from_slice(&body).unwrap();
    platform.calls.lock().push((text("webhook-id"), body));
    drop(platform.gate.lock().await);
    let next = platform.answers.lock().pop_front().unwrap_or(200);
    axum::http::StatusCode::from_u16(next).unwrap()
}

fn config(url: &str, attempts_max: u32) -> Config {
    let destination = Destination {
        url: url.into(),
        signing_secret: SECRET.to_owned().into(),
    };
    Config {
        audiences: Audiences {
            destinations: [("ads".to_owned(), destination)].into(),
            attempts_max,
        },
        ..Config::default()
    }
}

async fn delivery(running: &Running, id: &str) -> AudienceDelivery {
    let request = running.request(GetAudienceDeliveryRequest {
        audience_delivery_id: id.into(),
    });
    let found = client(running).get_audience_delivery(request).await;
    found.unwrap().into_inner()
}

/// Waits until a delivery is over.
async fn ended(running: &Running, id: &str) -> AudienceDelivery {
    wait_until(
        "the delivery is over",
        Duration::from_secs(30),
        async || delivery(running, id).await.state() != AudienceDeliveryState::Delivering,
    )
    .await;
    delivery(running, id).await
}

#[tokio::test]
async fn a_batch_is_sent_until_it_is_taken() {
    let (platform, url) = Platform::start(&[]).await;
    on_both_with("audience_delivery", config(&url, 5), async |running| {
        prepare(&running).await;
        platform.answers.lock().push_back(503);
        platform.calls.lock().clear();
        let mut client = client(&running);
        let created = client
            .create_audience_delivery(running.request(order("d1", "ads")))
            .await;
        assert_eq!(
            created.unwrap().get_ref().state(),
            AudienceDeliveryState::Delivering
        );
        let again = client
            .create_audience_delivery(running.request(order("d1", "ads")))
            .await;
        assert_eq!(reason_of(&again.unwrap_err()), Some(Reason::ResourceExists));

        let over = ended(&running, "d1").await;
        assert_eq!(over.state(), AudienceDeliveryState::Delivered, "{over:?}");
        assert_eq!((over.progress, over.batch_count), (1.0, 1));
        assert_eq!(over.counts, Some(expected_counts()));
        let calls = std::mem::take(&mut *platform.calls.lock());
        let [(first_id, first), (second_id, second)] = calls.as_slice() else {
            panic!("{calls:?}")
        };
        assert_eq!((first_id, first), (second_id, second));
        assert_eq!(first["segmentId"], "vips");
        let members = first["members"].as_array().unwrap();
        assert_eq!(members.len(), 2);
        assert_eq!(members[1]["email_sha256"], json!([sha256("bob@x.org")]));

        let listed = client
            .list_audience_deliveries(running.request(ListAudienceDeliveriesRequest::default()))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(listed.audience_deliveries, [over]);
        running.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_refused_or_never_taken_fails() {
    let (platform, url) = Platform::start(&[]).await;
    on_both_with("audience_failure", config(&url, 2), async |running| {
        prepare(&running).await;
        let rows: [(&str, &[u16], i32); 2] = [("refused", &[410], 1), ("busy", &[500, 500], 2)];
        for (id, answers, attempts) in rows {
            platform.answers.lock().extend(answers);
            let mut client = client(&running);
            let request = running.request(order(id, "ads"));
            client.create_audience_delivery(request).await.unwrap();
            let over = ended(&running, id).await;
            assert_eq!(over.state(), AudienceDeliveryState::DeliveryFailed);
            assert_eq!(over.attempt_count, attempts);
            assert!(over.failure.contains(&answers[0].to_string()), "{over:?}");
            assert_eq!(over.batch_count, 0);
        }
        running.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_delivery_can_be_called_off() {
    // Nobody listens there.
    let config = config("http://127.0.0.1:9/in", 1_000);
    on_both_with("audience_cancel", config, async |running| {
        prepare(&running).await;
        let mut client = client(&running);
        let request = running.request(order("d1", "ads"));
        client.create_audience_delivery(request).await.unwrap();
        wait_until("it was tried", Duration::from_secs(30), async || {
            delivery(&running, "d1").await.attempt_count > 0
        })
        .await;
        let cancel = CancelAudienceDeliveryRequest {
            audience_delivery_id: "d1".into(),
        };
        let cancelled = client
            .cancel_audience_delivery(running.request(cancel))
            .await;
        let state = cancelled.unwrap().get_ref().state();
        assert_eq!(state, AudienceDeliveryState::DeliveryCancelled);
        running.stop().await;
    })
    .await;
}

#[tokio::test]
async fn who_was_too_slow_and_lost_a_batch_to_another_process_writes_nothing_of_it() {
    let (platform, url) = Platform::start(&[]).await;
    on_both_with("audience_lost", config(&url, 5), async |running| {
        prepare(&running).await;
        platform.calls.lock().clear();
        let answers = platform.gate.lock().await;
        let mut client = client(&running);
        let request = running.request(order("d1", "ads"));
        client.create_audience_delivery(request).await.unwrap();
        wait_until("it is sent", Duration::from_secs(30), async || {
            !platform.calls.lock().is_empty()
        })
        .await;
        // As another process leaves it that took the batch over and failed with it.
        running
            .database
            .write(|tx| {
                async move {
                    const TAKEN: &str = "update audience_deliveries set next_ms = 1";
                    tx.execute(TAKEN, args![]).await
                }
                .boxed()
            })
            .await
            .unwrap();
        drop(answers);
        let over = ended(&running, "d1").await;
        assert_eq!(over.state(), AudienceDeliveryState::Delivered, "{over:?}");
        assert_eq!(over.batch_count, 1, "{}", running.system);
        assert_eq!(over.counts, Some(expected_counts()));
        // Sent again, and known again by whoever got it.
        let calls = std::mem::take(&mut *platform.calls.lock());
        let ids: Vec<_> = calls.iter().map(|(id, _)| id).collect();
        assert_eq!(ids.len(), 2, "{ids:?}");
        assert_eq!(ids[0], ids[1]);
        running.stop().await;
    })
    .await;
}
