//! Messages in bulk over a stream: each is settled by itself, in order, and can be sent
//! again. On both databases.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use attune_api::profile::v1::{
    ImportMessagesRequest, ImportMessagesResponse, IngestMessage, IngestStatus,
    import_service_client::ImportServiceClient,
};
use serde_json::json;
use support::{Running, event, identify, message, on_both, traits_of, user};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};

/// Sends requests one after the other without waiting, and gives the answers.
async fn import(
    running: &Running,
    requests: Vec<Vec<IngestMessage>>,
) -> Result<Vec<ImportMessagesResponse>, Status> {
    let requests = requests
        .into_iter()
        .map(|messages| ImportMessagesRequest { messages });
    let request = running.request(tokio_stream::iter(requests.collect::<Vec<_>>()));
    let mut client = ImportServiceClient::new(running.channel.clone());
    let mut answers = client.import_messages(request).await?.into_inner();
    let mut all = Vec::new();
    while let Some(answer) = answers.next().await {
        all.push(answer?);
    }
    Ok(all)
}

/// Status and first fault's field of each result.
fn settled(answers: &[ImportMessagesResponse]) -> Vec<(IngestStatus, &str)> {
    let results = answers.iter().flat_map(|answer| &answer.results);
    results
        .map(|result| {
            let fault = result.faults.first();
            (result.status(), fault.map_or("", |f| f.field.as_str()))
        })
        .collect()
}

#[tokio::test]
async fn a_fault_is_its_messages_own() {
    on_both("import_faults", async |running| {
        let nobody = message(
            "m2",
            &[],
            0,
            identify("", &["u:x"], 0, json!({})).kind.unwrap(),
        );
        let stranger = IngestMessage {
            profile_id: "0198a000-0000-7000-8000-000000000000".into(),
            ..message(
                "m4",
                &[],
                0,
                identify("", &["u:x"], 0, json!({})).kind.unwrap(),
            )
        };
        let requests = vec![
            vec![
                identify("m1", &["u:ann"], 0, json!({"city": "Graz"})),
                nobody,
            ],
            vec![
                event(
                    "m3",
                    &["u:ann"],
                    1,
                    "Product Viewed",
                    json!({"product_id": "p"}),
                ),
                stranger,
                identify("m5", &["u:bob"], 0, json!({"city": "Linz"})),
            ],
        ];
        let answers = import(&running, requests.clone()).await.unwrap();
        use IngestStatus::{Accepted, Duplicate, Unspecified};
        let expected = [
            (Accepted, ""),
            (Unspecified, "identities"),
            (Accepted, ""),
            (Unspecified, "profile_id"),
            (Accepted, ""),
        ];
        assert_eq!(settled(&answers), expected);
        let ids = answers
            .iter()
            .flat_map(|a| &a.results)
            .map(|r| r.message_id.as_str());
        assert_eq!(ids.collect::<Vec<_>>(), ["m1", "m2", "m3", "m4", "m5"]);
        let bob = running.snapshot(user("bob")).await.unwrap();
        assert_eq!(traits_of(&bob), json!({"city": "Linz"}));

        // Sent again, as after a broken connection.
        let again = import(&running, requests).await.unwrap();
        let expected = expected.map(|(status, field)| match status {
            Accepted => (Duplicate, field),
            other => (other, field),
        });
        assert_eq!(settled(&again), expected);
        running.stop().await;
    })
    .await;
}

#[tokio::test]
async fn many_requests_are_settled_in_their_order() {
    on_both("import_order", async |running| {
        let value = |n: usize| json!({ "n": n });
        let requests: Vec<_> = (0..40)
            .map(|request| {
                (0..25)
                    .map(|m| {
                        let n = request * 25 + m;
                        identify(&format!("m{n}"), &["u:ann"], 0, value(n))
                    })
                    .collect()
            })
            .collect();
        let answers = import(&running, requests).await.unwrap();
        let results: Vec<_> = answers.iter().flat_map(|a| &a.results).collect();
        assert_eq!(results.len(), 1_000);
        for (n, result) in results.iter().enumerate() {
            assert_eq!(result.message_id, format!("m{n}"));
            assert_eq!(result.status(), IngestStatus::Accepted);
        }
        // Of equal times the last to come counts.
        let ann = running.snapshot(user("ann")).await.unwrap();
        assert_eq!(traits_of(&ann), value(999));
        running.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_request_of_no_messages_ends_the_stream() {
    on_both("import_empty", async |running| {
        let requests = vec![vec![identify("m1", &["u:ann"], 0, json!({}))], vec![]];
        let status = import(&running, requests).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let violations = attune_errors::violations_of(&status);
        assert_eq!(violations[0].0, "messages");
        // What came before is kept.
        assert!(running.snapshot(user("ann")).await.is_some());
        running.stop().await;
    })
    .await;
}
