//! Acknowledged means durable: a process that is killed under load loses nothing it
//! answered for.

use attune_e2e::{Deployment, PATIENCE, Service, Topology, on_both_topologies, shop, wait_until};
use serde_json::json;

use crate::load::{Load, all_there};

on_both_topologies!(
    what_was_acknowledged_survives_a_kill,
    what_was_learnt_survives_a_power_cut,
);

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

async fn what_was_learnt_survives_a_power_cut(topology: Topology) {
    let mut deployment = Deployment::start(topology).await;
    let api = deployment.api();
    shop::import(&api).await;
    let popular = json!({"strategyId": "popular", "sources": [{"kind": "POPULAR"}]});
    api.post("/v1/strategies?strategyId=popular", popular)
        .await
        .ok();
    shop::place(&api, "top", json!({"strategy": "popular"})).await;
    for number in 0..20 {
        let user = format!("visitor-{number}");
        shop::track(&api, shop::bought(&user, &["stoves-5"])).await;
        if number % 4 == 0 {
            shop::track(&api, shop::bought(&user, &["boots-4"])).await;
        }
    }
    let load = Load::start(&api);
    load.acknowledged(100).await;
    deployment.kill_all().await;
    deployment.restart_all().await;
    load.acknowledged(100).await;
    let acknowledged = load.stop().await;
    all_there(&api, &acknowledged).await;

    // Whether the rule engine had learnt it before or had to read it again.
    wait_until("the best sellers are known", PATIENCE, || {
        let answer = shop::personalize(&api, "a-new-visitor", "top", 2);
        async { shop::shown(&answer.await) == ["stoves-5", "boots-4"] }
    })
    .await;
}
