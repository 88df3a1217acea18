//! Tenants share a deployment and nothing else.

use attune_e2e::{
    Api, Deployment, Topology, on_both_topologies,
    shop::{self, personalize, shown, track, viewed},
};
use serde_json::{Value, json};

on_both_topologies!(workspaces_share_nothing);

async fn workspace(api: &Api, id: &str) -> Api {
    let made = api
        .post("/v1/workspaces", json!({"workspaceId": id}))
        .await
        .ok();
    api.with_key(
        made["adminKey"]["secret"]
            .as_str()
            .expect("the first key is shown"),
    )
}

async fn workspaces_share_nothing(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let (north, south) = {
        let api = deployment.api();
        (
            workspace(&api, "north").await,
            workspace(&api, "south").await,
        )
    };
    shop::import(&north).await;
    shop::import(&south).await;

    // The same ids, apart.
    track(&north, viewed("pia", "tents-1")).await;
    let ours = shop::profile_of(&north, "pia").await;
    let theirs = south
        .get("/v1/profiles:lookup?namespace=user_id&value=pia")
        .await;
    assert_eq!(theirs.reason(), "RESOURCE_NOT_FOUND", "{}", theirs.text);
    let theirs = south.get(&format!("/v1/profiles/{ours}")).await;
    assert_eq!(theirs.reason(), "RESOURCE_NOT_FOUND", "{}", theirs.text);

    let pin = json!({"action": {"pin": {"position": 1, "itemIds": ["packs-6"]}}});
    shop::rule(&north, "ours", pin).await;
    assert_eq!(
        shown(&personalize(&north, "pia", "home", 3).await)[0],
        "packs-6"
    );
    assert_eq!(
        south.get("/v1/rules/ours").await.reason(),
        "RESOURCE_NOT_FOUND"
    );
    let answer = personalize(&south, "pia", "home", 3).await;
    assert!(
        answer["profile"]["id"]
            .as_str()
            .unwrap_or_default()
            .is_empty(),
        "{answer}"
    );
    assert_ne!(shown(&answer)[0], "packs-6", "{answer}");

    south.delete("/v1/items/boots-1").await.ok();
    north.get("/v1/items/boots-1").await.ok();

    // A message id is a duplicate only among its own.
    let event = json!({"userId": "rosa", "messageId": "the-same", "event": "x"});
    for api in [&north, &south] {
        track(api, event.clone()).await;
        let profile = shop::profile_of(api, "rosa").await;
        assert_eq!(shop::timeline(api, &profile).await, ["the-same"]);
    }

    // A decision's token means nothing elsewhere.
    let token =
        personalize(&north, "pia", "home", 1).await["placements"][0]["slots"][0]["token"].clone();
    let report = json!({"outcomes": [{"token": token, "type": "CLICK"}]});
    let refused = south.post("/v1/outcomes:report", report).await;
    assert_eq!(refused.reason(), "TOKEN_INVALID", "{}", refused.text);

    // Nobody but the workspace `default` makes workspaces.
    let refused = north
        .post("/v1/workspaces", json!({"workspaceId": "east"}))
        .await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    let listed: Value = deployment.api().get("/v1/workspaces").await.ok();
    assert_eq!(
        listed["workspaces"].as_array().map(Vec::len),
        Some(3),
        "{listed}"
    );
}
