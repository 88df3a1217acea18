//! What an engineer and an editor can find out: how an answer came about, what answers
//! led to, and what a draft would change before anyone sees it.

use attune_e2e::{
    Api, Deployment, PATIENCE, Topology, on_both_topologies,
    shop::{self, personalize, question, shown, slots},
    wait_until,
};
use serde_json::{Value, json};

on_both_topologies!(
    an_answer_explains_itself_now_and_later,
    reports_follow_what_people_do,
    a_draft_is_tried_before_it_is_published,
);

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
}

async fn an_answer_explains_itself_now_and_later(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    shop::import(&api).await;
    shop::track(&api, shop::viewed("ida", "tents-1")).await;
    let boots = json!({
        "where": "item.categories.exists(c, c == \"boots\")",
        "action": {"exclude": {}},
    });
    shop::rule(&api, "no-boots", boots).await;
    let mut asked = question("ida", "home", 5);
    asked["explain"] = json!(true);
    asked["excludeItemIds"] = json!(["tents-2"]);
    let applied = |answer: &Value| {
        let told = &answer["placements"][0]["explanation"];
        list(told, "rules")
            .iter()
            .any(|rule| rule["outcome"] == "RULE_APPLIED")
    };
    wait_until("the rule is in force", PATIENCE, || async {
        applied(&api.post("/v1/personalize", asked.clone()).await.ok())
    })
    .await;
    let answer = api.post("/v1/personalize", asked.clone()).await.ok();
    let placement = &answer["placements"][0];
    let told = &placement["explanation"];
    let shown_from_sources: i64 = list(told, "sources")
        .iter()
        .filter_map(|source| source["shownCount"].as_i64())
        .sum();
    assert!(shown_from_sources >= 5, "{told}");
    let causes: Vec<_> = list(told, "filtered").iter().map(|f| &f["cause"]).collect();
    assert!(causes.contains(&&json!("RULE_EXCLUDED")), "{told}");
    assert!(causes.contains(&&json!("EXCLUDED_BY_REQUEST")), "{told}");
    let best = &list(told, "candidates")[0];
    let parts = list(best, "parts")
        .iter()
        .filter_map(|p| p["contribution"].as_f64());
    let score = best["score"].as_f64().unwrap();
    assert!((parts.sum::<f64>() - score).abs() < 1e-6, "{best}");

    let id = placement["decisionId"].as_str().unwrap();
    let path = format!("/v1/decisions/{id}");
    wait_until("the decision is stored", PATIENCE, || async {
        api.get(&path).await.is_ok()
    })
    .await;
    let past = api.get(&path).await.ok();
    assert_eq!(past["ruleIds"], json!(["no-boots"]), "{past}");
    assert_eq!(past["explanation"]["sources"], told["sources"]);
    assert!(
        list(&past["explanation"], "candidates").is_empty(),
        "{past}"
    );
    let listed = api
        .get("/v1/decisions?placement=home&pageSize=1")
        .await
        .ok();
    assert_eq!(list(&listed, "decisions")[0]["decisionId"], id);
    // Nobody pays for what nobody asked for.
    let plain = personalize(&api, "ida", "home", 5).await;
    assert!(
        plain["placements"][0]
            .get("explanation")
            .is_none_or(Value::is_null)
    );
}

async fn report(api: &Api, dimension: &str) -> Value {
    api.get(&format!("/v1/reports/{dimension}")).await.ok()
}

async fn reports_follow_what_people_do(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    shop::import(&api).await;
    let answer = personalize(&api, "jan", "home", 4).await;
    let tokens: Vec<_> = slots(&answer, 0)
        .iter()
        .map(|slot| slot["token"].clone())
        .collect();
    let mut outcomes: Vec<_> = tokens
        .iter()
        .map(|token| json!({"token": token, "type": "EXPOSURE"}))
        .collect();
    outcomes.push(json!({"token": tokens[1], "type": "CLICK"}));
    outcomes.push(json!({
        "token": tokens[1], "type": "CONVERSION", "value": 40.0, "outcomeId": "order-1",
    }));
    api.post("/v1/outcomes:report", json!({"outcomes": outcomes}))
        .await
        .ok();
    wait_until("the report has counted", PATIENCE, || async {
        report(&api, "placement").await["total"]["conversionCount"] == "1"
    })
    .await;
    let told = report(&api, "placement").await;
    let row = &list(&told, "rows")[0];
    assert_eq!(
        (&row["key"], &row["exposureCount"]),
        (&json!("home"), &json!("4")),
        "{told}"
    );
    assert_eq!(row["revenue"], json!(40.0));
    let rate = &row["clickThrough"];
    let [value, low, high] = ["value", "low", "high"].map(|f| rate[f].as_f64().unwrap());
    assert!(
        (value - 0.25).abs() < 1e-9 && low < value && value < high,
        "{rate}"
    );
    let items = report(&api, "item").await;
    assert_eq!(list(&items, "rows").len(), 4);
    let unknown = api.get("/v1/reports/mood").await;
    assert_eq!(unknown.violations(), ["dimension"], "{}", unknown.text);
}

async fn a_draft_is_tried_before_it_is_published(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    shop::import(&api).await;
    shop::track(&api, shop::viewed("kai", "tents-1")).await;
    let profile = shop::profile_of(&api, "kai").await;
    let before = shown(&personalize(&api, "kai", "home", 3).await);
    let draft = json!({
        "ruleId": "push",
        "action": {"pin": {"position": 1, "itemIds": ["packs-6"]}},
    });
    let asked = json!({
        "rules": [draft],
        "profiles": {
            "profileIds": [profile],
            "channel": "web",
            "placements": [{"placement": "home", "count": 3}],
        },
    });
    let told = api.post("/v1/decisions:simulate", asked).await.ok();
    assert_eq!(
        (&told["decisionCount"], &told["changedCount"]),
        (&json!(1), &json!(1)),
        "{told}"
    );
    let sample = &list(&told, "samples")[0];
    assert_eq!(list(sample, "after")[0]["itemId"], "packs-6");
    assert_eq!(shown(&personalize(&api, "kai", "home", 3).await), before);
    let broken = json!({
        "rules": [{"ruleId": "push", "when": "profile.", "action": {"exclude": {}}}],
        "decisions": {"count": 10},
    });
    let refused = api.post("/v1/decisions:simulate", broken).await;
    assert_eq!(refused.violations(), ["rules[0].when"], "{}", refused.text);
}
