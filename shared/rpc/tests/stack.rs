//! Every behaviour of the stack, on both topologies: what holds for a caller on the
//! network holds for one in the same process.

#![allow(clippy::unwrap_used, clippy::panic)] // Tests fail by panicking.

mod support;

use std::time::{Duration, Instant};

use attune_errors::{Reason, metadata_of, reason_of, retry_after_of, violations_of};
use attune_rpc::{Actor, Caller, Channel, Internal, PeerToken, Workspace, system_request};
use support::{Rig, TOKEN, Topology, ask, read, soon};
use tonic::{Code, Request};

/// A deadline that passes while a test waits, and before which a call has arrived, on a
/// busy machine too.
const REACHED: Duration = Duration::from_secs(2);

const BOTH: [Topology; 2] = [Topology::InProcess, Topology::Tcp];

fn caller() -> Caller {
    Caller::new(Workspace::new("shop").unwrap())
}

#[tokio::test]
async fn the_caller_arrives_with_workspace_request_id_and_deadline() {
    for topology in BOTH {
        let rig = Rig::new(topology).await;
        let caller = caller();
        let request = caller.request_within(ask("describe"), Duration::from_secs(60));
        let answer = rig.decisions().decide(request).await.unwrap().into_inner();
        let seen = &answer.placements[0];
        assert_eq!(seen.placement, "shop", "{topology:?}");
        assert_eq!(seen.decision_id, caller.request_id.as_str(), "{topology:?}");
        let left_ms: i64 = seen.strategy.parse().unwrap();
        assert!((1..=60_000).contains(&left_ms), "{topology:?}: {left_ms}");
    }
}

#[tokio::test]
async fn whoever_asked_is_named_until_a_service_asks_for_itself() {
    for topology in BOTH {
        let rig = Rig::new(topology).await;
        let mut caller = caller();
        caller.actor = Some(Actor::key("key-1").unwrap());
        for (caller, expected) in [(&caller, "key-1"), (&caller.unattended(), "")] {
            let request = caller.request(ask("describe"));
            let answer = rig.decisions().decide(request).await.unwrap().into_inner();
            let seen = &answer.placements[0];
            assert_eq!(seen.slots[0].item_id, expected, "{topology:?}");
        }
    }
}

#[tokio::test]
async fn a_deadline_passes_on_and_never_grows() {
    for topology in BOTH {
        let rig = Rig::new(topology).await;
        let mut caller = caller();
        caller.deadline = Some(Instant::now() + Duration::from_secs(60));
        let request = caller.request_within(ask("describe"), Duration::from_secs(3600));
        let answer = rig.decisions().decide(request).await.unwrap().into_inner();
        let left_ms: i64 = answer.placements[0].strategy.parse().unwrap();
        assert!((1..=60_000).contains(&left_ms), "{topology:?}: {left_ms}");
    }
}

#[tokio::test]
async fn the_callers_trace_is_carried_on() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    for topology in BOTH {
        let rig = Rig::new(topology).await;
        let mut request = caller().request(ask("describe"));
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        request
            .metadata_mut()
            .insert("traceparent", parent.parse().unwrap());
        let answer = rig.decisions().decide(request).await.unwrap().into_inner();
        assert_eq!(answer.placements[0].template, TRACE, "{topology:?}");
    }
}

#[tokio::test]
async fn a_call_that_hangs_ends_at_its_deadline_and_is_dropped_by_the_server() {
    for topology in BOTH {
        let rig = Rig::new(topology).await;
        let request = caller().request_within(ask("hang"), REACHED);
        let call = async { rig.decisions().decide(request).await };
        let status = soon("the call", call).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{topology:?}");
        assert_eq!(
            reason_of(&status),
            Some(Reason::DeadlineExceeded),
            "{topology:?}"
        );
        soon("dropping the handler", rig.probe.hanging.notified()).await;
    }
}

#[tokio::test]
async fn a_stream_that_hangs_ends_at_its_deadline() {
    for topology in BOTH {
        let rig = Rig::new(topology).await;
        let request = caller().request_within(read("hang"), REACHED);
        let mut log = rig.log().read_log(request).await.unwrap().into_inner();
        assert!(log.message().await.unwrap().is_some(), "{topology:?}");
        let status = soon("the stream", log.message()).await.unwrap_err();
        assert_eq!(
            reason_of(&status),
            Some(Reason::DeadlineExceeded),
            "{topology:?}"
        );
    }
}

