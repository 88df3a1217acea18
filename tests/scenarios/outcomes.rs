//! What people did with what they were shown: told by token, counted once, and never on
//! a stranger's word.

use attune_e2e::{
    Deployment, PATIENCE, Topology, on_both_topologies,
    shop::{self, personalize, slots},
    wait_until,
};
use serde_json::{Value, json};

on_both_topologies!(
    outcomes_are_counted_once_and_kept_with_the_decision,
    a_forged_token_is_refused_and_nothing_is_written,
);

fn token(answer: &Value, slot: usize) -> String {
    let token = slots(answer, 0)[slot]["token"].as_str();
    token.expect("a slot has a token").to_owned()
}

async fn outcomes_are_counted_once_and_kept_with_the_decision(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    shop::import(&api).await;
    let answer = personalize(&api, "jon", "home", 3).await;
    let report = json!({"outcomes": [
        {"token": token(&answer, 0), "type": "EXPOSURE"},
        {"token": token(&answer, 1), "type": "CLICK"},
        {"token": token(&answer, 1), "type": "CONVERSION", "value": 39.9, "outcomeId": "order-1"},
    ]});
    let first = api.post("/v1/outcomes:report", report.clone()).await.ok();
    assert_eq!(first["acceptedCount"], 3, "{first}");
    let again = api.post("/v1/outcomes:report", report).await.ok();
    assert_eq!(again["acceptedCount"].as_i64().unwrap_or(0), 0, "{again}");
    assert_eq!(again["duplicateCount"], 3, "{again}");

    let id = answer["placements"][0]["decisionId"]
        .as_str()
        .unwrap()
        .to_owned();
    // The decision itself is written behind the answer.
    wait_until("the decision is stored", PATIENCE, || async {
        api.get(&format!("/v1/decisions/{id}")).await.is_ok()
    })
    .await;
    let decision = api.get(&format!("/v1/decisions/{id}")).await.ok();
    assert_eq!(decision["placement"], "home");
    assert_eq!(decision["slots"].as_array().map(Vec::len), Some(3));
    let outcomes = decision["outcomes"].as_array().expect("outcomes are kept");
    let mut kept: Vec<_> = outcomes
        .iter()
        .map(|o| (o["position"].as_i64().unwrap(), o["type"].as_str().unwrap()))
        .collect();
    kept.sort_unstable();
    assert_eq!(kept, [(1, "EXPOSURE"), (2, "CLICK"), (2, "CONVERSION")]);
}

async fn a_forged_token_is_refused_and_nothing_is_written(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    shop::import(&api).await;
    let answer = personalize(&api, "kim", "home", 2).await;
    let honest = token(&answer, 0);
    let middle = honest.len() / 2;
    let other = if honest.as_bytes()[middle] == b'A' {
        "B"
    } else {
        "A"
    };
    let forged = format!("{}{other}{}", &honest[..middle], &honest[middle + 1..]);
    let report = json!({"outcomes": [
        {"token": honest, "type": "CLICK"},
        {"token": forged, "type": "CLICK"},
        {"token": "nonsense", "type": "CLICK"},
    ]});
    let refused = api.post("/v1/outcomes:report", report).await;
    assert_eq!(refused.reason(), "TOKEN_INVALID", "{}", refused.text);
    assert_eq!(
        refused.violations(),
        ["outcomes[1].token", "outcomes[2].token"]
    );
    // All or nothing: the honest one was not taken either.
    let report = json!({"outcomes": [{"token": token(&answer, 0), "type": "CLICK"}]});
    let accepted = api.post("/v1/outcomes:report", report).await.ok();
    assert_eq!(accepted["acceptedCount"], 1, "{accepted}");
}
