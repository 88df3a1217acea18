//! Nobody is shown what is not for them, what they have, what they sent away or what
//! they have seen often enough; from a catalog's word to the customer's page.

use attune_e2e::{
    Api, Deployment, PATIENCE, Topology, on_both_topologies,
    shop::{self, personalize, shown, slots},
    wait_until,
};
use serde_json::{Value, json};

on_both_topologies!(
    an_item_is_shown_to_its_audience_and_in_its_language,
    what_was_bought_or_dismissed_is_not_shown_again,
    what_was_seen_often_enough_gives_way,
    a_broken_audience_is_refused_with_its_place,
);

const CHOSEN: [&str; 4] = ["tents-1", "tents-2", "tents-3", "tents-4"];

/// A shop whose window an editor has filled, in this order.
async fn window(api: &Api, strategy: Value, placement: Value) {
    shop::import(api).await;
    let mut strategy = strategy;
    strategy["strategyId"] = json!("chosen");
    strategy["sources"] = json!([{"kind": "EDITORIAL", "params": {"itemIds": CHOSEN}}]);
    strategy["filter"] = json!(r#"item.categories.exists(c, c == "tents") && item.price <= 80.0"#);
    api.post("/v1/strategies?strategyId=chosen", strategy)
        .await
        .ok();
    let mut placement = placement;
    placement["strategy"] = json!("chosen");
    shop::place(api, "window", placement).await;
}

async fn in_window(api: &Api, user: &str) -> Vec<String> {
    shown(&personalize(api, user, "window", 4).await)
}

/// Tells what became of an item in an answer.
async fn report(api: &Api, answer: &Value, item: &str, kind: &str) {
    let mut slots = slots(answer, 0).iter();
    let slot = slots.find(|slot| slot["item"]["itemId"] == item);
    let token = slot.expect("the item is shown")["token"].clone();
    let outcomes = json!({"outcomes": [{"token": token, "type": kind}]});
    let reported = api.post("/v1/outcomes:report", outcomes).await.ok();
    assert_eq!(reported["acceptedCount"], 1, "{reported}");
}

async fn an_item_is_shown_to_its_audience_and_in_its_language(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    window(&api, json!({}), json!({})).await;
    for (user, age) in [("ada", 40), ("bo", 12)] {
        let identify = json!({
            "userId": user,
            "messageId": shop::message_id(),
            "traits": {"age": age},
        });
        api.post("/v1/identify", identify).await.ok();
    }
    let grown = json!({"audience": "profile.age >= 18"});
    let changed = api.patch("/v1/items/tents-1", grown).await.ok();
    assert_eq!(changed["audience"], "profile.age >= 18");
    let german = json!({"locales": ["de"], "replenishable": true, "replenishmentDays": 30});
    let changed = api.patch("/v1/items/tents-2", german).await.ok();
    assert_eq!(changed["audience"].as_str().unwrap_or_default(), "");
    assert_eq!(changed["replenishmentDays"], 30.0);
    // `item.replenishable && "de" in item.locales`
    let filter = "item.replenishable%20%26%26%20%22de%22%20in%20item.locales";
    let found = api.get(&format!("/v1/items?filter={filter}")).await.ok();
    assert_eq!(found["items"][0]["itemId"], "tents-2");
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1));
    wait_until("the audience holds", PATIENCE, || async {
        in_window(&api, "bo").await == CHOSEN[1..]
    })
    .await;
    assert_eq!(in_window(&api, "ada").await, CHOSEN);
    assert_eq!(in_window(&api, "someone-new").await, CHOSEN[1..]);
    let speaking = |locale: &str| {
        let mut question = shop::question("ada", "window", 4);
        question["context"] = json!({"locale": locale});
        let api = api.clone();
        async move { shown(&api.post("/v1/personalize", question).await.ok()) }
    };
    wait_until("the language holds", PATIENCE, || async {
        !speaking("fr-CH").await.contains(&"tents-2".to_owned())
    })
    .await;
    assert_eq!(speaking("de-AT").await, CHOSEN);
}

async fn what_was_bought_or_dismissed_is_not_shown_again(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    window(&api, json!({}), json!({})).await;
    assert_eq!(in_window(&api, "cy").await, CHOSEN);
    shop::track(&api, shop::bought("cy", &["tents-1"])).await;
    // The very next answer knows.
    assert_eq!(in_window(&api, "cy").await, CHOSEN[1..]);
    let answer = personalize(&api, "cy", "window", 4).await;
    report(&api, &answer, "tents-3", "DISMISS").await;
    assert_eq!(in_window(&api, "cy").await, ["tents-2", "tents-4"]);
    assert_eq!(in_window(&api, "di").await, CHOSEN);
}

async fn what_was_seen_often_enough_gives_way(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    let caps = json!([{"scope": "ITEM", "exposureMax": 2, "days": 7}]);
    let fatigue = json!({"halfExposures": 1});
    window(&api, json!({"fatigue": fatigue}), json!({"caps": caps})).await;
    // Of those whom nobody knows, nothing is remembered.
    shop::track(&api, shop::viewed("ed", "packs-1")).await;
    let answer = personalize(&api, "ed", "window", 4).await;
    assert_eq!(shown(&answer), CHOSEN);
    report(&api, &answer, "tents-1", "EXPOSURE").await;
    let answer = personalize(&api, "ed", "window", 4).await;
    let worn = ["tents-2", "tents-1", "tents-3", "tents-4"];
    assert_eq!(shown(&answer), worn);
    report(&api, &answer, "tents-1", "EXPOSURE").await;
    assert_eq!(in_window(&api, "ed").await, CHOSEN[1..]);
    assert_eq!(in_window(&api, "flo").await, CHOSEN);
}

async fn a_broken_audience_is_refused_with_its_place(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    shop::import(&api).await;
    let broken = json!({
        "audience": "profile.age >= 18 &&",
        "locales": ["de", "german!"],
        "replenishmentDays": 3,
    });
    let answer = api.patch("/v1/items/tents-1", broken).await;
    assert_eq!(answer.reason(), "INVALID_FIELDS", "{}", answer.text);
    let expected = [
        "item.audience",
        "item.locales[1]",
        "item.replenishment_days",
    ];
    assert_eq!(answer.violations(), expected);
    assert!(answer.text.contains("1:21"), "{}", answer.text);
}
