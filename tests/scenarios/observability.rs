//! One call is one trace through every service it touches, and what is measured reaches
//! the collector.

use std::collections::BTreeMap;

use attune_api::gateway::v1::personalization_service_client::PersonalizationServiceClient;
use attune_e2e::{
    Deployment, PATIENCE, Topology,
    collector::{CLIENT, Collector, SERVER, Span},
    on_both_topologies, shop, wait_until,
};
use tonic::transport::Channel;

on_both_topologies!(one_call_is_one_trace_and_is_measured);

const PERSONALIZE: &str = "attune.gateway.v1.PersonalizationService/Personalize";
/// What the call touches, and the process that has it.
const TOUCHED: [(&str, &str); 3] = [
    (
        "attune.profile.v1.ProfileService/GetSnapshot",
        "attune-profile",
    ),
    (
        "attune.rules.v1.DecisionService/Decide",
        "attune-rule-engine",
    ),
    (
        "attune.catalog.v1.CatalogService/BatchGetItems",
        "attune-catalog",
    ),
];

async fn one_call_is_one_trace_and_is_measured(topology: Topology) {
    let collector = Collector::start().await;
    let settings = [
        ("telemetry.otlp_endpoint", collector.url()),
        ("telemetry.metric_interval_ms", "200"),
        ("telemetry.log_filter", "info,attune_rpc=debug"),
    ];
    let deployment = Deployment::with(topology, &settings).await;
    let api = deployment.api();
    shop::import(&api).await;
    shop::track(&api, shop::viewed("sam", "tents-1")).await;

    let trace_id = uuid::Uuid::new_v4().simple().to_string();
    ask(&deployment, &trace_id).await;
    wait_until("the trace is complete", PATIENCE, || async {
        let spans = collector.trace(&trace_id);
        let served = |name: &str| spans.iter().any(|s| s.name == name && s.kind == SERVER);
        served(PERSONALIZE) && TOUCHED.iter().all(|(name, _)| served(name))
    })
    .await;
    check_parents(&collector.trace(&trace_id), topology);

    wait_until("the metrics have arrived", PATIENCE, || async {
        let metrics = collector.metrics();
        let sent = |process: &str, metric: &str| {
            let process = process_name(topology, process);
            metrics.contains(&(process, metric.to_owned()))
        };
        let domain = metrics.iter().any(|(_, name)| name.starts_with("attune."));
        domain
            && sent("attune-gateway", "rpc.client.call.duration")
            && sent("attune-gateway", "rpc.server.call.duration")
            && TOUCHED
                .iter()
                .all(|(_, process)| sent(process, "rpc.server.call.duration"))
    })
    .await;

    let logs = deployment.logs();
    let lines = logs.lines().filter(|line| line.contains(&trace_id));
    let methods: Vec<_> = TOUCHED.iter().map(|(name, _)| *name).collect();
    let told: Vec<_> = lines.collect();
    for method in methods {
        let found = told.iter().any(|line| line.contains(method));
        assert!(found, "no log line of {method} carries the trace");
    }
}

/// Personalize over gRPC, as part of a trace that began at the caller.
async fn ask(deployment: &Deployment, trace_id: &str) {
    let channel = Channel::from_shared(deployment.url())
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut request = tonic::Request::new(shop::question_message("sam", "home", 5));
    let headers = request.metadata_mut();
    let key = format!("Bearer {}", attune_e2e::ADMIN_KEY);
    headers.insert("authorization", key.parse().unwrap());
    let parent = format!("00-{trace_id}-00f067aa0ba902b7-01");
    headers.insert("traceparent", parent.parse().unwrap());
    let answer = PersonalizationServiceClient::new(channel)
        .personalize(request)
        .await
        .unwrap();
    assert!(answer.get_ref().degradations.is_empty(), "{answer:?}");
}

fn process_name(topology: Topology, process: &str) -> String {
    match topology {
        Topology::OneProcess => "attune".to_owned(),
        Topology::FiveProcesses => process.to_owned(),
    }
}

/// Every service's span hangs below a client's span of the same method, and that below
/// the door's.
fn check_parents(spans: &[Span], topology: Topology) {
    let by_id: BTreeMap<_, _> = spans.iter().map(|span| (span.id.as_str(), span)).collect();
    let find = |name: &str, kind: i32| {
        let mut found = spans.iter().filter(|s| s.name == name && s.kind == kind);
        found
            .next()
            .unwrap_or_else(|| panic!("no span {name} of kind {kind} in {spans:#?}"))
    };
    let door = find(PERSONALIZE, SERVER);
    assert_eq!(door.process, process_name(topology, "attune-gateway"));
    for (name, process) in TOUCHED {
        let server = find(name, SERVER);
        assert_eq!(server.process, process_name(topology, process));
        let client = by_id
            .get(server.parent_id.as_str())
            .unwrap_or_else(|| panic!("{server:?}"));
        assert_eq!((client.name.as_str(), client.kind), (name, CLIENT));
        assert_eq!(client.process, door.process);
        let mut ancestor = *client;
        while ancestor.id != door.id {
            let parent = by_id.get(ancestor.parent_id.as_str());
            ancestor = parent.unwrap_or_else(|| panic!("{name} does not hang below the door"));
        }
    }
}
