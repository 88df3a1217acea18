//! Starting: every fault of the configuration is told at once, a port that is taken is
//! told before anything is touched, and the same program runs on PostgreSQL.

use attune_e2e::{Deployment, Service, Topology, attempt, on_both_topologies, shop};
use attune_testkit::TestDatabase;

#[tokio::test]
async fn all_faults_of_the_configuration_are_told_at_once() {
    let settings = [
        ("listn", "127.0.0.1:0"),
        ("draining.finish_ms", "soon"),
        ("telemetry.trace_sample_ratio", "2"),
        ("services", "profile,psychic"),
    ];
    let (exit, told) = attempt(&settings).await;
    assert_eq!(exit, Some(2), "{told}");
    for (key, _) in settings {
        assert!(told.contains(key), "{key} is not told: {told}");
    }
    assert!(told.contains("did you mean"), "{told}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (exit, told) = attempt(&[("listen", &address)]).await;
    assert_eq!(exit, Some(1), "{told}");
    assert!(told.contains(&address), "{told}");
}

on_both_topologies!(the_main_job_runs_on_postgresql);

async fn the_main_job_runs_on_postgresql(topology: Topology) {
    // Before the deployment, so that it goes after it.
    let postgres = TestDatabase::postgres("e2e").await;
    let mut deployment = Deployment::with(
        topology,
        &[
            ("database.url", postgres.url()),
            ("encryption.master_keys", &"5eaf00d5".repeat(8)),
        ],
    )
    .await;
    let api = deployment.api();
    shop::import(&api).await;
    shop::track(&api, shop::viewed("xena", "tents-1")).await;
    let before = shop::personalize(&api, "xena", "home", 5).await;
    assert_eq!(shop::slots(&before, 0).len(), 5, "{before}");
    for service in Service::ALL {
        if topology == Topology::FiveProcesses || service == Service::Gateway {
            deployment.kill(service).await;
            deployment.restart(service).await;
        }
    }
    let profile = shop::profile_of(&api, "xena").await;
    assert_eq!(shop::timeline(&api, &profile).await.len(), 1);
}
