//! Acknowledged means durable: a process that is killed under load loses nothing it
//! answered for.

use attune_e2e::{Deployment, Service, Topology, on_both_topologies, shop};

use crate::load::{Load, all_there};

on_both_topologies!(what_was_acknowledged_survives_a_kill);

async fn what_was_acknowledged_survives_a_kill(topology: Topology) {
    let mut deployment = Deployment::start(topology).await;
    let api = deployment.api();
    shop::import(&api).await;
    let load = Load::start(&api);
    load.acknowledged(200).await;
    deployment.kill(Service::Profile).await;
    deployment.restart(Service::Profile).await;
    // The same callers, on the same connections, go on.
    load.acknowledged(200).await;
    let acknowledged = load.stop().await;
    all_there(&api, &acknowledged).await;

    // What others made of it is there as well: the rule engine catches up and answers.
    let answer = shop::personalize(&api, "loader-0", "home", 5).await;
    assert_eq!(shop::slots(&answer, 0).len(), 5, "{answer}");
}