#[tokio::test]
async fn a_malformed_deadline_is_a_violation() {
    for topology in BOTH {
        let rig = Rig::new(topology).await;
        let mut request = caller().request(ask("describe"));
        request
            .metadata_mut()
            .insert("grpc-timeout", "soon".parse().unwrap());
        let status = rig.decisions().decide(request).await.unwrap_err();
        let fields: Vec<_> = violations_of(&status).into_iter().map(|(f, _)| f).collect();
        assert_eq!(fields, ["grpc-timeout"], "{topology:?}");
    }
}

#[tokio::test]
async fn a_stranger_without_the_credential_is_refused() {
    for topology in BOTH {
        let rig = Rig::with(topology, "another-token-of-some-length", |_| {}).await;
        let status = rig
            .decisions()
            .decide(caller().request(ask("describe")))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{topology:?}");
        assert_eq!(
            reason_of(&status),
            Some(Reason::PeerUnauthenticated),
            "{topology:?}"
        );
        let status = rig
            .log()
            .read_log(system_request(read("end")))
            .await
            .unwrap_err();
        assert_eq!(
            reason_of(&status),
            Some(Reason::PeerUnauthenticated),
            "{topology:?}"
        );
    }
}

#[tokio::test]
async fn a_services_own_call_needs_no_workspace_and_a_use_case_does() {
    for topology in BOTH {
        let rig = Rig::new(topology).await;
        let mut log = rig
            .log()
            .read_log(system_request(read("end")))
            .await
            .unwrap()
            .into_inner();
        assert!(log.message().await.unwrap().is_some(), "{topology:?}");
        assert!(log.message().await.unwrap().is_none(), "{topology:?}");
        let status = rig
            .decisions()
            .decide(Request::new(ask("describe")))
            .await
            .unwrap_err();
        let fields: Vec<_> = violations_of(&status).into_iter().map(|(f, _)| f).collect();
        assert_eq!(fields, ["attune-workspace"], "{topology:?}");
    }
}

#[tokio::test]
async fn a_malformed_workspace_is_a_violation() {
    for topology in BOTH {
        let rig = Rig::new(topology).await;
        let mut request = Request::new(ask("echo"));
        request
            .metadata_mut()
            .insert("attune-workspace", "Not One".parse().unwrap());
        let status = rig.decisions().decide(request).await.unwrap_err();
        assert_eq!(
            reason_of(&status),
            Some(Reason::InvalidFields),
            "{topology:?}"
        );
    }
}

#[tokio::test]
async fn a_panic_costs_one_call_and_says_nothing_of_itself() {
    for topology in BOTH {
        let rig = Rig::new(topology).await;
        let caller = caller();
        let status = rig
            .decisions()
            .decide(caller.request(ask("panic")))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{topology:?}");
        assert_eq!(reason_of(&status), Some(Reason::Internal), "{topology:?}");
        let id = metadata_of(&status, "request_id");
        assert_eq!(
            id.as_deref(),
            Some(caller.request_id.as_str()),
            "{topology:?}"
        );
        assert!(!status.message().contains("on purpose"), "{topology:?}");

        let mut log = rig
            .log()
            .read_log(caller.request(read("panic")))
            .await
            .unwrap()
            .into_inner();
        assert!(log.message().await.unwrap().is_some(), "{topology:?}");
        let status = log.message().await.unwrap_err();
        assert_eq!(reason_of(&status), Some(Reason::Internal), "{topology:?}");

        let answer = rig
            .decisions()
            .decide(caller.request(ask("describe")))
            .await;
        assert!(answer.is_ok(), "{topology:?}");
    }
}

#[tokio::test]
async fn every_violation_arrives() {
    for topology in BOTH {
        let rig = Rig::new(topology).await;
        let status = rig
            .decisions()
            .decide(caller().request(ask("violate")))
            .await
            .unwrap_err();
        let fields: Vec<_> = violations_of(&status).into_iter().map(|(f, _)| f).collect();
        assert_eq!(fields, ["a", "b"], "{topology:?}");
    }
}

