//! What a listener owes: health, both protocols on one port, certificates, and that a
//! process which is told to stop finishes what it began.

#![allow(clippy::unwrap_used, clippy::panic)] // Tests fail by panicking.

mod support;

use std::time::Duration;

use attune_errors::{Reason, reason_of};
use attune_rpc::{Caller, Workspace};
use support::{Rig, Topology, ask, soon};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

fn caller() -> Caller {
    Caller::new(Workspace::default())
}

/// Status line of a GET over HTTP/1.1.
async fn get(rig: &Rig, path: &str) -> String {
    let mut stream = TcpStream::connect(rig.address.unwrap()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn health_is_told_over_http_and_grpc_without_a_credential() {
    let rig = Rig::new(Topology::Tcp).await;
    assert_eq!(get(&rig, "/livez").await, "HTTP/1.1 200 OK");
    assert_eq!(get(&rig, "/readyz").await, "HTTP/1.1 200 OK");
    let channel = tonic::transport::Channel::builder(
        format!("http://{}", rig.address.unwrap()).parse().unwrap(),
    );
    let mut health = HealthClient::new(channel.connect().await.unwrap());
    let service = "attune.rules.v1.DecisionService".to_owned();
    let request = HealthCheckRequest { service };
    let answer = health.check(request.clone()).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);

    let mut watch = health.watch(request).await.unwrap().into_inner();
    assert_eq!(
        watch.message().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );
    rig.health.drain().await;
    let last = watch.message().await;
    match last {
        Ok(Some(answer)) => assert_eq!(answer.status(), ServingStatus::NotServing),
        Ok(None) => panic!("the watch ended without a word"),
        Err(status) => assert_eq!(reason_of(&status), Some(Reason::ShuttingDown)),
    }
    assert_eq!(get(&rig, "/livez").await, "HTTP/1.1 200 OK");
    assert_eq!(
        get(&rig, "/readyz").await,
        "HTTP/1.1 503 Service Unavailable"
    );
}

#[tokio::test]
async fn a_server_that_stops_finishes_what_it_began_and_accepts_no_more() {
    let mut rig = Rig::new(Topology::Tcp).await;
    let mut client = rig.decisions();
    let call = tokio::spawn(async move { client.decide(caller().request(ask("wait"))).await });
    soon("the call's arrival", rig.probe.hanging.notified()).await;

    rig.stop.cancel();
    soon("draining", rig.health.draining().cancelled()).await;
    soon("closing the door", async {
        while TcpStream::connect(rig.address.unwrap()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let mut server = rig.server.take().unwrap();
    assert!(!server.is_finished());
    rig.probe.gate.cancel();
    soon("the call", call).await.unwrap().unwrap();
    soon("the server's end", &mut server)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_call_that_breaks_off_is_unavailable() {
    let mut rig = Rig::new(Topology::Tcp).await;
    let mut client = rig.decisions();
    let call = tokio::spawn(async move { client.decide(caller().request(ask("wait"))).await });
    soon("the call's arrival", rig.probe.hanging.notified()).await;
    rig.server.take().unwrap().abort();
    let status = soon("the call", call).await.unwrap().unwrap_err();
    assert_eq!(reason_of(&status), Some(Reason::ServiceUnavailable));
}
