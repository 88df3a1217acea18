//! Clients that others wrote: a Python gRPC client that learns the contract by
//! reflection, Segment's SDK for Node, and curl.

use std::path::{Path, PathBuf};

use attune_e2e::{ADMIN_KEY, Deployment, PATIENCE, Topology, on_both_topologies, repository, shop};
use serde_json::Value;
use tokio::{process::Command, time::timeout};

on_both_topologies!(
    a_python_client_needs_reflection_only,
    segments_sdk_works_unchanged,
    curl_is_enough,
);

fn folder() -> PathBuf {
    repository().join("tests/foreign")
}

fn installed(path: &Path) -> &Path {
    let what = path.display();
    assert!(
        path.exists(),
        "{what} is missing: run `cargo xtask foreign`"
    );
    path
}

/// Runs a client to its end, and gives what it printed.
async fn run(program: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(folder())
        .kill_on_drop(true);
    let output = timeout(PATIENCE, command.output())
        .await
        .expect("it ends in time");
    let output = output.unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{printed}{errors}",
        program.display()
    );
    printed
}

async fn a_python_client_needs_reflection_only(topology: Topology) {
    let python = folder().join(".venv/bin/python");
    installed(&python);
    let deployment = Deployment::start(topology).await;
    shop::import(&deployment.api()).await;
    let url = deployment.url();
    let address = url.trim_start_matches("http://");
    let printed = run(&python, &["reflect.py", address, ADMIN_KEY, "uma"]).await;
    assert_eq!(printed.trim(), "ok");
}

async fn segments_sdk_works_unchanged(topology: Topology) {
    installed(&folder().join("node_modules/@segment/analytics-node"));
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    shop::import(&api).await;
    let arguments = ["segment.mjs", &deployment.url(), ADMIN_KEY, "vera"];
    let printed = run(Path::new("node"), &arguments).await;
    assert_eq!(printed.trim(), "ok");

    let id = shop::profile_of(&api, "vera").await;
    let profile = api.get(&format!("/v1/profiles/{id}")).await.ok();
    assert_eq!(profile["traits"]["plan"], "gold", "{profile}");
    assert_eq!(profile["groups"][0]["groupId"], "club", "{profile}");
    let identities = profile["identities"].as_array().expect("identities");
    for value in ["vera", "vera-browser", "vera-before"] {
        assert!(
            identities.iter().any(|i| i["value"] == value),
            "{value}: {profile}"
        );
    }
    let events = api.get(&format!("/v1/profiles/{id}/events")).await.ok();
    let events = events["events"].as_array().expect("a timeline").clone();
    let mut types: Vec<_> = events.iter().filter_map(|e| e["type"].as_str()).collect();
    types.sort_unstable();
    assert_eq!(types, ["page", "purchase", "screen", "view"], "{events:?}");
}

async fn curl_is_enough(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    shop::import(&deployment.api()).await;
    let url = format!("{}/v1/personalize", deployment.url());
    let key = format!("authorization: Bearer {ADMIN_KEY}");
    let question = shop::question("wim", "home", 3).to_string();
    let arguments = [
        "--silent",
        "--fail-with-body",
        "-H",
        &key,
        "--json",
        &question,
        &url,
    ];
    let printed = run(Path::new("curl"), &arguments).await;
    let answer: Value = serde_json::from_str(&printed).expect("it is JSON");
    assert_eq!(shop::slots(&answer, 0).len(), 3, "{answer}");
}