#[tokio::test]
async fn calls_over_the_limit_are_shed_until_one_has_ended() {
    for topology in BOTH {
        let rig = Rig::with(topology, TOKEN, |terms| terms.limits.in_flight_max = 1).await;
        let mut first_client = rig.decisions();
        let first =
            tokio::spawn(async move { first_client.decide(caller().request(ask("wait"))).await });
        soon("the first call's arrival", rig.probe.hanging.notified()).await;
        let status = rig
            .decisions()
            .decide(caller().request(ask("echo")))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{topology:?}");
        assert_eq!(reason_of(&status), Some(Reason::Overloaded), "{topology:?}");
        assert!(retry_after_of(&status).is_some(), "{topology:?}");
        rig.probe.gate.cancel();
        soon("the first call", first).await.unwrap().unwrap();
        rig.decisions()
            .decide(caller().request(ask("echo")))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_with_the_limit() {
    for topology in BOTH {
        let rig = Rig::with(topology, TOKEN, |t| t.limits.message_bytes_max = 100_000).await;
        let sized = |bytes: usize| caller().request(ask(&"x".repeat(bytes)));
        rig.decisions().decide(sized(99_000)).await.unwrap();
        let status = rig.decisions().decide(sized(5_000_000)).await.unwrap_err();
        assert_eq!(status.code(), Code::OutOfRange, "{topology:?}");
        assert_eq!(
            reason_of(&status),
            Some(Reason::PayloadTooLarge),
            "{topology:?}"
        );
        let limit = metadata_of(&status, "limit_bytes");
        assert_eq!(limit.as_deref(), Some("100000"), "{topology:?}");
    }
}

#[tokio::test]
async fn messages_between_services_may_be_larger_than_tonics_default() {
    for topology in BOTH {
        let rig = Rig::new(topology).await;
        let request = caller().request(ask(&"x".repeat(10 << 20)));
        soon("a large call", async {
            rig.decisions().decide(request).await
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn endless_streams_end_when_the_process_drains() {
    for topology in BOTH {
        let rig = Rig::new(topology).await;
        let request = system_request(read("hang"));
        let mut log = rig.log().read_log(request).await.unwrap().into_inner();
        assert!(log.message().await.unwrap().is_some(), "{topology:?}");
        rig.health.drain().await;
        let status = soon("the stream", log.message()).await.unwrap_err();
        assert_eq!(
            reason_of(&status),
            Some(Reason::ShuttingDown),
            "{topology:?}"
        );
    }
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_unavailable_by_name_and_found_when_it_comes() {
    let port = attune_testkit::ReservedPort::new();
    let address = port.address();
    let terms = Internal::new(PeerToken::new(TOKEN).unwrap());
    let channel = Channel::tcp("catalog", &format!("http://{address}"), &terms).unwrap();
    let mut client =
        attune_api::rules::v1::decision_service_client::DecisionServiceClient::new(channel);
    let begin = Instant::now();
    for _ in 0..20 {
        let status = client
            .decide(caller().request(ask("echo")))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(reason_of(&status), Some(Reason::ServiceUnavailable));
        assert_eq!(metadata_of(&status, "service").as_deref(), Some("catalog"));
        assert!(retry_after_of(&status).is_some());
    }
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "a peer that is down must not cost time"
    );

    let listener = port.listen();
    let routes = tonic::service::Routes::new(
        attune_api::rules::v1::decision_service_server::DecisionServiceServer::new(
            support::Probe::default(),
        ),
    );
    let router = attune_rpc::internal_router(routes, &terms, &Default::default());
    tokio::spawn(attune_rpc::serve(
        listener,
        router,
        Default::default(),
        std::future::pending(),
    ));
    soon("finding the peer", async {
        while client.decide(caller().request(ask("echo"))).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_method_of_another_process_is_unknown() {
    for topology in BOTH {
        let rig = Rig::new(topology).await;
        let mut other = attune_api::catalog::v1::catalog_service_client::CatalogServiceClient::new(
            rig.channel.clone(),
        );
        let request = caller().request(Default::default());
        let status = other.get_item(request).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{topology:?}");
        assert_eq!(
            reason_of(&status),
            Some(Reason::MethodUnknown),
            "{topology:?}"
        );
    }
}
