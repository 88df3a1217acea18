//! The main job: a shop is imported, behaviour is tracked, and what a person is shown
//! follows from both, at once and with reasons.

use attune_e2e::{
    Deployment, Topology, on_both_topologies,
    shop::{self, bought, personalize, shown, slots, track, viewed},
};
use serde_json::{Value, json};

on_both_topologies!(
    a_person_is_shown_items_with_reasons,
    a_product_just_viewed_changes_the_next_answer,
    events_in_the_request_count_for_its_own_answer,
    a_stranger_becomes_known_with_everything_so_far,
);

async fn a_person_is_shown_items_with_reasons(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    shop::import(&api).await;
    for user in ["ada", "ben", "cleo"] {
        track(&api, viewed(user, "tents-2")).await;
        track(&api, bought(user, &["tents-2", "stoves-1"])).await;
    }
    let answer = personalize(&api, "ada", "home", 10).await;
    assert_eq!(answer["basis"], "FULL");
    assert_eq!(
        answer["degradations"].as_array().map_or(0, Vec::len),
        0,
        "{answer}"
    );
    assert!(
        !answer["profile"]["id"]
            .as_str()
            .unwrap_or_default()
            .is_empty()
    );
    let placement = &answer["placements"][0];
    assert_eq!(placement["strategy"], "default");
    assert!(
        !placement["decisionId"]
            .as_str()
            .unwrap_or_default()
            .is_empty()
    );
    assert_eq!(slots(&answer, 0).len(), 10);
    for slot in slots(&answer, 0) {
        assert!(
            slot["item"]["title"][""].is_string(),
            "items are hydrated: {slot}"
        );
        assert!(
            !slot["token"].as_str().unwrap_or_default().is_empty(),
            "{slot}"
        );
        let reasons = slot["reasons"].as_array().expect("a slot has reasons");
        assert!(
            reasons
                .iter()
                .all(|r| !r["text"].as_str().unwrap_or_default().is_empty())
        );
        assert!(!reasons.is_empty(), "{slot}");
    }
    let mut ids = shown(&answer);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 10, "no item is shown twice");
}

async fn a_product_just_viewed_changes_the_next_answer(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    shop::import(&api).await;
    for item in ["boots-1", "tents-3", "packs-5"] {
        let before = personalize(&api, "dora", "home", 10).await;
        assert!(!led_by(&before, item), "{item} is news");
        track(&api, viewed("dora", item)).await;
        let after = personalize(&api, "dora", "home", 10).await;
        assert!(led_by(&after, item), "{item} must count at once: {after}");
    }
}

/// Whether any slot is there because of this item.
fn led_by(answer: &Value, item: &str) -> bool {
    slots(answer, 0).iter().any(|slot| {
        let mut reasons = slot["reasons"].as_array().into_iter().flatten();
        reasons.any(|reason| {
            let recently = reason["source"]["kind"] == "recently_viewed";
            reason["relatedItemId"] == item || (recently && slot["item"]["itemId"] == item)
        })
    })
}

async fn events_in_the_request_count_for_its_own_answer(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    shop::import(&api).await;
    let mut question = shop::question("emil", "home", 10);
    question["events"] = json!([{
        "messageId": shop::message_id(),
        "event": "Product Viewed",
        "properties": {"product_id": "stoves-4"},
    }]);
    let answer = api.post("/v1/personalize", question).await.ok();
    assert!(led_by(&answer, "stoves-4"), "{answer}");
    let profile = shop::profile_of(&api, "emil").await;
    assert_eq!(shop::timeline(&api, &profile).await.len(), 1);
}

async fn a_stranger_becomes_known_with_everything_so_far(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    shop::import(&api).await;
    let mut event = viewed("", "packs-2");
    event["anonymousId"] = json!("browser-7");
    event.as_object_mut().unwrap().remove("userId");
    track(&api, event).await;
    let identify = json!({
        "userId": "fay",
        "anonymousId": "browser-7",
        "messageId": shop::message_id(),
        "traits": {"plan": "gold"},
    });
    api.post("/v1/identify", identify).await.ok();
    let answer = personalize(&api, "fay", "home", 10).await;
    assert!(led_by(&answer, "packs-2"), "{answer}");
    let id = shop::profile_of(&api, "fay").await;
    let profile = api.get(&format!("/v1/profiles/{id}")).await.ok();
    assert_eq!(profile["traits"]["plan"], "gold");
    assert_eq!(profile["identities"].as_array().map(Vec::len), Some(2));
}
