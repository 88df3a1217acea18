//! A process that is asked to leave finishes what it began, and leaves with 0.

use attune_e2e::{Deployment, Service, Topology, on_both_topologies, shop};

use crate::load::{Load, all_there};

on_both_topologies!(leaving_in_order_loses_nothing);

async fn leaving_in_order_loses_nothing(topology: Topology) {
    let mut deployment = Deployment::start(topology).await;
    let api = deployment.api();
    shop::import(&api).await;
    let shown = shop::personalize(&api, "mia", "home", 3).await;
    let decision = shown["placements"][0]["decisionId"]
        .as_str()
        .unwrap()
        .to_owned();
    let load = Load::start(&api);
    load.acknowledged(100).await;

    let leaving: &[Service] = match topology {
        Topology::OneProcess => &[Service::Gateway],
        Topology::FiveProcesses => &[Service::Profile, Service::RuleEngine, Service::Gateway],
    };
    for service in leaving {
        let exit = deployment.terminate(*service).await;
        assert_eq!(exit.code(), Some(0), "{service:?}");
        deployment.restart(*service).await;
    }
    load.acknowledged(50).await;
    let acknowledged = load.stop().await;
    all_there(&api, &acknowledged).await;
    // The decision was answered before it was stored; leaving stored it.
    let stored = api.get(&format!("/v1/decisions/{decision}")).await.ok();
    assert_eq!(
        stored["slots"].as_array().map(Vec::len),
        Some(3),
        "{stored}"
    );
}
