//! A service that is down or hangs costs its part of the answer, never the answer, and
//! the answer says whose part is missing.

use std::time::{Duration, Instant};

use attune_e2e::{
    Api, Deployment, PATIENCE, Service, Topology,
    shop::{self, degraded, personalize, shown, slots},
    wait_until,
};
use serde_json::json;

/// Of callers that send none: so long that on a busy machine nobody but who is meant
/// takes longer than their slice.
const DEADLINE: Duration = Duration::from_secs(5);

async fn deployment() -> (Deployment, Api) {
    let deadline_ms = DEADLINE.as_millis().to_string();
    let settings = [("gateway.personalize.deadline_default_ms", &*deadline_ms)];
    let deployment = Deployment::with(Topology::FiveProcesses, &settings).await;
    let api = deployment.api();
    shop::import(&api).await;
    let template = json!({
        "templateId": "window",
        "channel": "email",
        "defaultLocale": "en",
        "variants": [{
            "locale": "en",
            "subject": "For you",
            "text": "{% for item in items %}{{ item.title }}\n{% endfor %}",
        }],
    });
    api.post("/v1/templates?templateId=window", template)
        .await
        .ok();
    let home = json!({"fallbackItemIds": ["packs-1", "packs-2"], "template": "window"});
    shop::place(&api, "home", home).await;
    wait_until("the answer is whole", PATIENCE, || async {
        let answer = personalize(&api, "nia", "home", 5).await;
        degraded(&answer).is_empty() && answer["placements"][0]["content"]["text"].is_string()
    })
    .await;
    (deployment, api)
}

/// Kills `service`, looks at an answer without it, and sees it come back.
async fn without(service: Service, look: impl AsyncFn(&Api)) {
    let (mut deployment, api) = deployment().await;
    shop::track(&api, shop::viewed("nia", "boots-2")).await;
    deployment.kill(service).await;
    for _ in 0..3 {
        let answer = personalize(&api, "nia", "home", 5).await;
        assert_eq!(degraded(&answer), [service.name()], "{answer}");
        assert!(!slots(&answer, 0).is_empty(), "{answer}");
    }
    look(&api).await;
    deployment.restart(service).await;
    wait_until("the answer is whole again", PATIENCE, || async {
        let answer = personalize(&api, "nia", "home", 5).await;
        degraded(&answer).is_empty() && slots(&answer, 0).len() == 5
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_profile_service_people_are_strangers_or_as_last_seen() {
    without(Service::Profile, async |api| {
        let answer = personalize(api, "never-seen-before", "home", 5).await;
        assert_eq!(slots(&answer, 0).len(), 5, "{answer}");
        // What cannot be made durable is not acknowledged.
        let refused = api.post("/v1/track", shop::viewed("nia", "tents-1")).await;
        assert_eq!(refused.status, 503, "{}", refused.text);
        assert_eq!(refused.reason(), "SERVICE_UNAVAILABLE", "{}", refused.text);
        assert_eq!(refused.metadata("service"), "profile", "{}", refused.text);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_rule_engine_there_is_a_fallback() {
    without(Service::RuleEngine, async |api| {
        let answer = personalize(api, "nia", "home", 2).await;
        assert_eq!(answer["placements"][0]["degraded"], true, "{answer}");
        assert!(!shown(&answer).is_empty(), "{answer}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_catalog_items_are_ids() {
    without(Service::Catalog, async |api| {
        let answer = personalize(api, "nia", "home", 5).await;
        assert_eq!(shown(&answer).len(), 5, "{answer}");
        assert!(
            slots(&answer, 0)
                .iter()
                .all(|s| s["item"]["title"].is_null()),
            "{answer}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_messaging_there_are_slots_and_no_words() {
    without(Service::Messaging, async |api| {
        let answer = personalize(api, "nia", "home", 5).await;
        assert!(answer["placements"][0]["content"].is_null(), "{answer}");
        assert_eq!(shown(&answer).len(), 5, "{answer}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_hangs_costs_its_slice_of_the_deadline_and_no_more() {
    let (deployment, api) = deployment().await;
    let peers = [
        Service::Profile,
        Service::RuleEngine,
        Service::Catalog,
        Service::Messaging,
    ];
    for service in peers {
        deployment.freeze(service).await;
        let begin = Instant::now();
        let answer = personalize(&api, "nia", "home", 5).await;
        let took = begin.elapsed();
        deployment.thaw(service).await;
        assert_eq!(degraded(&answer), [service.name()], "{answer}");
        let reason = &answer["degradations"][0]["reason"];
        assert_eq!(reason, "DEADLINE_EXCEEDED", "{answer}");
        assert!(!slots(&answer, 0).is_empty(), "{answer}");
        assert!(took < DEADLINE, "{service:?} cost {took:?}");
        wait_until("the answer is whole again", PATIENCE, || async {
            degraded(&personalize(&api, "nia", "home", 5).await).is_empty()
        })
        .await;
    }
}
