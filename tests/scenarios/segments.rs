//! What is concluded of people counts for what they are shown at once, and only while
//! they allow it: segments and computed traits, declared and used as a shop would.

use attune_e2e::{
    Api, Deployment, PATIENCE, Topology, on_both_topologies,
    shop::{self, bought, personalize, shown, track, viewed},
    wait_until,
};
use serde_json::{Value, json};

on_both_topologies!(
    what_is_concluded_of_a_person_changes_the_next_answer,
    a_browser_that_wants_no_profile_gets_context_alone,
    whoever_wants_no_personalization_gets_what_everybody_gets,
);

/// Traits, an event type and a segment; everything over HTTP.
async fn declare(api: &Api) {
    for declared in [
        json!({"traitId": "plan", "type": "TRAIT_TEXT"}),
        json!({"traitId": "spent", "type": "TRAIT_NUMBER",
               "expression": r#"events("purchase").within("90d").sum("revenue")"#}),
    ] {
        api.post("/v1/traits", declared).await.ok();
    }
    let rated = json!({
        "eventTypeId": "rated",
        "properties": [{"name": "stars", "type": "TRAIT_NUMBER", "required": true}],
    });
    api.post("/v1/eventTypes", rated).await.ok();
    segment(
        api,
        "vip",
        r#"profile.spent >= 80.0 && events("rated").exists()"#,
    )
    .await;
}

/// Makes a segment and waits until everybody was looked at.
async fn segment(api: &Api, id: &str, expression: &str) {
    let body = json!({"segmentId": id, "expression": expression});
    api.post("/v1/segments", body).await.ok();
    wait_until("the segment is filled", PATIENCE, || async {
        let path = format!("/v1/segments/{id}");
        api.get(&path).await.ok()["state"] == "LIVE"
    })
    .await;
}

async fn members(api: &Api, id: &str) -> Vec<Value> {
    let page = api.get(&format!("/v1/segments/{id}/members")).await.ok();
    let members = page["members"].as_array().cloned().unwrap_or_default();
    members.iter().map(|m| m["profileId"].clone()).collect()
}

fn rated(user: &str) -> Value {
    json!({
        "userId": user,
        "messageId": shop::message_id(),
        "event": "rated",
        "properties": {"stars": 5},
    })
}

/// Puts an item at a place for whom the condition holds.
async fn pin(api: &Api, position: u32, item: &str, when: &str) {
    let action = json!({"pin": {"position": position, "itemIds": [item]}});
    let rule = json!({"when": when, "action": action});
    shop::rule(api, &format!("pinned-{position}"), rule).await;
}

/// Those that an answer tells of.
fn segments_of(answer: &Value) -> Vec<Value> {
    let told = answer["profile"]["segments"].as_array();
    told.cloned().unwrap_or_default()
}

async fn what_is_concluded_of_a_person_changes_the_next_answer(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    shop::import(&api).await;
    // Bought before anybody asked: found while the trait and the segment are filled.
    track(&api, bought("nora", &["boots-1", "boots-2"])).await;
    track(&api, bought("nora", &["tents-1"])).await;
    track(&api, rated("nora")).await;
    declare(&api).await;
    let mut unrated = rated("nora");
    unrated["properties"] = json!({});
    let refused = api.post("/v1/track", unrated).await;
    assert_eq!(refused.reason(), "INVALID_FIELDS", "{}", refused.text);
    let nora = shop::profile_of(&api, "nora").await;
    wait_until("who was known before is in", PATIENCE, || async {
        members(&api, "vip").await == [json!(nora)]
    })
    .await;
    pin(&api, 1, "packs-6", r#""vip" in segments"#).await;
    pin(&api, 2, "packs-5", "profile.spent > 79.0").await;

    track(&api, bought("olga", &["boots-1", "boots-2"])).await;
    track(&api, bought("olga", &["tents-1"])).await;
    let before = personalize(&api, "olga", "home", 5).await;
    assert_ne!(shown(&before)[0], "packs-6", "{before}");
    track(&api, rated("olga")).await;
    let after = personalize(&api, "olga", "home", 5).await;
    assert_eq!(shown(&after)[..2], ["packs-6", "packs-5"], "{after}");
    assert_eq!(segments_of(&after), [json!("vip")]);

    let olga = shop::profile_of(&api, "olga").await;
    let profile = api.get(&format!("/v1/profiles/{olga}")).await.ok();
    assert_eq!(profile["segments"], json!(["vip"]));
    assert_eq!(profile["traits"]["spent"].as_f64(), Some(80.0), "{profile}");
    // Ids of profiles are given in the order of time.
    assert_eq!(members(&api, "vip").await, [json!(nora), json!(olga)]);
    let vip = api.get("/v1/segments/vip").await.ok();
    assert_eq!(vip["memberCount"], "2", "{vip}");
    let misspelt =
        json!({"ruleId": "r", "when": r#""vips" in segments"#, "action": {"exclude": {}}});
    let refused = api.post("/v1/rules", misspelt).await;
    assert_eq!(refused.reason(), "INVALID_FIELDS", "{}", refused.text);

    let consent = format!("/v1/profiles/{olga}/consents/personalization");
    api.put(&consent, json!({"granted": false})).await.ok();
    let withdrawn = personalize(&api, "olga", "home", 5).await;
    assert_eq!(withdrawn["basis"], "CONTEXT_ONLY", "{withdrawn}");
    assert_ne!(shown(&withdrawn)[0], "packs-6", "{withdrawn}");
    assert!(segments_of(&withdrawn).is_empty(), "{withdrawn}");
}

async fn a_browser_that_wants_no_profile_gets_context_alone(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    shop::import(&api).await;
    track(&api, viewed("pia", "boots-3")).await;
    assert_eq!(personalize(&api, "pia", "home", 5).await["basis"], "FULL");

    let browser = api.with_header("sec-gpc", "1");
    track(&browser, viewed("pia", "boots-4")).await;
    let after = personalize(&api, "pia", "home", 5).await;
    assert_eq!(
        after["basis"], "CONTEXT_ONLY",
        "wherever they come back: {after}"
    );
    let pia = shop::profile_of(&api, "pia").await;
    let decided = api
        .get(&format!("/v1/profiles/{pia}/consents:history?pageSize=10"))
        .await
        .ok();
    let decided = decided["consents"].as_array().cloned().unwrap_or_default();
    let told = decided.iter().find(|c| c["purpose"] == "personalization");
    let told = told.unwrap_or_else(|| panic!("{decided:?}"));
    assert_eq!(told["evidence"], "Sec-GPC: 1");
    assert!(
        told.get("granted").is_none_or(|granted| granted == false),
        "{told}"
    );
    // Somebody who says nothing is not meant.
    track(&api, viewed("quinn", "boots-4")).await;
    assert_eq!(personalize(&api, "quinn", "home", 5).await["basis"], "FULL");
}

async fn whoever_wants_no_personalization_gets_what_everybody_gets(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    shop::import(&api).await;
    let people = [("rosa", "boots-3"), ("sven", "stoves-5")];
    for (user, item) in people {
        let traits =
            json!({"userId": user, "messageId": shop::message_id(), "traits": {"plan": item}});
        api.post("/v1/identify", traits).await.ok();
        track(&api, viewed(user, item)).await;
    }
    pin(&api, 1, "packs-6", r#"profile.plan == "boots-3""#).await;
    let [rosa, sven] = each(&api, people).await;
    assert_ne!(shown(&rosa), shown(&sven));
    for (user, _) in people {
        let id = shop::profile_of(&api, user).await;
        let wish = json!({"level": "NO_PERSONALIZATION"});
        let path = format!("/v1/profiles/{id}/preferences");
        api.patch(&path, wish).await.ok();
    }
    let [rosa, sven] = each(&api, people).await;
    for answer in [&rosa, &sven] {
        assert_eq!(answer["basis"], "NOT_PERSONALIZED", "{answer}");
        assert_ne!(shown(answer)[0], "packs-6", "{answer}");
    }
    assert_eq!(shown(&rosa), shown(&sven));
}

async fn each(api: &Api, people: [(&str, &str); 2]) -> [Value; 2] {
    let [(one, _), (other, _)] = people;
    [
        personalize(api, one, "home", 10).await,
        personalize(api, other, "home", 10).await,
    ]
}
