//! Messages in bulk through the public door: results come while the stream is open, and
//! however much is sent in all, only a single message has a limit.

use attune_api::{
    json::to_struct,
    profile::v1::{
        IdentifyMessage, ImportMessagesRequest, IngestMessage, IngestStatus,
        import_service_client::ImportServiceClient, ingest_message::Kind,
    },
    r#type::v1::Identity,
};
use attune_e2e::{ADMIN_KEY, Deployment, Topology, on_both_topologies, shop};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, transport::Channel};

on_both_topologies!(a_stream_of_messages_is_settled_as_it_comes);

fn identify(n: usize, about: &str) -> IngestMessage {
    let traits = to_struct(json!({ "about": about, "n": n }));
    IngestMessage {
        message_id: format!("bulk-{n}"),
        identities: vec![Identity {
            namespace: "user_id".into(),
            value: format!("bulk-{n}"),
        }],
        kind: Some(Kind::Identify(IdentifyMessage { traits })),
        ..IngestMessage::default()
    }
}

async fn a_stream_of_messages_is_settled_as_it_comes(topology: Topology) {
    const REQUESTS: usize = 12;
    const MESSAGES: usize = 40;
    let deployment = Deployment::start(topology).await;
    let channel = Channel::from_shared(deployment.url()).unwrap();
    let mut client = ImportServiceClient::new(channel.connect().await.unwrap());

    let (requests, stream) = mpsc::channel(1);
    let mut request = Request::new(ReceiverStream::new(stream));
    let key = format!("Bearer {ADMIN_KEY}").parse().unwrap();
    request.metadata_mut().insert("authorization", key);
    // About 200 KiB a request: together they are over the door's limit for one.
    let about = "x".repeat(5_000);
    let first = ImportMessagesRequest {
        messages: (0..MESSAGES).map(|n| identify(n, &about)).collect(),
    };
    requests.send(first).await.unwrap();
    let mut answers = client.import_messages(request).await.unwrap().into_inner();
    for round in 0..REQUESTS {
        // Before anything more is sent.
        let answer = answers.next().await.unwrap().unwrap();
        assert_eq!(answer.results.len(), MESSAGES);
        for result in &answer.results {
            assert_eq!(result.status(), IngestStatus::Accepted, "{result:?}");
        }
        let next = (round + 1) * MESSAGES;
        let mut messages: Vec<_> = (next..next + MESSAGES)
            .map(|n| identify(n, &about))
            .collect();
        if round + 1 == REQUESTS {
            messages = vec![IngestMessage {
                identities: Vec::new(),
                ..identify(next, "nobody")
            }];
        }
        requests
            .send(ImportMessagesRequest { messages })
            .await
            .unwrap();
    }
    let refused = answers.next().await.unwrap().unwrap();
    assert_eq!(refused.results[0].faults[0].field, "identities");
    drop(requests);
    assert!(answers.next().await.is_none());

    let last = format!("bulk-{}", REQUESTS * MESSAGES - 1);
    let id = shop::profile_of(&deployment.api(), &last).await;
    let profile = deployment
        .api()
        .get(&format!("/v1/profiles/{id}"))
        .await
        .ok();
    assert_eq!(
        profile["traits"]["n"],
        json!((REQUESTS * MESSAGES - 1) as f64)
    );
}
