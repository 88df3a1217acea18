//! Without consent the same call still answers, from context alone, and nothing known
//! about the person shows in it.

use attune_e2e::{
    Deployment, Topology, on_both_topologies,
    shop::{self, personalize, shown, slots, track, viewed},
};
use serde_json::json;

on_both_topologies!(withdrawn_consent_leaves_context_alone);

async fn withdrawn_consent_leaves_context_alone(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    shop::import(&api).await;
    let identify =
        json!({"userId": "olga", "messageId": shop::message_id(), "traits": {"plan": "gold"}});
    api.post("/v1/identify", identify).await.ok();
    track(&api, viewed("olga", "boots-3")).await;
    let rule = json!({"when": r#"profile.plan == "gold""#, "action": {"pin": {"position": 1, "itemIds": ["packs-6"]}}});
    shop::rule(&api, "gold", rule).await;
    let before = personalize(&api, "olga", "home", 10).await;
    assert_eq!(before["basis"], "FULL");
    assert_eq!(shown(&before)[0], "packs-6", "{before}");

    let id = shop::profile_of(&api, "olga").await;
    let path = format!("/v1/profiles/{id}/consents/personalization");
    let withdrawal = json!({"granted": false, "source": "settings", "policyVersion": "3"});
    api.put(&path, withdrawal).await.ok();
    let after = personalize(&api, "olga", "home", 10).await;
    assert_eq!(after["basis"], "CONTEXT_ONLY", "{after}");
    assert_ne!(
        shown(&after)[0],
        "packs-6",
        "a trait must not count any more"
    );
    for slot in slots(&after, 0) {
        for reason in slot["reasons"].as_array().into_iter().flatten() {
            let kind = reason["source"]["kind"].as_str().unwrap_or_default();
            let personal = ["recently_viewed", "also_bought", "similar"].contains(&kind);
            assert!(!personal && reason["ruleId"] != "gold", "{slot}");
        }
    }
    let consents = api.get(&format!("/v1/profiles/{id}")).await.ok()["consents"].clone();
    assert_eq!(consents[0]["purpose"], "personalization", "{consents}");
    assert_eq!(consents[0]["policyVersion"], "3", "{consents}");

    api.put(&path, json!({"granted": true, "source": "settings"}))
        .await
        .ok();
    let again = personalize(&api, "olga", "home", 10).await;
    assert_eq!(again["basis"], "FULL", "{again}");
    assert_eq!(shown(&again)[0], "packs-6", "{again}");
}
